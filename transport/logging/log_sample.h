// For log lines that strangers can cause: how many there were, and whether it is time for one.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>

namespace dqueue::transport {

class LogSample {
 public:
  // Counts one more. The count if ten seconds have passed since the last line, else 0.
  uint64_t Count() {
    const std::lock_guard lock(mutex_);
    ++count_;
    const auto now = std::chrono::steady_clock::now();
    if (last_ && now - *last_ < kEvery) return 0;
    last_ = now;
    return count_;
  }

 private:
  static constexpr std::chrono::seconds kEvery{10};

  std::mutex mutex_;
  uint64_t count_ = 0;
  std::optional<std::chrono::steady_clock::time_point> last_;
};

}  // namespace dqueue::transport
