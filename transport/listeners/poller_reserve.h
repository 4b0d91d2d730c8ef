// Keeps one of gRPC's polling threads in reserve. gRPC 1.51 polls for callbacks with at least two
// threads, and a thread that takes an event wakes another one to poll. On a machine with few cores
// these wake-ups cost more than the second thread gains. The reserved thread is parked in a
// callback and released when another callback waits for too long (a stalled disk).
//
// For the whole process, because gRPC's threads are.
#pragma once

#include <chrono>
#include <functional>

namespace dqueue::transport {

// A callback that waits for longer counts as slow.
inline constexpr std::chrono::milliseconds kSlowWait{10};

// Starts the reserve. Later calls have no effect.
void KeepOnePollerInReserve();

// Marks the part of a callback that may wait.
class PollerMayWait {
 public:
  // Calls `when_slow` once, on another thread, if the part is slow.
  explicit PollerMayWait(std::function<void()> when_slow);
  // No effect after Done().
  ~PollerMayWait() { Done(); }
  PollerMayWait(const PollerMayWait&) = delete;
  PollerMayWait& operator=(const PollerMayWait&) = delete;

  // Ends the part. True: it was slow, and when_slow() has returned. False: it will not be called.
  bool Done();

 private:
  friend class PollerReserve;
  enum class State { kWaiting, kSlow, kDone };

  const std::function<void()> when_slow_;
  const std::chrono::steady_clock::time_point since_;
  State state_ = State::kWaiting;  // under the reserve's mutex
};

}  // namespace dqueue::transport
