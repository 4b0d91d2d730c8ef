// Monotonic time, in microseconds since an origin of the process's (or the simulation's) own. Every
// layer takes the time as an argument; only the runner and the programs read a clock.
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
