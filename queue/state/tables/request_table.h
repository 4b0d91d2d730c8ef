// Jobs of requests with a request_id that are gone: so that the repeated request does not create
// them again. Replicated, in snapshots and in the digest.
//
// An entry is added when the job is removed, and dropped when its time is over, more than
// kRequestsMax are known, or the leader has it trimmed: the one that was added first goes first.
// Entries have a fixed size.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "queue/state/tables/slab.h"
#include "queue/state/tables/slot_index.h"

namespace dqueue::queue {

// 16 bytes that stand for a request_id and the position of a job in the request.
struct RequestKey {
  uint64_t high = 0;
  uint64_t low = 0;
  friend bool operator==(const RequestKey&, const RequestKey&) = default;
};
// The key of a job whose id was computed from the request.
RequestKey RequestKeyOfId(std::string_view id);
// False if `bytes` is not 16 bytes.
bool ParseRequestKey(std::string_view bytes, RequestKey* out);

class RequestTable {
 public:
  struct Entry {
    RequestKey key;
    uint64_t identity = 0;    // of the job's content
    uint64_t sequence = 0;    // of the job; 0: the slot is free
    int64_t end_ms = 0;       // no longer valid from then on
    uint32_t next = kNoSlot;  // added after this one
    bool replaced = false;    // a later entry has the key
    uint32_t& free_link() { return next; }
    bool used() const { return sequence != 0; }
  };
  // Of one entry, with its share of the index.
  static constexpr size_t kEntryBytes = sizeof(Entry) + SlotIndex::kEntryBytes;

  // kNoSlot: none. Entries whose time is over may still be there.
  uint32_t Find(const RequestKey& key) const;
  // As the newest. The sequence must not be 0. An entry with the same key is not found any more.
  void Add(const RequestKey& key, uint64_t identity, uint64_t sequence, int64_t end_ms);
  // The oldest entry: the first to be dropped; kNoSlot: none.
  uint32_t First() const { return first_; }
  void DropFirst();

  const Entry& operator[](uint32_t slot) const { return entries_[slot]; }
  uint32_t size() const { return entries_.used(); }

  // Order-independent, over all entries.
  uint64_t hash_sum() const { return hash_sum_; }
  uint64_t RecomputeHashSum() const;
  // Of all entries; the slots that wait for new ones are not counted.
  size_t used_bytes() const { return entries_.used() * kEntryBytes; }
  size_t memory_bytes() const { return entries_.memory_bytes() + index_.memory_bytes(); }
  // Empty if index and order agree with the entries.
  std::string Problem() const;

 private:
  static uint64_t HashOf(const Entry& entry);

  Slab<Entry> entries_;
  SlotIndex index_;
  uint32_t first_ = kNoSlot;
  uint32_t last_ = kNoSlot;
  uint64_t hash_sum_ = 0;
};

}  // namespace dqueue::queue
