// Queues by number and by name, with their statistics and settings. At most kQueuesMax.
//
// A queue is idle while it has no jobs and default settings. Idle queues are kept in the order of
// (since when, name), which is the same on all replicas; numbers differ between replicas. Whether
// and when an idle queue is forgotten is decided by the state machine. A forgotten queue's totals
// stay in sum(); its number is used again.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
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
  // scheduled + ready + succeeded + dead + cancelled.
  uint64_t Jobs() const;
  void Add(const Totals& other);
  friend bool operator==(const Totals&, const Totals&) = default;

 private:
  std::array<uint64_t, kTotals> values_{};
};

// Hash of a queue's name: the same on all replicas, and in digests.
uint64_t QueueNameHash(std::string_view name);

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
  // Of an idle queue: when it became so; 0: at a level of the state that kept no such time.
  int64_t idle_since_ms = 0;
  uint64_t hash = 0;   // of all of the above as they were at the last Settle
  uint32_t held = 0;   // not replicated
  uint32_t image = 0;  // the last image that got this record ahead of its turn; not replicated
  bool idle = false;   // among the idle ones
  bool touched = false;
};

class QueueTable {
 public:
  // The number of queues, and of the idle ones among them.
  uint32_t size() const { return static_cast<uint32_t>(by_name_.size()); }
  uint32_t idle_size() const { return static_cast<uint32_t>(idle_.size()); }
  // Numbers are below end(); some may be free.
  uint32_t end() const { return static_cast<uint32_t>(queues_.size()); }
  bool used(uint32_t queue) const { return queue < queues_.size() && queues_[queue] != nullptr; }
  // kNoSlot: no such queue.
  uint32_t Find(std::string_view name) const;
  // The name must be new. The queue is not idle: call SetIdle if it gets neither a job nor
  // settings.
  uint32_t Add(std::string_view name);
  // The queue must be idle. Its totals go on counting in sum() and forgotten().
  void Forget(uint32_t queue);
  QueueRecord& operator[](uint32_t queue) { return *queues_[queue]; }
  const QueueRecord& operator[](uint32_t queue) const { return *queues_[queue]; }
  // Names are views of the records'.
  const absl::btree_map<std::string_view, uint32_t>& by_name() const { return by_name_; }
  // Of all queues, also of those that were forgotten.
  const Totals& sum() const { return sum_; }
  const Totals& forgotten() const { return forgotten_; }
  uint64_t forgotten_count() const { return forgotten_count_; }
  // For a restored table.
  void SetForgotten(uint64_t count, const Totals& totals);

  // The queue has neither jobs nor settings, since this time; or it has some again.
  void SetIdle(uint32_t queue, int64_t since_ms);
  void SetBusy(uint32_t queue);
  // The first to forget: its number, or kNoSlot; and since when it is idle (INT64_MAX: none is).
  uint32_t FirstIdle() const { return idle_.empty() ? kNoSlot : Find(idle_.begin()->second); }
  int64_t FirstIdleSince() const { return idle_.empty() ? INT64_MAX : idle_.begin()->first; }

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
  // Of what was forgotten.
  uint64_t forgotten_hash() const;
  size_t memory_bytes() const;
  // Empty if the idle ones are exactly those without jobs and settings. For CheckConsistency.
  std::string Problem() const;

 private:
  void Touch(uint32_t queue) {
    QueueRecord& record = *queues_[queue];
    if (record.touched) return;
    record.touched = true;
    touched_.push_back(queue);
  }
  static uint64_t HashOf(const QueueRecord& record);

  std::vector<std::unique_ptr<QueueRecord>> queues_;  // null: the number is free
  std::vector<uint32_t> free_;
  SlotIndex index_;                                      // to find a name
  absl::btree_map<std::string_view, uint32_t> by_name_;  // to list them in order
  absl::btree_set<std::pair<int64_t, std::string_view>> idle_;
  std::vector<uint32_t> touched_;
  Totals sum_;
  Totals forgotten_;
  uint64_t forgotten_count_ = 0;
  uint64_t hash_sum_ = 0;
  size_t name_bytes_ = 0;
};

}  // namespace dqueue::queue
