// Histograms of how long jobs wait and how long workers hold them, by queue, for metrics scrapers.
// They cover what this leader has seen since its process began. At most kTimedQueuesMax queues have
// numbers of their own: those that came first, as long as they exist. The others are counted
// together. The times of a queue are dropped with it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/histogram.h"
#include "raft/types.h"

namespace dqueue::queue {

inline constexpr uint32_t kTimedQueuesMax = 100;

// How an attempt ended, as its leader saw it.
enum class AttemptEnd : uint8_t { kNone, kCompleted, kFailed, kRejected, kExpired };
inline constexpr size_t kAttemptEnds = 5;

struct QueueTimes {
  std::string queue;                           // empty: the rest (number 0), or a free number
  Histogram waited;                            // from ready to leased
  Histogram held;                              // from leased to completed
  uint64_t dispatched = 0;                     // leases granted
  std::array<uint64_t, kAttemptEnds> ended{};  // by AttemptEnd
};

class JobTimes {
 public:
  // The number that the calls below name the queue by. 0: counted with the others.
  uint32_t Number(std::string_view queue);
  void Dispatched(uint32_t queue, Duration waited);
  // `held`: nullopt if another leader granted the lease.
  void Ended(uint32_t queue, AttemptEnd end, std::optional<Duration> held);

  // Drops the queues for which exists(name) is false: there must be no lease of them.
  template <class Exists>
  void ForgetQueues(const Exists& exists) {
    for (uint32_t number = 1; number < queues_.size(); ++number) {
      const std::string& name = queues_[number].queue;
      if (!name.empty() && !exists(name)) Forget(number);
    }
  }
  // No other queue gets a number of its own.
  bool full() const { return queues_.size() > kTimedQueuesMax && free_.empty(); }
  // In the order of numbers: the rest first.
  const std::vector<QueueTimes>& queues() const { return queues_; }

 private:
  void Forget(uint32_t number);

  std::vector<QueueTimes> queues_{1};
  std::vector<uint32_t> free_;
  std::map<std::string, uint32_t, std::less<>> numbers_;
  uint32_t last_ = 0;  // asked for last: jobs of one queue come in a row
};

}  // namespace dqueue::queue
