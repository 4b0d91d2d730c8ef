#include "queue/state/tables/slot_index.h"

#include <cstdint>
#include <map>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "queue/state/tables/slab.h"

namespace dqueue::queue {
namespace {

TEST(SlotIndexTest, FindsOnlyWhatIsThere) {
  SlotIndex index;
  const auto is = [](uint32_t wanted) {
    return [wanted](uint32_t slot) { return slot == wanted; };
  };
  EXPECT_EQ(index.Find(1, is(5)), kNoSlot);
  index.Insert(1, 5);
  EXPECT_EQ(index.Find(1, is(5)), 5u);
  EXPECT_EQ(index.Find(1, is(6)), kNoSlot);
  EXPECT_EQ(index.Find(uint64_t{1} << 60 | 1, is(5)), kNoSlot);
  index.Erase(1, 5);
  EXPECT_EQ(index.Find(1, is(5)), kNoSlot);
  EXPECT_EQ(index.size(), 0u);
}

// Few shards and homes, so that runs of entries are long, wrap around and are closed again.
TEST(SlotIndexTest, BehavesLikeAMap) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    std::mt19937_64 random(seed);
    SlotIndex index;
    std::map<uint32_t, uint64_t> model;  // slot to hash
    const uint32_t slots = seed % 2 == 0 ? 40 : 3000;
    for (int step = 0; step < 20000; ++step) {
      const auto slot = static_cast<uint32_t>(random() % slots);
      const auto there = model.find(slot);
      if (there == model.end()) {
        const uint64_t hash = (random() % 2) << 52 | random() % 64;
        index.Insert(hash, slot);
        model[slot] = hash;
      } else {
        index.Erase(there->second, slot);
        model.erase(there);
      }
      ASSERT_EQ(index.size(), model.size());
      const auto probe = static_cast<uint32_t>(random() % slots);
      const auto expected = model.find(probe);
      for (uint64_t shard = 0; shard < 2; ++shard) {
        const uint64_t hash = expected != model.end() ? expected->second : shard << 52 | 7;
        const uint32_t found = index.Find(hash, [&](uint32_t s) { return s == probe; });
        ASSERT_EQ(found, expected != model.end() ? probe : kNoSlot);
      }
    }
    for (const auto& [slot, hash] : model) {
      ASSERT_EQ(index.Find(hash, [s = slot](uint32_t at) { return at == s; }), slot);
    }
  }
}

TEST(SlotIndexTest, GivesMemoryBackWhenEmptied) {
  SlotIndex index;
  const size_t empty = index.memory_bytes();
  for (uint32_t i = 0; i < 100000; ++i) index.Insert(i * 0x9e3779b97f4a7c15, i);
  const size_t full = index.memory_bytes();
  EXPECT_LE(full - empty, 100000u * 20);
  for (uint32_t i = 0; i < 100000; ++i) index.Erase(i * 0x9e3779b97f4a7c15, i);
  EXPECT_LE(index.memory_bytes(), empty + (full - empty) / 4);
}

struct Cell {
  int value = 0;
  uint32_t link = kNoSlot;
  uint32_t& free_link() { return link; }
};

TEST(SlabTest, FreedSlotsComeBackCleanLastFirst) {
  Slab<Cell> slab;
  for (uint32_t i = 0; i < 3000; ++i) {
    EXPECT_EQ(slab.Allocate(), i);
    slab[i].value = static_cast<int>(i);
  }
  slab.Free(10);
  slab.Free(2500);
  EXPECT_EQ(slab.used(), 2998u);
  EXPECT_EQ(slab.end(), 3000u);
  EXPECT_EQ(slab.Allocate(), 2500u);
  EXPECT_EQ(slab[2500].value, 0);
  EXPECT_EQ(slab[2500].link, kNoSlot);
  EXPECT_EQ(slab.Allocate(), 10u);
  EXPECT_EQ(slab.Allocate(), 3000u);
  EXPECT_EQ(slab[11].value, 11);
}

TEST(SlabTest, RecordsNeverMove) {
  Slab<Cell> slab;
  slab.Allocate();
  const Cell* first = &slab[0];
  for (int i = 0; i < 100000; ++i) slab.Allocate();
  EXPECT_EQ(&slab[0], first);
}

}  // namespace
}  // namespace dqueue::queue
