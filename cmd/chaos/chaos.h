// Kills leaders of a cluster under load, then verifies every job. The guarantees that it checks:
//
// - Each acknowledged enqueue leads to a completed job.
// - A job has at most one acknowledged completion.
// - A job is not leased after its completion was acknowledged.
// - No two leases of a job have the same token.
// - The cluster has no job that was not submitted.
// - The counts of the states add up to the number of jobs.
// - All nodes have the same state.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "client/client.h"
#include "cmd/cluster/latencies.h"
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

// The history of one job as the clients saw it.
struct JobRecord {
  bool acknowledged = false;
  int executions = 0;
  int given_up = 0;  // executions failed or abandoned on purpose
  int outcomes = 0;  // acknowledged completions
  std::chrono::steady_clock::time_point completed_at{};
  client::FencingToken token;  // of its last lease
};

struct ChaosReport {
  uint64_t submitted = 0, acknowledged = 0, unknown = 0, refused = 0;
  uint64_t completed = 0;
  uint64_t lost = 0;
  // Jobs executed more than once although not given up on purpose. Allowed, but counted.
  uint64_t executed_twice = 0;
  uint64_t outcome_twice = 0;  // second acknowledged completions of a job
  uint64_t stale_refused = 0;  // completions that were not acknowledged
  int kills = 0;
  Latencies gaps;                       // from a kill to the next acknowledged enqueue
  std::vector<std::string> violations;  // descriptions of the first 20
  uint64_t violation_count = 0;
  bool ok() const { return violation_count == 0 && lost == 0 && outcome_twice == 0; }
};

// The records of all jobs. Thread-safe.
class ChaosLedger {
 public:
  using Clock = std::chrono::steady_clock;

  explicit ChaosLedger(std::string prefix) : prefix_(std::move(prefix)) {}

  // Returns the id of a new job.
  std::string Submit();
  // The enqueue call that began at `call_start` succeeded.
  void Acknowledged(const std::string& id, Clock::time_point call_start);
  // The enqueue call failed, or its outcome is unknown.
  void NotAcknowledged(const client::Status& status);
  // A lease call that began at `call_start` returned this job.
  void Leased(const client::Job& job, Clock::time_point call_start);
  // The worker fails or abandons the job on purpose.
  void GivenUp(const std::string& id);
  void CompletionAnswered(const client::Completion& completion, const client::Status& status);
  // The time from `when` to the next acknowledged enqueue that began later is a failover gap.
  void LeaderKilled(Clock::time_point when);
  void Violation(const std::string& what);

  // Compares the records with the states of all jobs in the cluster.
  void Judge(const std::map<std::string, client::JobState>& states);
  ChaosReport report() const;

 private:
  void ViolationLocked(const std::string& what);

  const std::string prefix_;
  mutable std::mutex mutex_;
  uint64_t next_ = 0;
  std::map<std::string, JobRecord> records_;
  ChaosReport report_;
  std::vector<Clock::time_point> open_kills_;
};

// Runs the load, the kills and the verification. `pause(ms)` waits; it returns false to end the
// load early. `say` gets progress messages.
ChaosReport RunChaos(const ChaosOptions& options, LocalCluster* cluster,
                     const std::function<bool(std::chrono::milliseconds)>& pause,
                     const std::function<void(const std::string&)>& say);

}  // namespace dqueue::cmd
