#include "client/timer.h"

#include <utility>

namespace dqueue::client {

void Timer::After(Duration wait, std::function<void()> run) {
  {
    const std::lock_guard lock(mutex_);
    if (!stop_) {
      due_.emplace(Clock::now() + wait, std::move(run));
      if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
      wake_.notify_one();
      return;
    }
  }
  run();
}

void Timer::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void Timer::Run() {
  std::unique_lock lock(mutex_);
  while (!stop_ || !due_.empty()) {
    if (due_.empty()) {
      wake_.wait(lock);
      continue;
    }
    const auto first = due_.begin();
    if (!stop_ && Clock::now() < first->first) {
      const Clock::time_point until = first->first;
      wake_.wait_until(lock, until);
      continue;
    }
    const std::function<void()> run = std::move(first->second);
    due_.erase(first);
    lock.unlock();
    run();
    lock.lock();
  }
}

}  // namespace dqueue::client
