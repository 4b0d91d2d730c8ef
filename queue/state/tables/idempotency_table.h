// Idempotency keys that are taken: by which job, until when. Replicated, in snapshots and in the
// digest. An entry may outlive its job and its queue. Entries never change; they are added, and
// dropped when their window has ended, or earlier if the leader keeps too many. An entry is `spent`
// while its job is finished or gone: only such entries are dropped early.
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
    std::unique_ptr<char[]> text;  // key, then job id, then the name of the queue
    uint64_t identity = 0;         // ContentIdentity of the job
    uint64_t sequence = 0;         // of the job: unique
    int64_t end_ms = 0;            // the window ends here
    uint32_t key_size = 0;
    uint32_t id_size = 0;
    uint32_t queue_size = 0;
    uint32_t image = 0;  // as in StoredJob
    uint32_t link = kNoSlot;
    bool spent = false;  // derived: not in the digest
    uint32_t& free_link() { return link; }
    std::string_view key() const { return {text.get(), key_size}; }
    std::string_view job_id() const { return {text.get() + key_size, id_size}; }
    std::string_view queue() const { return {text.get() + key_size + id_size, queue_size}; }
    bool used() const { return sequence != 0; }
  };

  // The entry of the key in this queue; kNoSlot: none.
  uint32_t Find(std::string_view queue, std::string_view key) const;
  // The key must be free in the queue, and the sequence not 0. False, without effect, if another
  // entry has this sequence and end. The entry is not spent.
  bool Add(std::string_view queue, std::string_view key, std::string_view job_id, uint64_t identity,
           uint64_t sequence, int64_t end_ms);
  void Drop(uint32_t slot);
  void SetSpent(uint32_t slot, bool spent);

  const Entry& operator[](uint32_t slot) const { return entries_[slot]; }
  void MarkImage(uint32_t slot, uint32_t image) { entries_[slot].image = image; }
  uint32_t end() const { return entries_.end(); }
  uint32_t size() const { return entries_.used(); }
  // The first window to end: its entry, or kNoSlot; and when (INT64_MAX: none).
  uint32_t FirstToEnd() const;
  int64_t FirstEnd() const;
  // The spent entries, the first window to end first.
  const OrderedSlots& spent() const { return spent_; }
  // Of one entry, with its share of index and order.
  static size_t BytesOf(const Entry& entry);
  // Of all entries; the slots that wait for new ones are not counted.
  size_t used_bytes() const { return used_bytes_; }

  // Order-independent, over all entries.
  uint64_t hash_sum() const { return hash_sum_; }
  uint64_t RecomputeHashSum() const;
  size_t memory_bytes() const;
  // Empty if index and order agree with the entries.
  std::string Problem() const;

 private:
  static uint64_t HashOf(const Entry& entry);
  const OrderedSlots& OrderOf(const Entry& entry) const { return entry.spent ? spent_ : ends_; }
  OrderedSlots& OrderOf(const Entry& entry) { return entry.spent ? spent_ : ends_; }

  Slab<Entry> entries_;
  SlotIndex index_;
  OrderedSlots ends_;   // of entries that are not spent: by end_ms, then sequence
  OrderedSlots spent_;  // of the others
  uint64_t hash_sum_ = 0;
  size_t used_bytes_ = 0;
};

}  // namespace dqueue::queue
