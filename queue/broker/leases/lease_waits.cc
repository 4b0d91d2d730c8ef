#include "queue/broker/leases/lease_waits.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/check.h"
#include "queue/broker/refusals.h"

namespace dqueue::queue {

LeaseWaits::LeaseWaits(StateMachine& state, WorkerRegistry& workers, Confirmations& confirmations,
                       CallTimers& timers)
    : state_(state), workers_(workers), confirmations_(confirmations), timers_(timers) {}

void LeaseWaits::Add(LeaseWait wait) {
  const uint64_t number = timers_.NewNumber();
  LeaseWait& added = waits_[number] = std::move(wait);
  workers_.BeginWait(added.worker);
  timers_.Set(number, &added.timer, added.call.deadline);
  confirmations_.AddLeaseCall(number);
}

LeaseWait* LeaseWaits::Find(uint64_t number) {
  const auto it = waits_.find(number);
  return it == waits_.end() ? nullptr : &it->second;
}

bool LeaseWaits::EarlierIsWoken(uint64_t number, const LeaseWait& wait) const {
  if (sleepers_.empty()) return false;
  return std::any_of(wait.queues.begin(), wait.queues.end(), [&](const std::string& queue) {
    const auto it = sleepers_.find(queue);
    return it != sleepers_.end() && !it->second.woken.empty() && *it->second.woken.begin() < number;
  });
}

void LeaseWaits::Sleep(uint64_t number, LeaseWait* wait) {
  ForgetWake(number, wait);
  wait->asleep = true;
  for (const std::string& queue : wait->queues) {
    Sleepers& sleepers = sleepers_[queue];
    if (wait->types.empty()) sleepers.of_any_type.insert(number);
    for (const std::string& type : wait->types) sleepers.of_type[type].insert(number);
  }
  timers_.Set(number, &wait->timer, std::min(wait->wait_until, wait->call.deadline));
}

void LeaseWaits::Unsleep(uint64_t number, LeaseWait* wait) {
  DQ_CHECK(wait->asleep);
  wait->asleep = false;
  for (const std::string& queue : wait->queues) {
    const auto it = sleepers_.find(queue);
    DQ_CHECK(it != sleepers_.end());
    Sleepers& sleepers = it->second;
    sleepers.of_any_type.erase(number);
    for (const std::string& type : wait->types) {
      const auto of_type = sleepers.of_type.find(type);
      DQ_CHECK(of_type != sleepers.of_type.end());
      of_type->second.erase(number);
      if (of_type->second.empty()) sleepers.of_type.erase(of_type);
    }
    if (sleepers.empty()) sleepers_.erase(it);
  }
}

uint64_t LeaseWaits::FirstSleeper(std::string_view queue, std::string_view type) const {
  const auto it = sleepers_.find(queue);
  if (it == sleepers_.end()) return 0;
  const Sleepers& sleepers = it->second;
  uint64_t first = sleepers.of_any_type.empty() ? 0 : *sleepers.of_any_type.begin();
  const auto of_type = sleepers.of_type.find(type);
  if (of_type != sleepers.of_type.end()) {
    const uint64_t number = *of_type->second.begin();
    if (first == 0 || number < first) first = number;
  }
  return first;
}

void LeaseWaits::WakeFirst(std::string_view queue, std::string_view type) {
  uint64_t number = FirstSleeper(queue, type);
  if (number == 0) return;
  WakeReason reason{std::string(queue), std::string(type)};
  for (; number != 0; number = FirstSleeper(reason.queue, reason.type)) {
    LeaseWait* const wait = Find(number);
    DQ_CHECK(wait != nullptr);
    if (IsCancelled(wait->call)) {
      Finish(number, v1::LeaseJobsResponse());
      continue;
    }
    Unsleep(number, wait);
    timers_.Set(number, &wait->timer, wait->call.deadline);
    sleepers_[reason.queue].woken.insert(number);
    wait->woken = std::move(reason);
    confirmations_.AddLeaseCall(number);
    return;
  }
}

void LeaseWaits::ForgetWake(uint64_t number, LeaseWait* wait) {
  if (!wait->woken) return;
  const auto it = sleepers_.find(wait->woken->queue);
  DQ_CHECK(it != sleepers_.end() && it->second.woken.contains(number));
  it->second.woken.erase(number);
  if (it->second.empty()) sleepers_.erase(it);
  wait->woken.reset();
}

void LeaseWaits::Finish(uint64_t number, Outcome<v1::LeaseJobsResponse> outcome) {
  const auto it = waits_.find(number);
  DQ_CHECK(it != waits_.end());
  LeaseWait& wait = it->second;
  if (wait.asleep) Unsleep(number, &wait);
  timers_.Set(number, &wait.timer, Time::max());
  const std::optional<WakeReason> reason = wait.woken;
  ForgetWake(number, &wait);
  const auto done = std::move(wait.call.done);
  workers_.EndWait(wait.worker);
  waits_.erase(it);
  if (reason && state_.HasReady(std::span(&reason->queue, 1), std::span(&reason->type, 1))) {
    WakeFirst(reason->queue, reason->type);
  }
  done(std::move(outcome));
}

bool LeaseWaits::OnTimer(Time now, uint64_t number) {
  const LeaseWait* const wait = Find(number);
  if (wait == nullptr) return false;
  if (wait->call.deadline <= now) {
    Finish(number, DeadlinePassedError());
  } else {
    Finish(number, v1::LeaseJobsResponse());
  }
  return true;
}

void LeaseWaits::FailAll(const Error& error) {
  sleepers_.clear();
  for (auto& [number, wait] : std::exchange(waits_, {})) wait.call.done(error);
}

void LeaseWaits::OnReady(const JobsReady& event) {
  for (uint32_t i = 0; i < event.count && !sleepers_.empty(); ++i) {
    WakeFirst(event.queue, event.type);
  }
}

void LeaseWaits::ReleaseJob(JobRef job) {
  if (!state_.Release(job) || sleepers_.empty()) return;
  const JobView view = state_.View(job);
  WakeFirst(view.queue, view.type);
}

}  // namespace dqueue::queue
