// The leader's front desk: validates requests, turns them into commands, grants and fences leases,
// wakes who waits, and translates outcomes. Owned by the node; used on its loop's thread only. It
// never talks to raft/ itself: the node carries batches, confirmations and outcomes to and fro (the
// order within a turn is in node/node.cc).
//
// Every Call is answered exactly once. An answer OK to a change means committed and applied.
// NOT_LEADER, OVERLOADED and INVALID_FIELD mean no effect, now or ever; COMMIT_UNKNOWN means
// perhaps: repeat with the same ids. Leases are granted, and reads answered, only after a
// confirmation round that began after the request arrived; a request that had to wait gets a new
// round after it is woken. So are answers that refuse something from the leader's own knowledge (a
// stale lease, an unknown job): a deposed leader knows nothing.
//
// A purge, a redrive or a grouping works in parts, one in each OnTimer, each a bounded time. When
// its deadline comes first, what it has found goes on, and it is answered with `more`.
//
// A call's items may end differently; each has a status of its own. But if the fate of some is not
// known, or some were carried out and others could not be proposed, the whole call is answered
// COMMIT_UNKNOWN.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "dqueue/v1/service.pb.h"
#include "queue/api/error.h"
#include "queue/api/key.h"
#include "queue/broker/reads/job_times.h"
#include "queue/state/state_machine.h"
#include "raft/raft.h"
#include "raft/types.h"

namespace dqueue::queue {

template <class Request, class Response>
struct Call {
  using RequestType = Request;
  using ResponseType = Response;
  Request request;
  // After this nobody waits for the answer: work not yet proposed is answered DEADLINE_PASSED
  // without effect.
  Time deadline = Time::max();
  // Called exactly once, on the loop's thread (at the latest by the broker's destructor); must not
  // block, and must not call the broker.
  std::function<void(Outcome<Response>)> done;
  // Set (from any thread) when the caller has gone: nothing is granted to it any more. May be null.
  std::shared_ptr<std::atomic<bool>> cancelled;
  // The queues that the caller may see; null: all. A queue named in the request that is not one of
  // them is answered QUEUE_DENIED, with no effect at all; a job named by its id that is in another
  // queue is answered as if it did not exist; what is listed or counted leaves other queues out.
  // (That an id is taken in another queue, an enqueue of it must tell: DUPLICATE_JOB.)
  QueueAccessPtr access;
};

using EnqueueCall = Call<v1::EnqueueJobsRequest, v1::EnqueueJobsResponse>;
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

struct BrokerOptions {
  Duration lease_timeout = std::chrono::seconds(30);
  int32_t max_retries = 3;
  size_t max_waiting_calls = 100000;    // long polls and reads; beyond: OVERLOADED
  size_t max_batch_commands = 4096;     // in one log entry
  size_t max_batch_bytes = 1 << 20;     // soft: one command always fits
  size_t max_pending_bytes = 64 << 20;  // commands waiting for a batch; beyond: OVERLOADED
  size_t max_pending_commands = 200000;
  std::string Problem() const;  // empty if valid
};

// What a caller is told when this node cannot serve.
struct LeaderHint {
  std::string leader_id;  // empty: none known
  std::string leader_address;
  uint64_t term = 0;
};

// Commands that go into one log entry.
struct Batch {
  uint64_t id = 0;        // the proposal's id
  raft::Payload payload;  // an encoded CommandBatch
};

class BrokerImpl;

class Broker {
 public:
  // `state` must outlive it. `seed` feeds job ids and jitter (each term has a stream of its own), and
  // where the ids of batches and rounds begin.
  Broker(const BrokerOptions& options, StateMachine* state, uint64_t seed);
  ~Broker();

  // Requests are accepted in any role; without leadership they are answered NOT_LEADER (with the
  // hint) or NO_LEADER. wall_ms: Unix time.
  void Submit(Time now, int64_t wall_ms, AnyCall call);

  // The node calls these when raft says so. BecomeLeader only when serving (its no-op is committed
  // and applied).
  void BecomeLeader(Time now, raft::Term term);
  // Everything that waits is answered: reads, leases and unproposed commands with NOT_LEADER.
  // (Proposed ones are answered by OnProposal.)
  void StepDown(const LeaderHint& hint);
  void SetHint(const LeaderHint& hint);
  // While true, enqueues are answered DISK_LOW; everything else passes.
  void SetLowSpace(bool low_space);
  // Requests that are new are answered SHUTTING_DOWN.
  void Drain();

  // Commands that wait, up to the limits of one entry; nullopt if none. To be called until it says
  // so or the node wants no more this turn. Adds expiries of leases and ticks that are due.
  std::optional<Batch> TakeBatch(Time now, int64_t wall_ms);
  void OnProposal(const raft::ProposalOutcome& outcome);
  // After the state machine has applied an entry with commands, with the effects that it had. While
  // the broker leads, every such entry must be reported. batch_id: the batch that OnProposal said
  // was committed in it; nullopt if this broker did not propose the entry.
  void OnApplied(Time now, std::optional<uint64_t> batch_id, const Effects& effects);

  // True if someone waits for a confirmation that no running round can give.
  bool WantsConfirmation() const;
  // Begins a round for all that wait now; the node passes the id to raft as Read{id}.
  uint64_t BeginConfirmation();
  // Call when raft has answered and, if confirmed, the state machine has applied outcome.index.
  void OnConfirmation(Time now, int64_t wall_ms, const raft::ReadOutcome& outcome);

  // When something is due without any event (lease expiry, end of a wait, deadline of a call,
  // tick): at least 1 ms after now, and not more than 1 s while a job waits for its time, because
  // the wall clock may be set.
  Time Deadline(Time now, int64_t wall_ms) const;
  // Does what is due: ends waits and deadlines, a part of a purge or redrive. Cheap if nothing is.
  // (Expiries and ticks come out of TakeBatch.)
  void OnTimer(Time now, int64_t wall_ms);

  struct Gauges {
    size_t leases = 0;
    size_t waiting_leases = 0;
    size_t waiting_reads = 0;
    size_t pending_commands = 0;
    size_t pending_bytes = 0;
  };
  Gauges gauges() const;

  // Since the process began, in all its leaderships; not replicated.
  const JobTimes& times() const;
  // To go on counting where an earlier broker ended. Before the first call.
  void SetTimes(JobTimes times);

  // For the simulator's checkers: called for each grant, before the worker is told.
  void OnGrant(std::function<void(const std::string& job_id, LeaseToken token)> callback);

 private:
  std::unique_ptr<BrokerImpl> impl_;
};

}  // namespace dqueue::queue
