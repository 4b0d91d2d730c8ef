// Rate limit for a log line that strangers can cause: one line in ten seconds, with a count.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>

namespace dqueue::transport {

class LogSample {
 public:
  // Counts one event. Returns the count if a line is due (ten seconds after the last), else 0.
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
