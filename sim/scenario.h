// For scripted tests: a world without random faults, and a client that makes one call at a time and
// waits for the answer.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dqueue/v1/service.pb.h"
#include "sim/clients/caller.h"
#include "sim/world.h"

namespace dqueue::sim {

// A profile without faults, with small sizes. The seed determines delays and election timeouts.
Profile QuietProfile(int nodes);

class Scenario {
 public:
  explicit Scenario(const Profile& profile, uint64_t seed = 1);
  ~Scenario() { world.PowerOff(); }

  // Returns the number of the serving leader, or 0 if none serves within `limit`.
  int WaitForLeader(Duration limit = 10s);
  // The same, for a leader other than `than`.
  int WaitForOtherLeader(int than, Duration limit = 10s);
  // Waits until a leader serves and all nodes that are up have applied the whole ledger.
  bool WaitUntilAllApplied(Duration limit = 30s);

  // Calls this node and waits. Returns nullopt if no answer comes within `timeout`.
  template <class C>
  std::optional<queue::Outcome<typename C::ResponseType>> CallAndWait(
      int node, typename C::RequestType request, Duration timeout = 2s) {
    std::optional<queue::Outcome<typename C::ResponseType>> answer;
    bool done = false;
    client.CallNode<C>(node, std::move(request), timeout, [&](auto outcome) {
      answer = std::move(outcome);
      done = true;
    });
    world.RunUntil([&done] { return done; }, timeout + 1s);
    return answer;
  }

  // Enqueues a job with this id and a new payload. Returns "OK", "EXISTS", the error reason, or
  // "UNKNOWN" if no answer came.
  std::string Enqueue(int node, const std::string& id, Duration timeout = 2s);
  v1::EnqueueJobsRequest EnqueueRequest(const std::string& id);
  // Leases up to `max` jobs for this worker. Returns no jobs on an error. Sets *reason to "OK", the
  // error reason or "UNKNOWN".
  std::vector<v1::Job> Lease(int node, const std::string& worker, int max = 1, Duration wait = 0us,
                             Duration lease = 5s, std::string* reason = nullptr);
  // These return "OK", the error reason, or "UNKNOWN" if no answer came.
  std::string Complete(int node, const v1::Job& job, Duration timeout = 2s);
  std::string Extend(int node, const v1::Job& job, Duration lease);
  std::string Release(int node, const v1::Job& job);
  // The job's state in the answer of this node; UNSPECIFIED after an error or without an answer.
  v1::JobState StateOf(int node, const std::string& id);
  raft::Term Term(int node) { return world.node(node).node().raft().status().term; }

  World world;
  Caller client;

 private:
  uint64_t next_number_ = 1;
};

}  // namespace dqueue::sim
