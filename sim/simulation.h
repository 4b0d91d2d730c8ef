// One random run: a safety phase with all faults, a liveness phase in which a majority is healed
// and everything that was begun must end, and an audit of what is left.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sim/checkers/violation.h"
#include "sim/profile.h"

namespace dqueue::sim {

struct RunReport {
  uint64_t seed = 0;
  std::string summary;  // of the profile
  std::optional<Violation> violation;
  std::string tail;  // of the trace, after a violation
  uint64_t trace_hash = 0;
  Duration simulated{};
  // How much happened, to see that the load and the faults are not too tame.
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
