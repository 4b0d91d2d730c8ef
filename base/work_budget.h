// How much work a turn of the loop may still do.
//
// Work is charged by estimate, not by the clock: so the same history does the same work in the same
// turns, on every machine and in the simulator. A cost is in nanoseconds of one core of the machine
// in docs/performance.md.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "base/time.h"

namespace dqueue {

class WorkBudget {
 public:
  explicit WorkBudget(Duration limit) : limit_ns_(limit.count() * 1000) {}
  static WorkBudget Unlimited() { return WorkBudget(); }

  void Spend(int64_t ns) { spent_ns_ += ns; }
  // No more work may begin.
  bool Exhausted() const { return spent_ns_ >= limit_ns_; }
  // Work of this cost may begin: it fits, or nothing was done yet. So a piece of work that is
  // larger than the whole budget has a turn of its own.
  bool Allows(int64_t ns) const { return spent_ns_ == 0 || spent_ns_ + ns <= limit_ns_; }
  // At least half of it is left.
  bool HasHalf() const { return spent_ns_ <= limit_ns_ / 2; }
  // Leaves at most this much.
  void CapLeft(int64_t ns) { limit_ns_ = std::min(limit_ns_, spent_ns_ + ns); }
  int64_t spent_ns() const { return spent_ns_; }

 private:
  WorkBudget() : limit_ns_(std::numeric_limits<int64_t>::max()) {}

  int64_t limit_ns_;
  int64_t spent_ns_ = 0;
};

}  // namespace dqueue
