#include "transport/listeners/poller_reserve.h"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "transport/listeners/callback_threads.h"

namespace dqueue::transport {

using Clock = std::chrono::steady_clock;

// The watch checks every kSlowWait / 2, and sleeps when nothing has waited for that long.
constexpr std::chrono::seconds kQuiet{1};

class PollerReserve {
 public:
  static PollerReserve& Get() {
    // Never destroyed: its threads live as long as the process.
    static PollerReserve* const reserve = new PollerReserve;
    return *reserve;
  }

  void Keep() {
    std::unique_lock lock(mutex_);
    kept_ = true;
    MaybeCall(lock);
  }
  void Begin(PollerMayWait* wait) {
    const std::lock_guard lock(mutex_);
    waits_.push_back(wait);
    if (!watched_) std::thread([this] { Watch(); }).detach();
    watched_ = true;
    if (std::exchange(asleep_, false)) wake_.notify_one();
  }
  bool End(PollerMayWait* wait) {
    std::unique_lock lock(mutex_);
    if (wait->state_ == PollerMayWait::State::kDone) return false;
    const bool slow = wait->state_ == PollerMayWait::State::kSlow;
    wait->state_ = PollerMayWait::State::kDone;
    std::erase(waits_, wait);
    if (!slow) return false;
    // when_slow() may be running.
    told_.wait(lock, [&] { return telling_ != wait; });
    --slow_;
    MaybeCall(lock);
    return true;
  }

 private:
  // A call whose callback parks the thread that runs it. At most one at a time.
  void MaybeCall(std::unique_lock<std::mutex>& lock) {
    if (!kept_ || called_ || slow_ > 0) return;
    called_ = true;
    lock.unlock();
    auto call = std::make_shared<LameCall>();
    call->Begin([this, call] { Park(); });
  }
  void Park() {
    std::unique_lock lock(mutex_);
    let_out_.wait(lock, [this] { return slow_ > 0; });
    called_ = false;
  }

  void Watch() {
    std::unique_lock lock(mutex_);
    Clock::time_point last_wait = Clock::now();
    while (true) {
      lock.unlock();
      std::this_thread::sleep_for(kSlowWait / 2);
      lock.lock();
      const Clock::time_point now = Clock::now();
      if (!waits_.empty()) last_wait = now;
      while (TellOne(now, lock)) {
      }
      if (now - last_wait < kQuiet) continue;
      asleep_ = true;
      wake_.wait(lock, [this] { return !asleep_; });
      last_wait = Clock::now();
    }
  }
  bool TellOne(Clock::time_point now, std::unique_lock<std::mutex>& lock) {
    for (PollerMayWait* wait : waits_) {
      if (wait->state_ != PollerMayWait::State::kWaiting || now - wait->since_ < kSlowWait)
        continue;
      wait->state_ = PollerMayWait::State::kSlow;
      ++slow_;
      let_out_.notify_all();
      telling_ = wait;
      lock.unlock();
      wait->when_slow_();
      lock.lock();
      telling_ = nullptr;
      told_.notify_all();
      return true;
    }
    return false;
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable let_out_;
  std::condition_variable told_;
  bool kept_ = false;
  bool called_ = false;  // a thread is parked, or will be
  bool watched_ = false;
  bool asleep_ = false;
  int slow_ = 0;
  std::vector<PollerMayWait*> waits_;
  const PollerMayWait* telling_ = nullptr;
};

void KeepOnePollerInReserve() { PollerReserve::Get().Keep(); }

PollerMayWait::PollerMayWait(std::function<void()> when_slow)
    : when_slow_(std::move(when_slow)), since_(Clock::now()) {
  PollerReserve::Get().Begin(this);
}
bool PollerMayWait::Done() { return PollerReserve::Get().End(this); }

}  // namespace dqueue::transport
