// Limits of the broker, and its knowledge of the current leader.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "queue/state/state_machine.h"
#include "raft/types.h"

namespace dqueue::queue {

struct BrokerOptions {
  Duration lease_timeout = std::chrono::seconds(30);
  int32_t max_retries = 3;
  size_t max_waiting_calls = 100000;    // long polls and reads; beyond: OVERLOADED
  size_t max_batch_commands = 4096;     // in one log entry
  size_t max_batch_bytes = 1 << 20;     // soft: one command always fits
  size_t max_pending_bytes = 64 << 20;  // commands waiting for a batch; beyond: OVERLOADED
  size_t max_pending_commands = 200000;
  // What the leader has the log trim to: finished jobs and idempotency keys.
  KeepLimits keep;
  std::string Problem() const;  // empty if valid
};

// Why the node has no memory for new jobs.
struct MemoryShortage {
  uint64_t used_bytes = 0;  // by this node; 0: other members, needed for a majority, are short
  uint64_t limit_bytes = 0;
};

// The leader that callers of another node are sent to.
struct LeaderHint {
  std::string leader_id;  // empty: unknown
  std::string leader_address;
  uint64_t term = 0;
};

}  // namespace dqueue::queue
