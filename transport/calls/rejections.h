// Counts of calls that this node turned away because it was too busy or too full, or because they
// came too late, by kind and reason. For /metrics. Any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "queue/api/error.h"
#include "queue/broker/calls.h"

namespace dqueue::transport {

class Rejections {
 public:
  // Labels of the metric. The first four are causes of the inbox (node/inbox/fair_inbox.h);
  // "overloaded": another limit of the node.
  static constexpr std::array<std::string_view, 8> kReasons = {
      "full",       "caller_share", "delay",      "bytes",
      "overloaded", "disk_low",     "memory_low", "deadline_passed"};
  using Counts = std::array<std::array<uint64_t, kReasons.size()>, queue::kCallKinds>;

  // Counts the error if it is one of these reasons.
  void Add(queue::CallKind kind, const queue::Error& error) {
    const size_t reason = ReasonOf(error);
    if (reason == kReasons.size()) return;
    counts_[static_cast<size_t>(kind)][reason].fetch_add(1, std::memory_order_relaxed);
  }
  Counts counts() const {
    Counts counts{};
    for (size_t kind = 0; kind < counts.size(); ++kind) {
      for (size_t reason = 0; reason < kReasons.size(); ++reason) {
        counts[kind][reason] = counts_[kind][reason].load(std::memory_order_relaxed);
      }
    }
    return counts;
  }

 private:
  static size_t ReasonOf(const queue::Error& error) {
    std::string_view label;
    if (error.reason == "OVERLOADED") {
      const auto cause = error.metadata.find("cause");
      label = cause == error.metadata.end() ? "overloaded" : std::string_view(cause->second);
    } else if (error.reason == "DISK_LOW") {
      label = "disk_low";
    } else if (error.reason == "MEMORY_LOW") {
      label = "memory_low";
    } else if (error.reason == "DEADLINE_PASSED") {
      label = "deadline_passed";
    }
    size_t reason = 0;
    while (reason < kReasons.size() && kReasons[reason] != label) ++reason;
    return reason;
  }

  std::array<std::array<std::atomic<uint64_t>, kReasons.size()>, queue::kCallKinds> counts_{};
};

}  // namespace dqueue::transport
