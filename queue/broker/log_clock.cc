#include "queue/broker/log_clock.h"

#include <algorithm>
#include <chrono>

namespace dqueue::queue {

void LogClock::Begin(Time now) {
  last_ms_ = std::max(last_ms_, state_.time_ms());
  last_at_ = now;
}

int64_t LogClock::NowMs(Time now, int64_t wall_ms) const {
  const int64_t elapsed_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now - last_at_).count();
  return std::max({wall_ms, last_ms_ + elapsed_ms / 2, state_.time_ms(), int64_t{0}});
}

void LogClock::Propose(Time now, int64_t time_ms) {
  if (time_ms <= last_ms_) return;
  last_ms_ = time_ms;
  last_at_ = now;
}

}  // namespace dqueue::queue
