// Measured durations and their percentiles. One thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <vector>

namespace dqueue::cmd {

class Latencies {
 public:
  // Stored in microseconds, 0 to about 71 minutes.
  void Add(std::chrono::steady_clock::duration value) {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(value).count();
    microseconds_.push_back(static_cast<uint32_t>(std::clamp<int64_t>(us, 0, UINT32_MAX)));
  }
  void Add(const Latencies& other) {
    microseconds_.insert(microseconds_.end(), other.microseconds_.begin(),
                         other.microseconds_.end());
  }
  size_t count() const { return microseconds_.size(); }
  // The smallest measured value, in milliseconds, that a share of at least `share` (0 to 1) of all
  // values does not exceed. 0 if there are no values.
  double Percentile(double share) const {
    if (microseconds_.empty()) return 0;
    std::vector<uint32_t> copy = microseconds_;
    const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(copy.size())));
    const size_t index = std::clamp<size_t>(rank, 1, copy.size()) - 1;
    std::nth_element(copy.begin(), copy.begin() + static_cast<ptrdiff_t>(index), copy.end());
    return copy[index] / 1000.0;
  }

 private:
  std::vector<uint32_t> microseconds_;
};

}  // namespace dqueue::cmd
