// Monotonic time in microseconds. The origin is arbitrary: process start in production, simulation
// start in tests. Each layer takes the time as an argument; only the node's runner and the programs
// read a clock.
#pragma once

#include <chrono>

namespace dqueue {

struct MonotonicClock {
  using duration = std::chrono::microseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicClock>;
  static constexpr bool is_steady = true;
};
using Duration = MonotonicClock::duration;
using Time = MonotonicClock::time_point;

}  // namespace dqueue
