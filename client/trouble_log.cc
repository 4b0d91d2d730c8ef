#include "client/trouble_log.h"

#include <cstdio>

namespace dqueue::client {
namespace {

// Nothing but another request, key or configuration changes the answer.
bool IsRefusal(const FailedAttempt& failure) {
  if (failure.transport) return false;
  return failure.status.code == Code::kInvalidArgument ||
         failure.status.code == Code::kPermissionDenied;
}

std::string Seconds(Clock::duration time) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f s", std::chrono::duration<double>(time).count());
  return text;
}

}  // namespace

bool TroubleLog::OnFailure(Activity activity, const std::string& server,
                           const FailedAttempt& failure, Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  if (IsRefusal(failure)) {
    const bool same = refusal_ && refusal_->activity == activity &&
                      refusal_->status.reason == failure.status.reason;
    if (!same) refusal_ = Refusal{activity, failure.status, now};
    TellOnce(failure.status.reason + failure.status.message, failure.status, now);
    return true;
  }
  if (!failing_since_) failing_since_ = now;
  const bool patience = now - *failing_since_ < kPatience;
  if (failure.transport) {
    failed_servers_.insert(server);
    if (failed_servers_.size() < servers_ && patience) return told_at_.has_value();
    // The probe is still looking for the cause.
    if (failure.status.reason.empty() && patience) return told_at_.has_value();
    // As a rule a connection that breaks is there again at once.
    const bool broken = failure.status.reason.empty() || failure.maybe_done;
    if (broken && ever_succeeded_ && patience) return told_at_.has_value();
  } else if (patience) {
    return told_at_.has_value();
  }
  TellOnce(server + failure.status.reason, failure.status, now);
  return true;
}

void TroubleLog::TellOnce(const std::string& key, const Status& status, Clock::time_point now) {
  if (!told_.insert(key).second) return;
  if (!told_at_) told_at_ = now;
  tell_(status);
}

void TroubleLog::OnSuccess(Activity activity, Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  ever_succeeded_ = true;
  failing_since_.reset();
  failed_servers_.clear();
  if (refusal_) {
    // Another activity may be allowed to this key.
    if (refusal_->activity != activity) return;
    refusal_.reset();
  }
  if (!told_at_) return;
  const std::string time = Seconds(now - *told_at_);
  told_at_.reset();
  told_.clear();
  tell_({Code::kOk, "", "the servers answer again, after " + time});
}

std::optional<std::pair<Status, Clock::time_point>> TroubleLog::LeaseRefusal() const {
  const std::lock_guard lock(mutex_);
  if (!refusal_ || refusal_->activity != Activity::kLease) return std::nullopt;
  return std::pair{refusal_->status, refusal_->since};
}

bool TroubleLog::active() const {
  const std::lock_guard lock(mutex_);
  return told_at_.has_value();
}

}  // namespace dqueue::client
