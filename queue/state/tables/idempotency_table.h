// Idempotency keys that are taken: by which job, until when. Replicated, in snapshots and in the
// digest. An entry may outlive its job. Entries never change; they are added, and dropped when
// their window has ended.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "queue/state/tables/ordered_slots.h"
#include "queue/state/tables/slab.h"
#include "queue/state/tables/slot_index.h"

namespace dqueue::queue {

class IdempotencyTable {
 public:
  struct Entry {
    std::unique_ptr<char[]> text;  // key, then job id
    uint64_t identity = 0;         // ContentIdentity of the job
    uint64_t sequence = 0;         // of the job: unique
    int64_t end_ms = 0;            // the window ends here
    uint32_t key_size = 0;
    uint32_t id_size = 0;
    uint32_t queue = kNoSlot;  // kNoSlot: the slot is free
    uint32_t image = 0;        // as in StoredJob
    uint32_t link = kNoSlot;
    uint32_t& free_link() { return link; }
    std::string_view key() const { return {text.get(), key_size}; }
    std::string_view job_id() const { return {text.get() + key_size, id_size}; }
    bool used() const { return queue != kNoSlot; }
  };

  // The entry of the key in this queue; kNoSlot: none. `queue_hash` is of the queue's name.
  uint32_t Find(uint32_t queue, uint64_t queue_hash, std::string_view key) const;
  // The key must be free in the queue. False, without effect, if another entry has this sequence
  // and end.
  bool Add(uint32_t queue, uint64_t queue_hash, std::string_view key, std::string_view job_id,
           uint64_t identity, uint64_t sequence, int64_t end_ms);
  void Drop(uint32_t slot, uint64_t queue_hash);

  const Entry& operator[](uint32_t slot) const { return entries_[slot]; }
  void MarkImage(uint32_t slot, uint32_t image) { entries_[slot].image = image; }
  uint32_t end() const { return entries_.end(); }
  uint32_t size() const { return entries_.used(); }
  // The first window to end: its entry, or kNoSlot; and when (INT64_MAX: none).
  uint32_t FirstToEnd() const;
  int64_t FirstEnd() const;

  // Order-independent, over all entries.
  uint64_t hash_sum() const { return hash_sum_; }
  // The queues' name hashes by `queue_hash(queue)`.
  template <class QueueHash>
  uint64_t RecomputeHashSum(const QueueHash& queue_hash) const {
    uint64_t sum = 0;
    for (uint32_t slot = 0; slot < entries_.end(); ++slot) {
      if (entries_[slot].used()) sum += HashOf(entries_[slot], queue_hash(entries_[slot].queue));
    }
    return sum;
  }
  size_t memory_bytes() const;
  // Empty if index and order agree with the entries.
  template <class QueueHash>
  std::string Problem(const QueueHash& queue_hash) const {
    uint32_t used = 0;
    for (uint32_t slot = 0; slot < entries_.end(); ++slot) {
      const Entry& entry = entries_[slot];
      if (!entry.used()) continue;
      ++used;
      const std::string key(entry.key());
      if (Find(entry.queue, queue_hash(entry.queue), entry.key()) != slot) {
        return "idempotency key " + key + " is not found";
      }
      if (!ends_.contains(OrderedSlot(static_cast<uint64_t>(entry.end_ms), entry.sequence, slot))) {
        return "the window of idempotency key " + key + " has no end";
      }
    }
    if (used != entries_.used() || used != ends_.size() || used != index_.size()) {
      return "the number of idempotency keys is wrong";
    }
    return "";
  }

 private:
  static uint64_t IndexHash(uint64_t queue_hash, std::string_view key);
  static uint64_t HashOf(const Entry& entry, uint64_t queue_hash);

  Slab<Entry> entries_;
  SlotIndex index_;
  OrderedSlots ends_;  // by end_ms, then sequence
  uint64_t hash_sum_ = 0;
  size_t text_bytes_ = 0;
};

}  // namespace dqueue::queue
