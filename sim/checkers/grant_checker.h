// Checks leases. Keeps the worker, the token and the earliest end of each lease.
//
//  - A granted job was ready, and its queue not paused, at the index that the leader had applied.
//    With J16, no job is leased from a queue whose pause was acknowledged before the call arrived.
//  - A job is delivered again only for a reason: its lease expired in the log, it failed, was
//    released, or was cancelled and retried, or the leader changed.
//  - Tokens of a job increase. An ended or superseded lease has no effect.
//  - A leader does not delete a job that it has leased.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "dqueue/v1/command.pb.h"
#include "dqueue/v1/service.pb.h"
#include "queue/api/key.h"
#include "queue/state/state_machine.h"
#include "raft/types.h"
#include "sim/profile.h"

namespace dqueue::sim {

class SimNode;
class World;
struct ModelJob;

// A call, from the view of the node that answers it.
struct ServerCall {
  uint64_t id = 0;
  int client = 0;
  int node = 0;
  uint64_t boot = 0;
  Time arrived{};
  Time local_arrived{};
  // The highest index that any node had applied when the call arrived. A read must not be older:
  // reads are linearizable.
  raft::Index required;
  bool cancelled = false;        // the client cancelled the call
  queue::QueueAccessPtr access;  // null: unrestricted
};

class GrantChecker {
 public:
  explicit GrantChecker(World* world) : world_(world) {}

  // The broker has granted a lease.
  void OnGrant(const SimNode& node, const std::string& id, queue::LeaseToken token);
  // A call with a lease token of this job has arrived. The node may adopt the lease.
  void OnTokenArrives(const SimNode& node, const std::string& id, queue::LeaseToken token);
  void OnReleaseArrives(const SimNode& node, const std::string& id, queue::LeaseToken token);
  // A lease call was answered.
  void OnLeaseAnswer(const ServerCall& call, const v1::LeaseJobsRequest& request,
                     const v1::LeaseJobsResponse& response);
  // A deletion of this job, or a purge of this queue, has arrived. The leader may withhold the job,
  // or until the purge is answered the jobs of the queue, from workers.
  void OnDeleteArrives(const SimNode& node, const std::string& id);
  void OnPurgeArrives(const SimNode& node, const std::string& queue);
  void OnPurgeAnswered(const SimNode& node, const std::string& queue);
  // A deletion that had an effect was committed in `term`.
  void OnDeleted(raft::Term term, const ModelJob& job) const;
  void OnExtensionArrives(const SimNode& node, const std::string& id, queue::LeaseToken token,
                          Duration lease);
  // An extension was answered OK.
  void OnExtended(const ServerCall& call, const ModelJob& job, queue::LeaseToken token,
                  Duration lease);
  // A command that ended a lease was committed in `term`.
  void OnEnded(raft::Term term, const ModelJob& job, queue::LeaseToken token, bool expired);
  // Whether this process of the node granted the lease before the call arrived, and the lease
  // cannot have ended yet.
  bool CertainlyHeld(const ServerCall& call, const ModelJob& job, queue::LeaseToken token) const;
  // Whether any leader granted this lease.
  bool WasGranted(const ModelJob& job, queue::LeaseToken token) const;

  // Whether a client has a greater token of the job, granted by a leader or forged.
  bool MayBeSuperseded(const ModelJob& job, queue::LeaseToken token) const;

  uint64_t grants() const { return granted_; }
  // Deliveries of a job after its first.
  uint64_t repeated_deliveries() const { return repeated_; }

 private:
  struct Grant {
    queue::LeaseToken token;
    int node = 0;
    uint64_t boot = 0;
    Time at{};
    raft::Index applied;  // the leader's applied index at the grant
    std::string worker;   // set when the lease call is answered
    std::string request_id;
    // The lease must not expire before `until` on the monotonic clock of the node `holder`.
    int holder = 0;
    uint64_t holder_boot = 0;
    raft::Term holder_term;
    Time until{};
    Time extended{};  // arrival of the newest extension that was answered OK
    bool release_arrived = false;
  };
  void CheckOrder(const SimNode& node, const ServerCall& call, const v1::LeaseJobsRequest& request,
                  const v1::LeaseJobsResponse& response);
  // Whether this leader could certainly grant the job from index `since` and time `from` on: the
  // job is ready, its queue is not paused, and no call with a token of it arrived here.
  bool CertainlyReady(const SimNode& node, const ModelJob& job, raft::Index since, Time from) const;
  Grant* FindGrant(const ModelJob& job, queue::LeaseToken token);
  const Grant* FindGrant(const ModelJob& job, queue::LeaseToken token) const;
  std::vector<Grant>& GrantsOf(const ModelJob& job);

  World* world_;
  std::vector<std::vector<Grant>> grants_;  // by the job's slot in the model
  // By node and job id: the boot number of the process that last received a token of the job.
  std::map<std::pair<int, std::string>, uint64_t> touched_;
  struct Purges {
    uint64_t boot = 0;
    int open = 0;
    Time closed{};  // when the last purge was answered
  };
  std::map<std::pair<int, std::string>, Purges> purges_;  // by node and queue
  // By the job's slot: the highest token that a client forged. A leader does not know the grants of
  // earlier leaders, so it may accept a forged token of an earlier term.
  std::map<uint32_t, queue::LeaseToken> forged_;
  uint64_t granted_ = 0;
  uint64_t repeated_ = 0;
};

}  // namespace dqueue::sim
