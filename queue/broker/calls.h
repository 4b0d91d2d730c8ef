// Client calls as values. The transport layer makes them, the node carries them to its loop thread,
// and the broker answers each of them exactly once.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include "dqueue/v1/service.pb.h"
#include "queue/api/error.h"
#include "queue/api/key.h"
#include "raft/types.h"

namespace dqueue::queue {

template <class Request, class Response>
struct Call {
  using RequestType = Request;
  using ResponseType = Response;
  Request request;
  // The caller waits no longer than this. Work not yet proposed by then is answered DEADLINE_PASSED
  // without effect.
  Time deadline = Time::max();
  // Called exactly once, at the latest by the broker's destructor: on the loop's thread, on the
  // thread of Broker::AnswerElsewhere, or on the thread that submits the call to the node. It must
  // not block and must not call the broker.
  std::function<void(Outcome<Response>)> done;
  // Set, from any thread, when the caller has disconnected or its key was revoked: no lease is
  // granted to it any more, and a purge, redrive or grouping stops. May be null.
  std::shared_ptr<std::atomic<bool>> cancelled;
  // The caller, for fair shares of a busy node (node/inbox/fair_inbox.h): the id of its key, else its
  // address. Empty: this node.
  std::string caller;
  // The queues that the caller may access. Null: unrestricted. A request that names another queue
  // is answered QUEUE_DENIED, without effect. A job of another queue, named by its id, is answered
  // as if it did not exist. Lists and counts leave other queues out. One exception: an enqueue
  // answers DUPLICATE_JOB for an id that is taken in any queue.
  QueueAccessPtr access;
};

struct PreparedEnqueue;
struct EnqueueCall : Call<v1::EnqueueJobsRequest, v1::EnqueueJobsResponse> {
  // The request, checked and encoded by Prepare() (commands/prepared_enqueue.h); the request itself
  // is then empty. Null: the broker does it.
  std::shared_ptr<PreparedEnqueue> prepared;
};
using LeaseCall = Call<v1::LeaseJobsRequest, v1::LeaseJobsResponse>;
using CompleteCall = Call<v1::CompleteJobsRequest, v1::CompleteJobsResponse>;
using FailCall = Call<v1::FailJobsRequest, v1::FailJobsResponse>;
using ExtendCall = Call<v1::ExtendLeasesRequest, v1::ExtendLeasesResponse>;
using ReleaseCall = Call<v1::ReleaseJobsRequest, v1::ReleaseJobsResponse>;
using GetCall = Call<v1::GetJobRequest, v1::GetJobResponse>;
using ListCall = Call<v1::ListJobsRequest, v1::ListJobsResponse>;
using CancelCall = Call<v1::CancelJobsRequest, v1::CancelJobsResponse>;
using RetryCall = Call<v1::RetryJobsRequest, v1::RetryJobsResponse>;
using StatsCall = Call<v1::GetStatsRequest, v1::GetStatsResponse>;

using PauseCall = Call<v1::PauseQueueRequest, v1::PauseQueueResponse>;
using ResumeCall = Call<v1::ResumeQueueRequest, v1::ResumeQueueResponse>;
using DeleteCall = Call<v1::DeleteJobsRequest, v1::DeleteJobsResponse>;
using PurgeCall = Call<v1::PurgeQueueRequest, v1::PurgeQueueResponse>;
using RedriveCall = Call<v1::RedriveJobsRequest, v1::RedriveJobsResponse>;

using GroupCall = Call<v1::GroupDeadJobsRequest, v1::GroupDeadJobsResponse>;
using WorkersCall = Call<v1::ListWorkersRequest, v1::ListWorkersResponse>;

using CreateKeyCall = Call<CreateKeyOrder, v1::Key>;
using ListKeysCall = Call<ListKeysOrder, v1::ListKeysResponse>;
using RevokeKeyCall = Call<RevokeKeyOrder, v1::Key>;
using UseKeysCall = Call<UseKeysOrder, UseKeysDone>;

using AnyCall = std::variant<EnqueueCall, LeaseCall, CompleteCall, FailCall, ExtendCall,
                             ReleaseCall, GetCall, ListCall, CancelCall, RetryCall, StatsCall,
                             PauseCall, ResumeCall, DeleteCall, PurgeCall, RedriveCall, GroupCall,
                             WorkersCall, CreateKeyCall, ListKeysCall, RevokeKeyCall, UseKeysCall>;

// Kinds of calls, for fair shares of a busy node and for metrics.
enum class CallKind : uint8_t {
  kLeases,     // of workers: lease, extend, release, complete, fail
  kMutations,  // all other changes
  kReads,      // of one job
  kListings,   // of many jobs, queues, workers or keys
};
inline constexpr size_t kCallKinds = 4;
// "leases", "mutations", "reads", "listings".
constexpr std::string_view CallKindName(CallKind kind) {
  constexpr std::string_view kNames[kCallKinds] = {"leases", "mutations", "reads", "listings"};
  return kNames[static_cast<size_t>(kind)];
}

template <class C, class... Kinds>
inline constexpr bool kIsOneOf = (std::is_same_v<C, Kinds> || ...);
// The kind of a call of type C.
template <class C>
inline constexpr CallKind kKindOf =
    kIsOneOf<C, LeaseCall, CompleteCall, FailCall, ExtendCall, ReleaseCall>  ? CallKind::kLeases
    : kIsOneOf<C, GetCall>                                                   ? CallKind::kReads
    : kIsOneOf<C, ListCall, StatsCall, GroupCall, WorkersCall, ListKeysCall> ? CallKind::kListings
                                                                             : CallKind::kMutations;
inline CallKind KindOf(const AnyCall& call) {
  return std::visit([](const auto& c) { return kKindOf<std::decay_t<decltype(c)>>; }, call);
}

// True if the caller has disconnected.
template <class C>
bool IsCancelled(const C& call) {
  return call.cancelled != nullptr && call.cancelled->load(std::memory_order_relaxed);
}

}  // namespace dqueue::queue
