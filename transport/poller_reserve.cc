#include "transport/poller_reserve.h"

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "transport/channels.h"

namespace dqueue::transport {
namespace {

using Clock = std::chrono::steady_clock;

// After waiting for so long a callback counts as stuck.
constexpr std::chrono::milliseconds kPatience{20};

class Reserve {
 public:
  static Reserve& Get() {
    // Never destroyed: a thread may be parked in it when the process ends.
    static Reserve* const reserve = new Reserve;
    return *reserve;
  }

  void Keep() {
    std::unique_lock lock(mutex_);
    kept_ = true;
    MaybeCall(lock);
  }
  void BeginWait() {
    const std::lock_guard lock(mutex_);
    if (waiting_++ == 0) since_ = Clock::now();
  }
  void EndWait() {
    std::unique_lock lock(mutex_);
    if (--waiting_ > 0) return;
    since_.reset();
    MaybeCall(lock);
  }

 private:
  // A call whose callback parks the thread that runs it. At most one at a time.
  void MaybeCall(std::unique_lock<std::mutex>& lock) {
    if (!kept_ || called_) return;
    called_ = true;
    lock.unlock();
    auto call = std::make_shared<LameCall>();
    call->Begin([this, call] { Park(); });
  }

  // Nobody tells that it is time: a poller that is stuck cannot, and the others need not know.
  void Park() {
    while (true) {
      std::this_thread::sleep_for(kPatience);
      const std::lock_guard lock(mutex_);
      if (!since_ || Clock::now() - *since_ < kPatience) continue;
      called_ = false;
      return;
    }
  }

  std::mutex mutex_;
  bool kept_ = false;
  bool called_ = false;  // a thread is parked, or will be
  int waiting_ = 0;
  std::optional<Clock::time_point> since_;  // somebody has been waiting
};

}  // namespace

void KeepOnePollerInReserve() { Reserve::Get().Keep(); }

PollerMayWait::PollerMayWait() { Reserve::Get().BeginWait(); }
PollerMayWait::~PollerMayWait() { Reserve::Get().EndWait(); }

}  // namespace dqueue::transport
