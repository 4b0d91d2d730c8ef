// Runs many seeds, in as many processes as asked for. A process for itself also means that a run
// which crashes or hangs ends only itself, and is reported.
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
// "7" or "1..500"; nullopt if it is neither.
std::optional<SeedRange> ParseSeeds(const std::string& text);

struct PoolOptions {
  SeedRange seeds;
  int jobs = 1;
  int64_t time_limit_s = 0;    // begin no seed after that; 0: no limit
  int64_t seed_limit_s = 300;  // a seed that takes longer hangs
  bool stop_at_first = true;   // failure
  RunOptions run;
};

struct PoolResult {
  uint64_t seeds = 0;
  Duration simulated{};
  uint64_t trace_hash = 0;  // of all seeds that were run
  uint64_t entries = 0, jobs = 0, acknowledged = 0, grants = 0, repeated_deliveries = 0,
           elections = 0, durability_checks = 0;
  struct Failure {
    uint64_t seed = 0;
    std::string text;  // rule, detail and the tail of the trace
    std::string rule;
    std::string detail;
  };
  std::vector<Failure> failures;  // by seed
};

// `before` runs in each process first.
PoolResult RunSeeds(const PoolOptions& options, const std::function<void()>& before);

}  // namespace dqueue::sim
