#include "queue/state/tables/slot_index.h"

#include <utility>

#include "base/check.h"

namespace dqueue::queue {

void SlotIndex::Place(Shard& shard, Entry entry) {
  const uint32_t mask = shard.capacity - 1;
  uint32_t i = entry.tag & mask;
  while (shard.entries[i].slot != kNoSlot) i = (i + 1) & mask;
  shard.entries[i] = entry;
}

void SlotIndex::Rebuild(Shard& shard, uint32_t capacity) {
  DQ_CHECK(shard.used < capacity);
  const std::unique_ptr<Entry[]> old = std::move(shard.entries);
  const uint32_t old_capacity = shard.capacity;
  shard.entries = std::make_unique<Entry[]>(capacity);
  shard.capacity = capacity;
  memory_bytes_ += capacity * sizeof(Entry);
  memory_bytes_ -= old_capacity * sizeof(Entry);
  for (uint32_t i = 0; i < old_capacity; ++i) {
    if (old[i].slot != kNoSlot) Place(shard, old[i]);
  }
}

void SlotIndex::Insert(uint64_t hash, uint32_t slot) {
  DQ_CHECK(slot != kNoSlot);
  Shard& shard = shards_[hash >> kShardShift];
  // At most 13 of 16 full: linear probing stays short.
  if ((shard.used + 1) * 16 > shard.capacity * 13) {
    Rebuild(shard, shard.capacity == 0 ? kCapacityMin : shard.capacity * 2);
  }
  Place(shard, Entry{static_cast<uint32_t>(hash), slot});
  ++shard.used;
  ++size_;
}

void SlotIndex::Erase(uint64_t hash, uint32_t slot) {
  Shard& shard = shards_[hash >> kShardShift];
  DQ_CHECK(shard.used > 0);
  const uint32_t mask = shard.capacity - 1;
  uint32_t hole = static_cast<uint32_t>(hash) & mask;
  while (shard.entries[hole].slot != slot) {
    DQ_CHECK(shard.entries[hole].slot != kNoSlot);
    hole = (hole + 1) & mask;
  }
  // Closes the gap (Knuth 6.4, algorithm R): an entry moves back if its home is not between the
  // hole and itself.
  for (uint32_t i = (hole + 1) & mask; shard.entries[i].slot != kNoSlot; i = (i + 1) & mask) {
    const uint32_t home = shard.entries[i].tag & mask;
    if (((i - home) & mask) >= ((i - hole) & mask)) {
      shard.entries[hole] = shard.entries[i];
      hole = i;
    }
  }
  shard.entries[hole] = Entry{};
  --shard.used;
  --size_;
  if (shard.capacity > kCapacityMin && shard.used * 8 < shard.capacity) {
    Rebuild(shard, shard.capacity / 2);
  }
}

}  // namespace dqueue::queue
