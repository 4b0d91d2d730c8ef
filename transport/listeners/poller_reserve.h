// gRPC 1.51 polls for callbacks with at least two threads, and whichever takes an event wakes
// another to go on polling: on a machine with few cores those wake-ups cost more than the second
// thread brings. This keeps one of the threads in reserve, parked in a callback of its own, and
// lets it out when a callback waits for too long (a stalled disk).
//
// For the whole process, as gRPC's threads are.
#pragma once

#include <chrono>
#include <functional>

namespace dqueue::transport {

// A callback that waits for longer is slow.
inline constexpr std::chrono::milliseconds kSlowWait{10};

// From now on. Without effect when called again.
void KeepOnePollerInReserve();

// Around something in a callback that may wait.
class PollerMayWait {
 public:
  // If that is slow, `when_slow` is called once, by another thread.
  explicit PollerMayWait(std::function<void()> when_slow);
  // Without effect after Done().
  ~PollerMayWait() { Done(); }
  PollerMayWait(const PollerMayWait&) = delete;
  PollerMayWait& operator=(const PollerMayWait&) = delete;

  // True: it was slow, and when_slow() has been called. False: it will not be.
  bool Done();

 private:
  friend class PollerReserve;
  enum class State { kWaiting, kSlow, kDone };

  const std::function<void()> when_slow_;
  const std::chrono::steady_clock::time_point since_;
  State state_ = State::kWaiting;  // under the reserve's mutex
};

}  // namespace dqueue::transport
