// gRPC 1.51 polls for callbacks with at least two threads, and whichever takes an event wakes
// another to go on polling: on a machine with few cores those wake-ups cost more than the second
// thread brings. This keeps one of the threads in reserve, parked in a callback of its own, and
// lets it out when the others wait for too long (a stalled disk).
//
// For the whole process, as gRPC's threads are.
#pragma once

namespace dqueue::transport {

// From now on. Without effect when called again.
void KeepOnePollerInReserve();

// Around something in a callback that may wait.
class PollerMayWait {
 public:
  PollerMayWait();
  ~PollerMayWait();
  PollerMayWait(const PollerMayWait&) = delete;
  PollerMayWait& operator=(const PollerMayWait&) = delete;
};

}  // namespace dqueue::transport
