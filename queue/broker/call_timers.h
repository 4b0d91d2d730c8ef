// Numbers and timers of waiting calls. Numbers count in the order of arrival, from 1, and are never
// reused. Each waiting call has at most one timer; timers are due in order of time, then of number.
// Used on the loop's thread.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/container/btree_set.h"
#include "raft/types.h"

namespace dqueue::queue {

class CallTimers {
 public:
  uint64_t NewNumber() { return next_number_++; }
  // Moves the timer of the call to `at`; Time::max(): no timer. *timer is the call's own record of
  // its timer.
  void Set(uint64_t number, Time* timer, Time at) {
    if (*timer != Time::max()) timers_.erase({*timer, number});
    *timer = at;
    if (at != Time::max()) timers_.insert({at, number});
  }
  // The call whose timer is due first; nullopt if none is due.
  std::optional<uint64_t> Due(Time now) const {
    if (Next() > now || timers_.empty()) return std::nullopt;
    return timers_.begin()->second;
  }
  Time Next() const { return timers_.empty() ? Time::max() : timers_.begin()->first; }
  void Clear() { timers_.clear(); }

 private:
  uint64_t next_number_ = 1;
  absl::btree_set<std::pair<Time, uint64_t>> timers_;
};

}  // namespace dqueue::queue
