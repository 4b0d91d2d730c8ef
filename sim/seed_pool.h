// Runs a range of seeds in child processes. A run that crashes or hangs ends only its own process
// and is reported as a failure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sim/simulation.h"

namespace dqueue::sim {

struct SeedRange {
  uint64_t first = 1;
  uint64_t last = 1;
};
// Parses "7" or "1..500". Returns nullopt for any other text.
std::optional<SeedRange> ParseSeeds(const std::string& text);

struct PoolOptions {
  SeedRange seeds;
  int jobs = 1;                // number of child processes
  int64_t time_limit_s = 0;    // start no seed after this many seconds; 0: no limit
  int64_t seed_limit_s = 300;  // a seed that runs longer is reported as hanging
  bool stop_at_first = true;   // stop at the first failure
  RunOptions run;
};

struct PoolResult {
  uint64_t seeds = 0;
  Duration simulated{};
  uint64_t trace_hash = 0;  // over all seeds that ran
  uint64_t entries = 0, jobs = 0, acknowledged = 0, grants = 0, repeated_deliveries = 0,
           elections = 0, durability_checks = 0;
  struct Failure {
    uint64_t seed = 0;
    std::string text;  // tail of the trace, profile, rule and detail
    std::string rule;
    std::string detail;
  };
  std::vector<Failure> failures;  // ordered by seed
};

// Calls `setup`, if it is not null, at the start of each child process.
PoolResult RunSeeds(const PoolOptions& options, const std::function<void()>& setup);

}  // namespace dqueue::sim
