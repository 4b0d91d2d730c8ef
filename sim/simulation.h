// One random run in three phases. Safety: all faults. Liveness: a majority is healed, and all calls
// and jobs must finish. Audit: all undamaged nodes return and must have equal state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sim/checkers/violation.h"
#include "sim/profile.h"

namespace dqueue::sim {

struct RunReport {
  uint64_t seed = 0;
  std::string summary;  // Profile::Summary()
  std::optional<Violation> violation;
  std::string tail;  // last lines of the trace, after a violation
  uint64_t trace_hash = 0;
  Duration simulated{};
  // Counts that show whether load and faults were strong enough.
  uint64_t entries = 0;
  uint64_t jobs = 0;
  uint64_t acknowledged = 0;
  uint64_t grants = 0;
  uint64_t repeated_deliveries = 0;
  uint64_t elections = 0;
  uint64_t durability_checks = 0;
};

struct RunOptions {
  std::string profile = "swarm";
  bool print_trace = false;
  size_t tail_lines = 60;
};

RunReport RunSeed(uint64_t seed, const RunOptions& options);

}  // namespace dqueue::sim
