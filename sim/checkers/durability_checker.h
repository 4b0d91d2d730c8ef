// Checks rules R1 and R3, durable before sent. When a node sends a vote, a vote request or an
// acknowledgement, the checker copies its disk without unsynced data, runs recovery on the copy,
// and requires the state that the message claims. This is costly, so a random share of messages is
// checked (Profile::durability_check).
#pragma once

#include <cstdint>

#include "raft/message.h"
#include "raft/types.h"
#include "sim/random_stream.h"
#include "storage/log/log.h"

namespace dqueue::sim {

class SimNode;
class World;

class DurabilityChecker {
 public:
  DurabilityChecker(World* world, uint64_t seed);

  void BeforeSend(const SimNode& node, const raft::Message& message);
  // The leader of `term` has counted its own log as durable up to `durable`.
  void OnLeaderCommit(const SimNode& node, raft::Term term, raft::Index durable);

  uint64_t checks() const { return checks_; }

 private:
  storage::LogReport Inspect(const SimNode& node);

  World* world_;
  RandomStream random_;
  uint64_t checks_ = 0;
};

}  // namespace dqueue::sim
