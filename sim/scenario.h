// Scripts for the tests: a world without chance faults and with clients whose calls are made one at
// a time and waited for.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dqueue/v1/service.pb.h"
#include "sim/clients/caller.h"
#include "sim/world.h"

namespace dqueue::sim {

// Healthy machines with small sizes; the seed still decides on delays and election timeouts.
Profile QuietProfile(int nodes);

class Scenario {
 public:
  explicit Scenario(const Profile& profile, uint64_t seed = 1);
  ~Scenario() { world.PowerOff(); }

  // The number of the serving leader; 0 if there is none in time.
  int WaitForLeader(Duration limit = 10s);
  // A leader other than this one.
  int WaitForOtherLeader(int than, Duration limit = 10s);
  // All nodes that are up have applied everything.
  bool WaitUntilEqual(Duration limit = 30s);

  // Asks this node and waits; nullopt: no answer in time.
  template <class C>
  std::optional<queue::Outcome<typename C::ResponseType>> Ask(int node,
                                                              typename C::RequestType request,
                                                              Duration timeout = 2s) {
    std::optional<queue::Outcome<typename C::ResponseType>> answer;
    bool done = false;
    client.CallNode<C>(node, std::move(request), timeout, [&](auto outcome) {
      answer = std::move(outcome);
      done = true;
    });
    world.RunUntil([&done] { return done; }, timeout + 1s);
    return answer;
  }

  // A job with this id and a payload of its own. "OK", "EXISTS", the reason of the refusal, or
  // "UNKNOWN" without an answer.
  std::string Enqueue(int node, const std::string& id, Duration timeout = 2s);
  v1::EnqueueJobsRequest EnqueueRequest(const std::string& id);
  // At most `max` jobs for this worker; empty also on errors. The reason of an error in *reason.
  std::vector<v1::Job> Lease(int node, const std::string& worker, int max = 1, Duration wait = 0us,
                             Duration lease = 5s, std::string* reason = nullptr);
  // "OK", the reason, or "UNKNOWN".
  std::string Complete(int node, const v1::Job& job, Duration timeout = 2s);
  std::string Extend(int node, const v1::Job& job, Duration lease);
  std::string Release(int node, const v1::Job& job);
  // The state that the node shows; UNSPECIFIED if it shows none.
  v1::JobState StateOf(int node, const std::string& id);
  raft::Term Term(int node) { return world.node(node).node().raft().status().term; }

  World world;
  Caller client;

 private:
  uint64_t next_number_ = 1;
};

}  // namespace dqueue::sim
