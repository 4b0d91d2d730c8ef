#include "storage/log/entry_index.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "storage/log/record.h"

namespace dqueue::storage {
namespace {

std::shared_ptr<Segment> NewSegment(uint64_t sequence) {
  auto segment = std::make_shared<Segment>();
  segment->sequence = sequence;
  return segment;
}

struct Expected {
  uint64_t segment;
  uint32_t offset;
  uint32_t length;
};

// Random operations, compared with a std::map.
TEST(EntryIndexTest, MatchesMapModel) {
  std::mt19937_64 rng(7);
  for (int round = 0; round < 30; ++round) {
    EntryIndex index;
    std::map<uint64_t, Expected> model;
    uint64_t next = 1;
    uint64_t first = 1;
    std::shared_ptr<Segment> segment = NewSegment(1);
    for (uint32_t step = 0; step < 400; ++step) {
      const uint64_t what = rng() % 100;
      if (what < 8) segment = NewSegment(segment->sequence + 1);
      if (what < 80) {
        uint64_t at = next;
        if (rng() % 6 == 0 && next > first) at = first + rng() % (next - first);
        const auto length = static_cast<uint32_t>(kEntryPrefixBytes + rng() % 50);
        index.Append(raft::Index(at), segment, {step, length});
        model.erase(model.lower_bound(at), model.end());
        model[at] = {segment->sequence, step, length};
        next = at + 1;
      } else if (what < 97) {
        const uint64_t to = rng() % next;
        index.DropTo(raft::Index(to));
        model.erase(model.begin(), model.upper_bound(to));
        first = std::max(first, to + 1);
      } else {
        next = first = next + rng() % 20;
        index.Clear(raft::Index(next));
        model.clear();
      }
      ASSERT_EQ(index.size(), model.size());
      ASSERT_EQ(index.empty(), model.empty());
      uint64_t bytes = 0;
      for (const auto& [at, e] : model) bytes += RecordBytes(e.length);
      ASSERT_EQ(index.record_bytes(), bytes);
      if (model.empty()) {
        ASSERT_EQ(index.OldestSegment(), nullptr);
        continue;
      }
      ASSERT_EQ(index.first().value(), model.begin()->first);
      ASSERT_EQ(index.last().value(), model.rbegin()->first);
      ASSERT_EQ(index.OldestSegment()->sequence, model.begin()->second.segment);
      auto found = model.begin();
      for (const auto& range : index.Find(index.first(), index.last(), UINT64_MAX)) {
        raft::Index at = range.first;
        for (const EntryIndex::Location& location : range.locations) {
          ASSERT_EQ(at.value(), found->first);
          ASSERT_EQ(range.segment->sequence, found->second.segment);
          ASSERT_EQ(location.offset, found->second.offset);
          ASSERT_EQ(location.length, found->second.length);
          at = at.Next();
          ++found;
        }
      }
      ASSERT_TRUE(found == model.end());
    }
  }
}

// The log starts with a segment whose earlier entries are gone. An entry may supersede all of them.
TEST(EntryIndexTest, AppendMaySupersedeAllEntries) {
  EntryIndex index;
  index.Clear(raft::Index(31));
  index.Append(raft::Index(15), NewSegment(2), {0, 24});
  EXPECT_EQ(index.first(), raft::Index(15));
  EXPECT_EQ(index.last(), raft::Index(15));
}

}  // namespace
}  // namespace dqueue::storage
