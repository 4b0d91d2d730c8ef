// The clients' record of each job, and its comparison with the cluster. The guarantees that it
// checks:
//
// - Each acknowledged enqueue leads to a completed job.
// - A job has at most one acknowledged completion.
// - A job is not leased after its completion was acknowledged.
// - No two leases of a job have the same token.
// - The cluster has no job that was not submitted.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "client/client.h"
#include "cmd/cluster/latencies.h"

namespace dqueue::cmd {

// The history of one job as the clients saw it.
struct JobRecord {
  std::chrono::steady_clock::time_point submitted_at{};
  bool acknowledged = false;
  int executions = 0;
  int given_up = 0;  // executions failed or abandoned on purpose
  int outcomes = 0;  // acknowledged completions
  std::chrono::steady_clock::time_point completed_at{};
  client::FencingToken token;  // of its last lease
};

struct LedgerReport {
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
class JobLedger {
 public:
  using Clock = std::chrono::steady_clock;

  // `prefix` begins the ids.
  explicit JobLedger(std::string prefix) : prefix_(std::move(prefix)) {}

  // Returns the id of a new job.
  std::string Submit();
  // The enqueue call that began at `call_start` succeeded.
  void Acknowledged(const std::string& id, Clock::time_point call_start);
  // The enqueue call failed, or its outcome is unknown.
  void NotAcknowledged(const client::Status& status);
  // A lease call that began at `call_start` returned this job. Returns the time since Submit() if
  // it is the first lease of the job.
  std::optional<Clock::duration> Leased(const client::Job& job, Clock::time_point call_start);
  // The worker fails or abandons the job on purpose.
  void GivenUp(const std::string& id);
  void CompletionAnswered(const client::Completion& completion, const client::Status& status);
  // The time from `when` to the next acknowledged enqueue that began later is a failover gap.
  void LeaderKilled(Clock::time_point when);
  void Violation(const std::string& what);

  // Compares the records with the states of all jobs in the cluster. The cluster has purged this
  // many finished jobs, which are not in `states`: so many completed jobs may be gone.
  void Judge(const std::map<std::string, client::JobState>& states, uint64_t purged = 0);
  LedgerReport report() const;

 private:
  void ViolationLocked(const std::string& what);

  const std::string prefix_;
  mutable std::mutex mutex_;
  uint64_t next_ = 0;
  std::map<std::string, JobRecord> records_;
  LedgerReport report_;
  std::vector<Clock::time_point> open_kills_;
};

}  // namespace dqueue::cmd
