#include "client/retry.h"

#include <algorithm>

namespace dqueue::client {

RetryState::RetryState(Clock::time_point deadline, Effect effect, size_t servers, uint64_t seed)
    : deadline_(deadline),
      effect_(effect),
      servers_(std::max<size_t>(servers, 1)),
      random_(static_cast<std::minstd_rand::result_type>(seed)) {}

Step RetryState::OnFailure(const FailedAttempt& failure, Clock::time_point now) {
  Step step;
  if (failure.maybe_done && effect_ != Effect::kNone) unknown_ = true;
  last_ = failure.status;
  if (unknown_ && effect_ == Effect::kOnce) {
    step.status = OutOfTime();
    step.avoid_server = failure.transport;
    return step;
  }

  // AIP-194 retries UNAVAILABLE. RESOURCE_EXHAUSTED is retried only with RetryInfo.
  const std::string& reason = failure.status.reason;
  const bool full =
      failure.status.code == Code::kResourceExhausted && failure.retry_after.count() > 0;
  const bool retry = failure.transport || failure.status.code == Code::kUnavailable || full ||
                     reason == "DEADLINE_PASSED";
  if (!retry) {
    step.status = failure.status;
    return step;
  }
  // Another server can succeed at once. An overloaded server or an election needs a wait.
  const bool elsewhere = failure.transport || reason == "SHUTTING_DOWN" ||
                         (reason == "NOT_LEADER" && !failure.leader_address.empty());
  step.avoid_server = failure.transport || reason == "SHUTTING_DOWN" || reason == "NO_LEADER";
  if (elsewhere && tried_without_waiting_ < servers_) {
    ++tried_without_waiting_;
  } else {
    tried_without_waiting_ = 0;
    step.wait = std::max(NextBackOff(), full ? failure.retry_after : Duration{0});
  }
  if (now + step.wait >= deadline_) {
    step.status = OutOfTime();
    return step;
  }
  step.kind = Step::Kind::kRetry;
  return step;
}

Duration RetryState::NextBackOff() {
  const Duration most = back_off_;
  back_off_ = std::min(back_off_ * 2, kBackOffMax);
  const Duration least = most / 2;
  return least +
         Duration(std::uniform_int_distribution<int64_t>(0, (most - least).count())(random_));
}

Status RetryState::OutOfTime() const {
  Status status = last_;
  if (unknown_) {
    status.code = Code::kUnknownOutcome;
  } else if (status.code != Code::kResourceExhausted) {
    status.code = Code::kUnavailable;
  }
  if (status.message.empty()) status.message = "no server answered in time";
  return status;
}

}  // namespace dqueue::client
