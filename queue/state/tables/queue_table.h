// Queues by number and by name, with their statistics and settings. A queue that had a job or was
// paused is kept for ever; there are at most kQueuesMax.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"
#include "dqueue/v1/job.pb.h"
#include "queue/state/tables/slab.h"
#include "queue/state/tables/slot_index.h"

namespace dqueue::queue {

// The replicated statistics; the fields of v1::QueueStats, without the leader's leased.
enum class Total : uint8_t {
  kScheduled,
  kReady,  // held ones included
  kSucceeded,
  kDead,
  kCancelled,
  kEnqueued,
  kPurged,
  kCompletions,
  kFailures,
  kExpirations,
  kDeaths,
  kCancellations,
  kRetries,
};
inline constexpr size_t kTotals = 13;

class Totals {
 public:
  uint64_t& operator[](Total total) { return values_[static_cast<size_t>(total)]; }
  uint64_t operator[](Total total) const { return values_[static_cast<size_t>(total)]; }
  std::array<uint64_t, kTotals>& values() { return values_; }
  const std::array<uint64_t, kTotals>& values() const { return values_; }
  // scheduled + ready + succeeded + dead + cancelled + purged == enqueued.
  bool AddUp() const;
  friend bool operator==(const Totals&, const Totals&) = default;

 private:
  std::array<uint64_t, kTotals> values_{};
};

// Where jobs of this state are counted.
Total TotalOf(v1::JobState state);

// Settings that an operator changes.
struct QueueSettings {
  bool paused = false;            // nothing is taken from it
  bool refuses_enqueues = false;  // only if paused
  friend bool operator==(const QueueSettings&, const QueueSettings&) = default;
};

struct QueueRecord {
  std::string name;
  uint64_t name_hash = 0;
  Totals totals;
  QueueSettings settings;
  uint64_t hash = 0;   // of all of the above as they were at the last Settle
  uint32_t held = 0;   // not replicated
  uint32_t image = 0;  // the last image that got this record ahead of its turn; not replicated
  bool touched = false;
};

class QueueTable {
 public:
  uint32_t size() const { return static_cast<uint32_t>(queues_.size()); }
  // kNoSlot: no such queue.
  uint32_t Find(std::string_view name) const;
  // The name must be new. Numbers are given in order.
  uint32_t Add(std::string_view name);
  QueueRecord& operator[](uint32_t queue) { return *queues_[queue]; }
  const QueueRecord& operator[](uint32_t queue) const { return *queues_[queue]; }
  const absl::btree_map<std::string, uint32_t, std::less<>>& by_name() const { return by_name_; }
  const Totals& sum() const { return sum_; }

  void Count(uint32_t queue, Total total, int64_t change) {
    Touch(queue);
    queues_[queue]->totals[total] += static_cast<uint64_t>(change);
    sum_[total] += static_cast<uint64_t>(change);
  }
  void SetSettings(uint32_t queue, QueueSettings settings) {
    Touch(queue);
    queues_[queue]->settings = settings;
  }
  // For a restored queue, just added.
  void SetTotals(uint32_t queue, const Totals& totals);
  // Brings hash_sum() up to date with the queues counted since.
  void Settle();
  // Order-independent, over all queues. Settled.
  uint64_t hash_sum() const { return hash_sum_; }
  uint64_t RecomputeHashSum() const;
  size_t memory_bytes() const;

 private:
  void Touch(uint32_t queue) {
    QueueRecord& record = *queues_[queue];
    if (record.touched) return;
    record.touched = true;
    touched_.push_back(queue);
  }
  static uint64_t HashOf(const QueueRecord& record);

  std::vector<std::unique_ptr<QueueRecord>> queues_;
  SlotIndex index_;                                              // to find a name
  absl::btree_map<std::string, uint32_t, std::less<>> by_name_;  // to list them in order
  std::vector<uint32_t> touched_;
  Totals sum_;
  uint64_t hash_sum_ = 0;
  size_t name_bytes_ = 0;
};

}  // namespace dqueue::queue
