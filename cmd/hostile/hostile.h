// Judges a cluster that serves a normal load while authorised clients make legal requests at their
// limits. The phases:
//
// 1. The normal load runs alone.
// 2. The attackers run beside it, in a process of their own with a lower priority: they stand for
//    other machines. /health of each node is probed.
// 3. The attackers stop. The remaining jobs are completed, and each job is verified.
//
// The attackers and the normal load have keys of their own, so fairness between callers is tested.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cmd/cluster/local_cluster.h"
#include "cmd/hostile/verdict.h"

namespace dqueue::cmd {

struct HostileOptions {
  std::chrono::milliseconds duration{600000};  // of the attack
  std::chrono::milliseconds alone{30000};      // of the normal load before it
  int64_t rate = 200;                          // normal jobs per second, one in a call
  std::vector<std::string> attacks{};          // names; empty: all
  // The run ends early, as a failure, if a node uses more, so that the machine survives it.
  uint64_t memory_max = uint64_t{4} << 30;
  std::chrono::milliseconds drain_limit{120000};
  std::string directory{};  // for the attackers' keys and output
  std::string admin_key{};  // of the cluster
};

// `pause(ms)` waits; it returns false to end the run early. `say` gets progress messages.
// The attackers' own report is in the file AttackReport(options).
Findings RunHostile(const HostileOptions& options, LocalCluster* cluster,
                    const std::function<bool(std::chrono::milliseconds)>& pause,
                    const std::function<void(const std::string&)>& say);

std::string AttackReport(const HostileOptions& options);

}  // namespace dqueue::cmd
