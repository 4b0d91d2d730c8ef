// Checks every answer to a client against the job model, at the index that the answering node had
// applied. The effect of an OK must already be in the log. A call with a definite error ("no
// effect") must never have an effect. A read must not be older than the newest index that any node
// had applied when the call arrived. Also compares a node's state with the model after each new
// entry.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "dqueue/v1/command.pb.h"
#include "dqueue/v1/service.pb.h"
#include "google/rpc/status.pb.h"
#include "queue/api/error.h"
#include "queue/api/key.h"
#include "raft/raft.h"
#include "sim/checkers/access_checker.h"
#include "sim/checkers/grant_checker.h"
#include "sim/checkers/job_model.h"
#include "sim/checkers/key_checker.h"
#include "sim/profile.h"

namespace dqueue::sim {

class SimNode;
class World;

// The reason of the ErrorInfo in the status details; empty if there is none.
std::string ReasonOf(const google::rpc::Status& status);
// Whether an error with this reason guarantees that the call has no effect, now or later.
bool IsDefinite(const std::string& reason);

class AnswerChecker {
 public:
  explicit AnswerChecker(World* world) : world_(world), access_(world), keys_(world) {}

  // A call arrives at a node.
  void Arrive(const ServerCall& call, const v1::EnqueueJobsRequest& request);
  void Arrive(const ServerCall& call, const v1::LeaseJobsRequest& request);
  void Arrive(const ServerCall& call, const v1::CompleteJobsRequest& request);
  void Arrive(const ServerCall& call, const v1::FailJobsRequest& request);
  void Arrive(const ServerCall& call, const v1::ExtendLeasesRequest& request);
  void Arrive(const ServerCall& call, const v1::ReleaseJobsRequest& request);
  void Arrive(const ServerCall& call, const v1::CancelJobsRequest& request);
  void Arrive(const ServerCall& call, const v1::RetryJobsRequest& request);
  void Arrive(const ServerCall&, const v1::GetJobRequest&) {}
  void Arrive(const ServerCall&, const v1::ListJobsRequest&) {}
  void Arrive(const ServerCall&, const v1::GetStatsRequest&) {}
  void Arrive(const ServerCall&, const v1::PauseQueueRequest&) {}
  void Arrive(const ServerCall&, const v1::ResumeQueueRequest&) {}
  void Arrive(const ServerCall& call, const v1::DeleteJobsRequest& request);
  void Arrive(const ServerCall& call, const v1::PurgeQueueRequest& request);
  void Arrive(const ServerCall&, const v1::RedriveJobsRequest&) {}
  void Arrive(const ServerCall&, const queue::CreateKeyOrder&) {}
  void Arrive(const ServerCall&, const queue::ListKeysOrder&) {}
  void Arrive(const ServerCall&, const queue::RevokeKeyOrder&) {}
  void Arrive(const ServerCall&, const queue::UseKeysOrder&) {}
  void Arrive(const ServerCall&, const v1::GroupDeadJobsRequest&) {}
  void Arrive(const ServerCall&, const v1::ListWorkersRequest&) {}

  // A node answers a call.
  template <class Request, class Response>
  void Answer(const ServerCall& call, const Request& request,
              const queue::Outcome<Response>& outcome) {
    access_.Check(call, request, outcome);
    if constexpr (std::is_same_v<Request, v1::PurgeQueueRequest>) PurgeAnswered(call, request);
    if (outcome.ok()) {
      Answered(call, request, outcome.value);
    } else {
      Refused(call, request, outcome.error);
    }
  }

  // `node` has just applied an entry as the first of all nodes.
  void AfterCommit(const SimNode& node, const raft::Entry& entry,
                   const log::v1::CommandBatch& batch);
  // Compares the whole state of the node with the model. Requires that the node has applied exactly
  // as much as the model.
  void CompareAll(const SimNode& node);

  KeyChecker& keys() { return keys_; }
  uint64_t acknowledged() const { return acknowledged_; }

