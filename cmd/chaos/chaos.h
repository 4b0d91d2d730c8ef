// Kills leaders of a cluster under load, then verifies every job. The guarantees that it checks are
// those of cmd/cluster/job_ledger.h, and:
//
// - The counts of the states add up to the number of jobs.
// - All nodes have the same state.
// - After the last kill an enqueue succeeds.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "client/client.h"
#include "cmd/cluster/job_ledger.h"
#include "cmd/cluster/local_cluster.h"

namespace dqueue::cmd {

struct ChaosOptions {
  std::chrono::milliseconds duration{60000};  // of the load
  std::chrono::milliseconds kill_interval{10000};
  std::chrono::milliseconds restart_after{2000};  // from the kill of a node
  int producers = 4;
  int workers = 4;
  int batch = 16;       // jobs per call
  int64_t rate = 2000;  // upper limit of jobs enqueued per second
  client::Duration timeout{15000};
  std::chrono::milliseconds drain_limit{120000};  // to complete all jobs after the load
};

// Runs the load, the kills and the verification. `pause(ms)` waits; it returns false to end the
// load early. `say` gets progress messages.
LedgerReport RunChaos(const ChaosOptions& options, LocalCluster* cluster,
                      const std::function<bool(std::chrono::milliseconds)>& pause,
                      const std::function<void(const std::string&)>& say);

}  // namespace dqueue::cmd
