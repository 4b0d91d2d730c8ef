// A histogram of durations with fixed bucket bounds. Not thread-safe: one thread writes; the owner
// hands out copies under its lock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace dqueue {

class Histogram {
 public:
  // Upper bounds of the buckets, in seconds. A longer duration counts only in count() and
  // sum_seconds().
  static constexpr std::array<double, 19> kBounds = {
      0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
      0.25,   0.5,     1,      2.5,   5,      10,    30,   60,    300};

  void Observe(Duration time) {
    const double seconds = std::chrono::duration<double>(time).count();
    sum_seconds_ += seconds;
    ++count_;
    for (size_t i = 0; i < kBounds.size(); ++i) {
      if (seconds > kBounds[i]) continue;
      ++counts_[i];
      return;
    }
  }

  uint64_t count() const { return count_; }
  double sum_seconds() const { return sum_seconds_; }
  // Durations d with kBounds[i - 1] < d <= kBounds[i].
  uint64_t count_in(size_t i) const { return counts_[i]; }

 private:
  std::array<uint64_t, kBounds.size()> counts_{};
  uint64_t count_ = 0;
  double sum_seconds_ = 0;
};

}  // namespace dqueue
