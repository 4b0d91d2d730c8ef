#include "cmd/chaos/chaos.h"

#include <algorithm>

#include "cmd/cluster/checked_load.h"

namespace dqueue::cmd {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Shares of leases that are failed or abandoned, so that retries and expirations happen between the
// kills.
constexpr int kFailedPerMille = 20;
constexpr int kAbandonedPerMille = 5;
constexpr milliseconds kRecoverLimit{30000};

LoadOptions LoadOf(const ChaosOptions& options, const LocalCluster& cluster) {
  LoadOptions load;
  load.access.servers = cluster.servers();
  load.access.timeout = options.timeout;
  load.queue = "chaos-" + client::NewUuidV7();
  load.producers = options.producers;
  load.workers = options.workers;
  load.batch = options.batch;
  load.rate = options.rate;
  load.failed_per_mille = kFailedPerMille;
  load.abandoned_per_mille = kAbandonedPerMille;
  return load;
}

class LeaderKiller {
 public:
  LeaderKiller(const ChaosOptions& options, LocalCluster* cluster, JobLedger* ledger)
      : options_(options), cluster_(cluster), ledger_(ledger) {}

  void Run(const std::function<bool(milliseconds)>& pause,
           const std::function<void(const std::string&)>& say) {
    const Clock::time_point start = Clock::now();
    const Clock::time_point end = start + options_.duration;
    const auto until = [](Clock::time_point time) {
      return std::max(std::chrono::duration_cast<milliseconds>(time - Clock::now()),
                      milliseconds(0));
    };
    // The load continues for one interval after the last kill.
    for (Clock::time_point next = start + options_.kill_interval;
         next + options_.kill_interval <= end; next += options_.kill_interval) {
      if (!pause(until(next))) return;
      const absl::StatusOr<int> leader = cluster_->FindLeader(kRecoverLimit);
      if (!leader.ok()) return ledger_->Violation(std::string(leader.status().message()));
      ledger_->LeaderKilled(Clock::now());
      cluster_->Kill(*leader);
      const LedgerReport report = ledger_->report();
      say("killed the leader, " + cluster_->name(*leader) + "; " +
          std::to_string(report.acknowledged) + " acknowledged, " +
          std::to_string(report.completed) + " completed so far");
      const bool go_on = pause(options_.restart_after);
      if (absl::Status status = cluster_->Restart(*leader); !status.ok()) {
        return ledger_->Violation(std::string(status.message()));
      }
      if (!go_on) return;
    }
    pause(until(end));
  }

 private:
  const ChaosOptions options_;
  LocalCluster* const cluster_;
  JobLedger* const ledger_;
};

}  // namespace

LedgerReport RunChaos(const ChaosOptions& options, LocalCluster* cluster,
                      const std::function<bool(milliseconds)>& pause,
                      const std::function<void(const std::string&)>& say) {
  const LoadOptions load_options = LoadOf(options, *cluster);
  JobLedger ledger(load_options.queue.substr(0, 14) + "-");
  CheckedLoad load(load_options, &ledger);
  LeaderKiller(options, cluster, &ledger).Run(pause, say);
  say("load stopped; completing the remaining jobs");
  load.Finish(options.drain_limit);
  load.Verify(cluster, kRecoverLimit);
  return ledger.report();
}

}  // namespace dqueue::cmd
