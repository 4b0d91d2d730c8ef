#include "cmd/cluster/job_ledger.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace dqueue::cmd {
namespace {

constexpr size_t kViolationsKept = 20;

}  // namespace

std::string JobLedger::Submit() {
  const std::lock_guard lock(mutex_);
  char digits[32];
  std::snprintf(digits, sizeof digits, "%010llu", static_cast<unsigned long long>(next_++));
  std::string id = prefix_ + digits;
  records_[id].submitted_at = Clock::now();
  ++report_.submitted;
  return id;
}

void JobLedger::Acknowledged(const std::string& id, Clock::time_point call_start) {
  const std::lock_guard lock(mutex_);
  records_.at(id).acknowledged = true;
  ++report_.acknowledged;
  const Clock::time_point now = Clock::now();
  // A call that began before the kill may have been answered by the killed leader.
  std::erase_if(open_kills_, [&](Clock::time_point kill) {
    if (call_start < kill) return false;
    report_.gaps.Add(now - kill);
    return true;
  });
}

void JobLedger::NotAcknowledged(const client::Status& status) {
  const std::lock_guard lock(mutex_);
  const bool unknown = status.code == client::Code::kUnknownOutcome ||
                       status.code == client::Code::kDeadlineExceeded;
  ++(unknown ? report_.unknown : report_.refused);
}

std::optional<JobLedger::Clock::duration> JobLedger::Leased(const client::Job& job,
                                                            Clock::time_point call_start) {
  const std::lock_guard lock(mutex_);
  const auto found = records_.find(job.id);
  if (found == records_.end()) {
    ViolationLocked("leased job " + job.id + " was never submitted");
    return std::nullopt;
  }
  JobRecord& record = found->second;
  ++record.executions;
  if (record.outcomes > 0 && record.completed_at < call_start) {
    ViolationLocked("job " + job.id + " was leased after its completion was acknowledged");
  }
  // Concurrent calls may get here in another order than the cluster answered them, so a smaller
  // token proves nothing. An equal token is a violation in any order.
  if (record.executions > 1 && job.token == record.token) {
    ViolationLocked("job " + job.id + " was leased twice with token " + job.token.ToString());
  }
  record.token = std::max(record.token, job.token);
  if (record.executions > 1) return std::nullopt;
  return Clock::now() - record.submitted_at;
}

void JobLedger::GivenUp(const std::string& id) {
  const std::lock_guard lock(mutex_);
  ++records_.at(id).given_up;
}

void JobLedger::CompletionAnswered(const client::Completion& completion,
                                   const client::Status& status) {
  const std::lock_guard lock(mutex_);
  JobRecord& record = records_.at(completion.id);
  if (!status.ok()) {
    ++report_.stale_refused;
    return;
  }
  if (++record.outcomes == 1) {
    ++report_.completed;
    record.completed_at = Clock::now();
  } else {
    ++report_.outcome_twice;
    ViolationLocked("job " + completion.id + " was completed twice, last with token " +
                    completion.token.ToString());
  }
}

void JobLedger::LeaderKilled(Clock::time_point when) {
  const std::lock_guard lock(mutex_);
  ++report_.kills;
  open_kills_.push_back(when);
}

void JobLedger::Violation(const std::string& what) {
  const std::lock_guard lock(mutex_);
  ViolationLocked(what);
}

void JobLedger::ViolationLocked(const std::string& what) {
  ++report_.violation_count;
  if (report_.violations.size() < kViolationsKept) report_.violations.push_back(what);
}

void JobLedger::Judge(const std::map<std::string, client::JobState>& states, uint64_t purged) {
  const std::lock_guard lock(mutex_);
  uint64_t gone = 0;
  for (const auto& [id, record] : records_) {
    const auto found = states.find(id);
    if (found == states.end() && record.outcomes > 0 && ++gone <= purged) continue;
    const bool succeeded = found != states.end() && found->second == client::JobState::kSucceeded;
    if (record.acknowledged && !succeeded) {
      ++report_.lost;
      ViolationLocked("job " + id + " was acknowledged and is " +
                      (found == states.end() ? "gone" : client::JobStateName(found->second)));
    }
    if (record.outcomes > 0 && !succeeded) {
      ViolationLocked("job " + id + " was completed, but its state is not SUCCEEDED");
    }
    if (succeeded && record.executions == 0) {
      ViolationLocked("job " + id + " is SUCCEEDED, but no worker leased it");
    }
    if (record.executions > 1 + record.given_up) ++report_.executed_twice;
  }
  for (const auto& [id, state] : states) {
    if (!records_.contains(id))
      ViolationLocked("job " + id + " is in the cluster, but was never submitted");
  }
  if (!open_kills_.empty()) {
    ViolationLocked("after the last kill no enqueue succeeded");
  }
}

LedgerReport JobLedger::report() const {
  const std::lock_guard lock(mutex_);
  return report_;
}

}  // namespace dqueue::cmd
