#include "node/memory_budget.h"

#include "gtest/gtest.h"

namespace dqueue::node {
namespace {

constexpr uint64_t kMiB = 1 << 20;

TEST(MemoryBudget, CountedMemoryDecidesWithHysteresis) {
  MemoryBudget budget(1000 * kMiB);
  const struct {
    uint64_t counted;
    bool low;
  } rows[] = {{0, false},  {600, false}, {601, true},  {599, true},
              {551, true}, {549, false}, {600, false}, {700, true}};
  for (const auto& row : rows) {
    EXPECT_EQ(budget.Update(row.counted * kMiB, 0), row.low) << row.counted << " MiB";
    EXPECT_EQ(budget.low(), row.low);
  }
}

TEST(MemoryBudget, ResidentMemoryDecidesOnlyWhileMuchIsCounted) {
  MemoryBudget budget(1000 * kMiB);
  const struct {
    uint64_t counted;
    uint64_t resident;
    bool low;
  } rows[] = {{390, 990, false}, {410, 840, false}, {410, 860, true}, {410, 810, true},
              {360, 990, true},  {340, 990, false}, {410, 860, true}, {410, 790, false}};
  for (const auto& row : rows) {
    EXPECT_EQ(budget.Update(row.counted * kMiB, row.resident * kMiB), row.low)
        << row.counted << " MiB counted, " << row.resident << " MiB resident";
  }
}

TEST(MemoryBudget, WithoutALimitThereIsAlwaysMemory) {
  MemoryBudget budget(0);
  EXPECT_FALSE(budget.Update(UINT64_MAX, UINT64_MAX));
}

TEST(MemoryBudget, TheOtherLimitsFollow) {
  for (const uint64_t limit : {kMemoryLimitMin, 600 * kMiB, 16384 * kMiB}) {
    Options options;
    options.name = "n1";
    options.data_dir = "data";
    SetMemoryLimit(limit, &options);
    EXPECT_EQ(options.Problem(), "") << limit;
    EXPECT_EQ(options.memory_limit, limit);
    EXPECT_LE(4 * options.broker.keep.bytes, limit / 10);
    // What may be on its way at the same time leaves room for jobs.
    EXPECT_LE(options.broker.max_pending_bytes + options.raft.max_uncommitted_bytes +
                  options.raft.cache_bytes + options.inbox.bytes,
              limit * 2 / 3)
        << limit;
  }
}

}  // namespace
}  // namespace dqueue::node
