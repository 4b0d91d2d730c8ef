// Finds a slot by the hash of its key. The index is sharded into small open-addressed tables,
// allocated when first needed, so that growing never blocks the loop for a whole-table rehash: at
// ten million keys a shard has about 2,400 and rebuilds in tens of microseconds.
//
// Keys are not stored: the caller compares. No replicated result depends on the hash.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "queue/state/tables/slab.h"

namespace dqueue::queue {

class SlotIndex {
 public:
  // Of one slot on average: 8 bytes in tables that are 40 to 81 % full.
  static constexpr size_t kEntryBytes = 13;

  SlotIndex() : shards_(kShards) {}

  size_t size() const { return size_; }
  size_t memory_bytes() const { return memory_bytes_ + shards_.size() * sizeof(Shard); }

  // The slot for which same(slot) holds, among those inserted with this hash; kNoSlot: none.
  template <class Same>
  uint32_t Find(uint64_t hash, const Same& same) const {
    const Shard& shard = shards_[hash >> kShardShift];
    if (shard.used == 0) return kNoSlot;
    const auto tag = static_cast<uint32_t>(hash);
    const uint32_t mask = shard.capacity - 1;
    for (uint32_t i = tag & mask;; i = (i + 1) & mask) {
      const Entry& entry = shard.entries[i];
      if (entry.slot == kNoSlot) return kNoSlot;
      if (entry.tag == tag && same(entry.slot)) return entry.slot;
    }
  }

  // Prefetches the place of this hash. A million keys do not fit into the cache, and most of the
  // cost of a look-up is the cache miss.
  void Prefetch(uint64_t hash) const {
    const Shard& shard = shards_[hash >> kShardShift];
    if (shard.used != 0) {
      __builtin_prefetch(&shard.entries[static_cast<uint32_t>(hash) & (shard.capacity - 1)]);
    }
  }
  // The slot that Find would probably compare first; kNoSlot if certainly none.
  uint32_t Guess(uint64_t hash) const {
    return Find(hash, [](uint32_t) { return true; });
  }

  // The slot must not be there with this hash.
  void Insert(uint64_t hash, uint32_t slot);
  // The slot must be there with this hash.
  void Erase(uint64_t hash, uint32_t slot);

 private:
  static constexpr size_t kShards = 4096;
  static constexpr int kShardShift = 52;
  static constexpr uint32_t kCapacityMin = 4;

  struct Entry {
    uint32_t tag = 0;
    uint32_t slot = kNoSlot;
  };
  struct Shard {
    std::unique_ptr<Entry[]> entries;
    uint32_t capacity = 0;  // a power of two
    uint32_t used = 0;
  };

  static void Place(Shard& shard, Entry entry);
  void Rebuild(Shard& shard, uint32_t capacity);

  std::vector<Shard> shards_;
  size_t size_ = 0;
  size_t memory_bytes_ = 0;
};

}  // namespace dqueue::queue
