// Breaks a cluster for a while under load, and then compares what was promised with what is there.
//
// What must hold, whatever was killed: each enqueue that was acknowledged is completed in the end;
// no completion counts twice; a job whose completion was acknowledged is never handed out again;
// each lease of a job has a greater token than the one before; nothing is there that nobody sent;
// the states add up; all nodes have the same state.
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
  std::chrono::milliseconds duration{60000};
  std::chrono::milliseconds kill_interval{10000};
  std::chrono::milliseconds restart_after{2000};
  int producers = 4;
  int workers = 4;
  int batch = 16;
  int64_t rate = 2000;  // jobs per second that are enqueued, about
  client::Duration timeout{15000};
  std::chrono::milliseconds drain_limit{120000};
};

// What is known of one job, from this side.
struct JobRecord {
  bool acknowledged = false;
  int executions = 0;
  int given_up = 0;  // executions that were meant to fail or to be forgotten
  int outcomes = 0;  // completions that were acknowledged, each with a token of its own
  std::chrono::steady_clock::time_point completed_at{};
  client::FencingToken token;  // of its last lease
};

struct ChaosReport {
  uint64_t submitted = 0, acknowledged = 0, unknown = 0, refused = 0;
  uint64_t completed = 0;
  uint64_t lost = 0;
  uint64_t executed_twice =
      0;  // more often than jobs were given up on purpose; allowed, but counted
  uint64_t outcome_twice = 0;
  uint64_t stale_refused = 0;  // outcomes that came too late and did not count
  int kills = 0;
  Latencies gaps;                       // from a kill to the next enqueue that succeeded
  std::vector<std::string> violations;  // the first few, in words
  uint64_t violation_count = 0;
  bool ok() const { return violation_count == 0 && lost == 0 && outcome_twice == 0; }
};

// The records of all jobs, shared by producers, workers and the judge.
class ChaosLedger {
 public:
  using Clock = std::chrono::steady_clock;

  explicit ChaosLedger(std::string prefix) : prefix_(std::move(prefix)) {}

  // A new job's id; nobody else has it.
  std::string Submit();
  void Acknowledged(const std::string& id, Clock::time_point call_start);
  void NotAcknowledged(const client::Status& status);
  // A lease call that began at `call_start` brought this job.
  void Leased(const client::Job& job, Clock::time_point call_start);
  void GivenUp(const std::string& id);
  void CompletionAnswered(const client::Completion& completion, const client::Status& status);
  // The time to the next success is a failover gap.
  void LeaderKilled(Clock::time_point when);
  void Violation(const std::string& what);

  // Compares with the states of all jobs that the cluster has.
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

// Runs all of it. `pause(ms)` waits; false: stop early. `say` gets lines for people.
ChaosReport RunChaos(const ChaosOptions& options, LocalCluster* cluster,
                     const std::function<bool(std::chrono::milliseconds)>& pause,
                     const std::function<void(const std::string&)>& say);

}  // namespace dqueue::cmd
