// Durable before sent (rules R1, R3): at the moment at which a vote, a candidature or an
// acknowledgement leaves, a copy of the node's disk loses everything that was not synced, is read
// as recovery would read it, and must bear out what the message says. Costly, so by chance.
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
  // The leader of `term` has counted its own copy up to `durable`.
  void OnLeaderCommit(const SimNode& node, raft::Term term, raft::Index durable);

  uint64_t checks() const { return checks_; }

 private:
  storage::LogReport Inspect(const SimNode& node);

  World* world_;
  RandomStream random_;
  uint64_t checks_ = 0;
};

}  // namespace dqueue::sim
