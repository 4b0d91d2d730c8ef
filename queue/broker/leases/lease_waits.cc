#include "queue/broker/leases/lease_waits.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/check.h"
#include "queue/broker/refusals.h"

namespace dqueue::queue {

LeaseWaits::LeaseWaits(StateMachine& state, Pace& pace, WorkerRegistry& workers,
                       Confirmations& confirmations, CallTimers& timers)
    : state_(state),
      pace_(pace),
      workers_(workers),
      confirmations_(confirmations),
      timers_(timers) {}

int64_t LeaseWaits::CostOfSleep(const LeaseWait& wait) {
  constexpr int64_t kNamePairNs = 120;
  return kNamePairNs * static_cast<int64_t>(wait.queues.size() * (wait.types.size() + 1));
}

void LeaseWaits::Add(LeaseWait wait) {
  const uint64_t number = timers_.NewNumber();
  LeaseWait& added = waits_[number] = std::move(wait);
  NumberTypes(&added);
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
  pace_.Spend(CostOfSleep(*wait));
  wait->asleep = true;
  for (const std::string& queue : wait->queues) {
    Sleepers& sleepers = sleepers_[queue];
    if (wait->types.empty()) sleepers.of_any_type.insert(number);
    for (const uint32_t type : wait->type_numbers) sleepers.of_type[type].insert(number);
  }
  timers_.Set(number, &wait->timer, std::min(wait->wait_until, wait->call.deadline));
}

void LeaseWaits::NumberTypes(LeaseWait* wait) {
  pace_.Spend(static_cast<int64_t>(wait->types.size()) * kResultNs);
  for (const std::string& name : wait->types) {
    const auto [it, added] = type_numbers_.try_emplace(name, 0);
    if (added) {
      if (free_types_.empty()) {
        free_types_.push_back(static_cast<uint32_t>(types_.size()));
        types_.emplace_back();
      }
      it->second = free_types_.back();
      free_types_.pop_back();
      types_[it->second].name = name;
    }
    ++types_[it->second].calls;
    wait->type_numbers.push_back(it->second);
  }
}

void LeaseWaits::ForgetTypes(const LeaseWait& wait) {
  for (const uint32_t number : wait.type_numbers) {
    Type& type = types_[number];
    DQ_CHECK(type.calls > 0);
    if (--type.calls > 0) continue;
    type_numbers_.erase(type.name);
    type = {};
    free_types_.push_back(number);
  }
}

void LeaseWaits::Unsleep(uint64_t number, LeaseWait* wait) {
  DQ_CHECK(wait->asleep);
  pace_.Spend(CostOfSleep(*wait));
  wait->asleep = false;
  for (const std::string& queue : wait->queues) {
    const auto it = sleepers_.find(queue);
    DQ_CHECK(it != sleepers_.end());
    Sleepers& sleepers = it->second;
    sleepers.of_any_type.erase(number);
    for (const uint32_t type : wait->type_numbers) {
      const auto of_type = sleepers.of_type.find(type);
      DQ_CHECK(of_type != sleepers.of_type.end());
      of_type->second.erase(number);
      if (of_type->second.empty()) sleepers.of_type.erase(of_type);
    }
    if (sleepers.empty()) sleepers_.erase(it);
  }
}

uint64_t LeaseWaits::FirstSleeper(std::string_view queue,
                                  const std::optional<std::string>& type) const {
  const auto it = sleepers_.find(queue);
  if (it == sleepers_.end()) return 0;
  const Sleepers& sleepers = it->second;
  uint64_t first = sleepers.of_any_type.empty() ? 0 : *sleepers.of_any_type.begin();
  if (!type) return first;
  const auto type_number = type_numbers_.find(*type);
  if (type_number == type_numbers_.end()) return first;
  const auto of_type = sleepers.of_type.find(type_number->second);
  if (of_type != sleepers.of_type.end()) {
    const uint64_t number = *of_type->second.begin();
    if (first == 0 || number < first) first = number;
  }
  return first;
}

bool LeaseWaits::WakeOne(const std::string& queue, const std::optional<std::string>& type,
                         bool* woken) {
  *woken = false;
  const uint64_t number = FirstSleeper(queue, type);
  if (number == 0) return false;
  pace_.Spend(kFindNs);
  LeaseWait* const wait = Find(number);
  DQ_CHECK(wait != nullptr);
  if (IsCancelled(wait->call)) {
    Finish(number, v1::LeaseJobsResponse());
    return true;
  }
  Unsleep(number, wait);
  timers_.Set(number, &wait->timer, wait->call.deadline);
  sleepers_[queue].woken.insert(number);
  wait->woken = WakeReason{queue, type};
  confirmations_.AddLeaseCall(number);
  *woken = true;
  return true;
}

bool LeaseWaits::StepTypes(Wake* wake) {
  const auto it = sleepers_.find(wake->queue);
  if (it == sleepers_.end()) return false;
  const auto of_type = it->second.of_type.lower_bound(wake->next_type);
  if (of_type == it->second.of_type.end()) return false;
  pace_.Spend(kFindNs);
  const uint32_t type_number = of_type->first;
  const std::string type = types_[type_number].name;
  bool woken = false;
  // A cancelled sleeper is ended; the type's next one follows in the next step.
  if (state_.HasReady(std::span(&wake->queue, 1), std::span(&type, 1)) &&
      WakeOne(wake->queue, type, &woken) && !woken) {
    return true;
  }
  wake->next_type = type_number + 1;
  return true;
}

bool LeaseWaits::Step(Wake* wake) {
  if (wake->resumed) {
    if (StepTypes(wake)) return true;
    wake->resumed = false;
    wake->count = static_cast<uint32_t>(state_.ReadyTypes(wake->queue));
  }
  if (wake->count == 0) return false;
  bool woken = false;
  if (!WakeOne(wake->queue, wake->type, &woken)) return false;
  if (woken) --wake->count;
  return true;
}

void LeaseWaits::AddWake(Wake wake) {
  if (!sleepers_.contains(wake.queue)) return;
  wakes_.push_back(std::move(wake));
  Continue();
}

void LeaseWaits::Continue() {
  // A cancelled call that a step ends may pass on its wake-up: that one is added, not nested.
  if (std::exchange(continuing_, true)) return;
  while (!wakes_.empty() && !pace_.Exhausted()) {
    if (!Step(&wakes_.front())) wakes_.pop_front();
  }
  continuing_ = false;
}

void LeaseWaits::ForgetWake(uint64_t number, LeaseWait* wait) {
  if (!wait->woken) return;
  const auto it = sleepers_.find(wait->woken->queue);
  DQ_CHECK(it != sleepers_.end() && it->second.woken.contains(number));
  it->second.woken.erase(number);
  if (it->second.empty()) sleepers_.erase(it);
  wait->woken.reset();
}

LeaseWaits::Done LeaseWaits::End(uint64_t number) {
  const auto it = waits_.find(number);
  DQ_CHECK(it != waits_.end());
  LeaseWait& wait = it->second;
  if (wait.asleep) Unsleep(number, &wait);
  timers_.Set(number, &wait.timer, Time::max());
  const std::optional<WakeReason> reason = wait.woken;
  ForgetWake(number, &wait);
  Done done = std::move(wait.call.done);
  pace_.Spend(kAnswerNs);
  workers_.EndWait(wait.worker);
  ForgetTypes(wait);
  waits_.erase(it);
  if (reason) {
    const size_t types = reason->type ? 1 : 0;
    const std::string* const type = reason->type ? &*reason->type : nullptr;
    if (state_.HasReady(std::span(&reason->queue, 1), std::span(type, types))) {
      AddWake({.queue = reason->queue, .type = reason->type, .count = 1});
    }
  }
  return done;
}

void LeaseWaits::Finish(uint64_t number, Outcome<v1::LeaseJobsResponse> outcome) {
  End(number)(std::move(outcome));
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

void LeaseWaits::FailAll(const Error& error, Elsewhere* elsewhere) {
  wakes_.clear();
  elsewhere->Free(std::exchange(sleepers_, {}));
  elsewhere->Free(std::exchange(type_numbers_, {}));
  types_.clear();
  free_types_.clear();
  if (waits_.empty()) return;
  elsewhere->Run([waits = std::exchange(waits_, {}), error] {
    for (const auto& [number, wait] : waits) wait.call.done(error);
  });
}

void LeaseWaits::OnReady(const JobsReady& event) {
  AddWake({.queue = event.queue, .type = event.type, .count = event.count});
}

void LeaseWaits::OnResumed(const QueueResumed& event) {
  AddWake({.queue = event.queue, .resumed = true});
}

void LeaseWaits::ReleaseJob(JobRef job) {
  if (!state_.Release(job) || sleepers_.empty()) return;
  const JobView view = state_.View(job);
  AddWake({.queue = std::string(view.queue), .type = std::string(view.type), .count = 1});
}

}  // namespace dqueue::queue