 private:
  void Answered(const ServerCall& call, const v1::EnqueueJobsRequest& request,
                const v1::EnqueueJobsResponse& response);
  void Answered(const ServerCall& call, const v1::LeaseJobsRequest& request,
                const v1::LeaseJobsResponse& response);
  void Answered(const ServerCall& call, const v1::CompleteJobsRequest& request,
                const v1::CompleteJobsResponse& response);
  void Answered(const ServerCall& call, const v1::FailJobsRequest& request,
                const v1::FailJobsResponse& response);
  void Answered(const ServerCall& call, const v1::ExtendLeasesRequest& request,
                const v1::ExtendLeasesResponse& response);
  void Answered(const ServerCall& call, const v1::ReleaseJobsRequest& request,
                const v1::ReleaseJobsResponse& response);
  void Answered(const ServerCall& call, const v1::CancelJobsRequest& request,
                const v1::CancelJobsResponse& response);
  void Answered(const ServerCall& call, const v1::RetryJobsRequest& request,
                const v1::RetryJobsResponse& response);
  void Answered(const ServerCall& call, const v1::GetJobRequest& request,
                const v1::GetJobResponse& response);
  void Answered(const ServerCall& call, const v1::ListJobsRequest& request,
                const v1::ListJobsResponse& response);
  void Answered(const ServerCall& call, const v1::GetStatsRequest& request,
                const v1::GetStatsResponse& response);
  void Answered(const ServerCall& call, const v1::PauseQueueRequest& request,
                const v1::PauseQueueResponse& response);
  void Answered(const ServerCall& call, const v1::ResumeQueueRequest& request,
                const v1::ResumeQueueResponse& response);
  void Answered(const ServerCall& call, const v1::DeleteJobsRequest& request,
                const v1::DeleteJobsResponse& response);
  void Answered(const ServerCall& call, const v1::PurgeQueueRequest& request,
                const v1::PurgeQueueResponse& response);
  void Answered(const ServerCall& call, const v1::RedriveJobsRequest& request,
                const v1::RedriveJobsResponse& response);
  void Answered(const ServerCall& call, const queue::CreateKeyOrder& order, const v1::Key& key);
  void Answered(const ServerCall& call, const queue::ListKeysOrder& order,
                const v1::ListKeysResponse& response);
  void Answered(const ServerCall& call, const queue::RevokeKeyOrder& order, const v1::Key& key);
  void Answered(const ServerCall&, const queue::UseKeysOrder&, const queue::UseKeysDone&) {}
  void Answered(const ServerCall& call, const v1::GroupDeadJobsRequest& request,
                const v1::GroupDeadJobsResponse& response);
  void Answered(const ServerCall& call, const v1::ListWorkersRequest& request,
                const v1::ListWorkersResponse& response);
  void PurgeAnswered(const ServerCall& call, const v1::PurgeQueueRequest& request);

  void Refused(const ServerCall& call, const v1::EnqueueJobsRequest& request,
               const queue::Error& error);
  void Refused(const ServerCall& call, const v1::CompleteJobsRequest& request,
               const queue::Error& error);
  void Refused(const ServerCall& call, const v1::FailJobsRequest& request,
               const queue::Error& error);
  void Refused(const ServerCall& call, const v1::GetJobRequest& request, const queue::Error& error);
  void Refused(const ServerCall& call, const queue::CreateKeyOrder& order,
               const queue::Error& error);
  void Refused(const ServerCall& call, const queue::RevokeKeyOrder& order,
               const queue::Error& error);
  template <class Request>
  void Refused(const ServerCall&, const Request&, const queue::Error& error) {
    CheckReason(error.reason);
  }

  // Whether the item names a job in a queue that the caller has no access to.
  template <class Item>
  bool IsDenied(const ServerCall& call, const Item& item) const;
  // The applied index of the answering node. A violation if it is below call.required.
  raft::Index FreshIndex(const ServerCall& call) const;
  void CheckReason(const std::string& reason) const;
  void CheckEnqueueItem(const ServerCall& call, const v1::JobSpec& spec,
                        const v1::EnqueueJobsResponse::Result& result, raft::Index applied);
  // The answer of a completion or failure.
  void CheckLeaseEnd(const ServerCall& call, const std::string& id, const v1::LeaseToken& token,
                     LeaseEnd end, const google::rpc::Status& status);
  void CheckCancelOrRetry(const ServerCall& call, const std::string& id,
                          const google::rpc::Status& status, bool cancel);
  // The queue must have had these settings at some index since the call arrived.
  void CheckQueueSettings(const ServerCall& call, const std::string& queue, bool paused,
                          bool refuses);
  // How many jobs got a version with matches(job, version) since the call arrived.
  template <class F>
  int64_t CountTransitions(const ServerCall& call, const F& matches) const;
  void CheckJob(const SimNode& node, const v1::Job& job, raft::Index applied, const char* how);
  void CheckAttempts(const SimNode& node, const v1::Job& job, raft::Index applied,
                     const char* how) const;
  void CompareJob(const SimNode& node, const std::string& id);
  void CompareQueue(const SimNode& node, const std::string& name) const;
  void CompareStats(const SimNode& node, const v1::QueueStats& stats, const ModelQueue& queue,
                    const std::string& name) const;

  using EndKey = std::tuple<std::string, queue::LeaseToken, LeaseEnd>;
  World* world_;
  AccessChecker access_;
  KeyChecker keys_;
  // How many calls were not answered with a definite error, so may have an effect.
  std::map<uint64_t, int> open_enqueues_;  // by job number
  std::map<EndKey, int> open_ends_;
  uint64_t acknowledged_ = 0;
  uint64_t commits_ = 0;
};

}  // namespace dqueue::sim
