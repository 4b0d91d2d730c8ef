// Leases: who was given which job, with which token, and until when nobody else may have it. Every
// grant must be of a job that could be leased at the index that the leader had applied; every
// second delivery of a job needs a reason (its lease ran out and the log says so, it failed, was
// given back, was cancelled and retried, or the leader changed); tokens rise; an ended or
// superseded lease changes nothing. No grant is of a job whose queue is paused at that index; as an
// answer is never older than what anybody had seen when its call came in (J16), nothing is leased
// from a queue whose pause was acknowledged before the grant's confirmation began. No leader
// deletes a job that it has leased out.
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

// A call as the node that was asked sees it.
struct ServerCall {
  uint64_t id = 0;
  int client = 0;
  int node = 0;
  uint64_t boot = 0;
  Time arrived{};
  Time local_arrived{};
  // What any node had applied by then: an answer must not be older (reads are linearizable).
  raft::Index required;
  bool cancelled = false;        // the caller has gone
  queue::QueueAccessPtr access;  // as the node is told; null: all
};

class GrantChecker {
 public:
  explicit GrantChecker(World* world) : world_(world) {}

  // The broker has noted a lease.
  void OnGrant(const SimNode& node, const std::string& id, queue::LeaseToken token);
  // A call that names this job by token has reached the node: from now on it may hold it.
  void OnTokenArrives(const SimNode& node, const std::string& id, queue::LeaseToken token);
  void OnReleaseArrives(const SimNode& node, const std::string& id, queue::LeaseToken token);
  // A lease call was answered.
  void OnLeaseAnswer(const ServerCall& call, const v1::LeaseJobsRequest& request,
                     const v1::LeaseJobsResponse& response);
  // The leader may keep this job, or until the purge is answered those of this queue, from workers.
  void OnDeleteArrives(const SimNode& node, const std::string& id);
  void OnPurgeArrives(const SimNode& node, const std::string& queue);
  void OnPurgeAnswered(const SimNode& node, const std::string& queue);
  // A deletion was committed in `term`, with effect.
  void OnDeleted(raft::Term term, const ModelJob& job) const;
  void OnExtensionArrives(const SimNode& node, const std::string& id, queue::LeaseToken token,
                          Duration lease);
  // An extension was answered OK.
  void OnExtended(const ServerCall& call, const ModelJob& job, queue::LeaseToken token,
                  Duration lease);
  // A command that ends a lease was committed in `term`, with effect.
  void OnEnded(raft::Term term, const ModelJob& job, queue::LeaseToken token, bool expired);
  // Whether the node had given this lease before the call arrived, still knows it, and it cannot
  // have ended by now.
  bool CertainlyHeld(const ServerCall& call, const ModelJob& job, queue::LeaseToken token) const;
  // Whether the lease was ever given by anybody.
  bool WasGranted(const ModelJob& job, queue::LeaseToken token) const;

  // Whether somebody has a later token of the job, given by a leader or made up.
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
    raft::Index applied;  // by the leader, when it granted
    std::string worker;   // known when the call is answered
    std::string request_id;
    // Until then, on the clock of `holder`, the lease must not end by itself.
    int holder = 0;
    uint64_t holder_boot = 0;
    raft::Term holder_term;
    Time until{};
    Time extended{};  // when the newest extension that was answered OK had arrived
    bool release_arrived = false;
  };
  void CheckOrder(const SimNode& node, const ServerCall& call, const v1::LeaseJobsRequest& request,
                  const v1::LeaseJobsResponse& response);
  // Whether this leader must have been able to grant the job from index `since` and time `from` on:
  // it is ready, its queue is open, and nobody ever named it here.
  bool CertainlyReady(const SimNode& node, const ModelJob& job, raft::Index since, Time from) const;
  Grant* FindGrant(const ModelJob& job, queue::LeaseToken token);
  const Grant* FindGrant(const ModelJob& job, queue::LeaseToken token) const;
  std::vector<Grant>& GrantsOf(const ModelJob& job);

  World* world_;
  std::vector<std::vector<Grant>> grants_;  // by the job's slot in the model
  // By node and job id: the life of the process in which it last heard of a lease of it.
  std::map<std::pair<int, std::string>, uint64_t> touched_;
  struct Purges {
    uint64_t boot = 0;
    int open = 0;
    Time closed{};  // when the last was answered
  };
  std::map<std::pair<int, std::string>, Purges> purges_;  // by node and queue
  // By the job's slot: the highest token that a client made up. A leader cannot know what earlier
  // ones granted, so it may believe one of their terms.
  std::map<uint32_t, queue::LeaseToken> invented_;
  uint64_t granted_ = 0;
  uint64_t repeated_ = 0;
};

}  // namespace dqueue::sim
