// Hundreds of random runs. Each must keep all guarantees and recover when the faults end.
#include <gtest/gtest.h>

#include <string>

#include "raft/testing/random_cluster.h"
#include "raft/testing/test_cluster.h"

namespace dqueue::raft::test {
namespace {

struct Totals {
  uint64_t committed = 0;
  uint64_t reads = 0;
  uint64_t terms = 0;
  uint64_t installs = 0;
};

Totals RunSeeds(uint64_t first, uint64_t count, int nodes) {
  ChecksThrow checks;
  Totals totals;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    try {
      const ChaosReport report = RunChaos({.seed = seed, .nodes = nodes});
      totals.committed += report.committed;
      totals.reads += report.confirmed_reads;
      totals.terms += report.terms;
      totals.installs += report.snapshots_installed;
    } catch (const Violation& violation) {
      ADD_FAILURE() << "nodes " << nodes << " seed " << seed << ": " << violation.what();
      break;
    }
  }
  return totals;
}

TEST(Random, ThreeNodes) {
  const Totals totals = RunSeeds(1, 300, 3);
  // Enough must happen despite the faults.
  EXPECT_GT(totals.committed, 10000u);
  EXPECT_GT(totals.reads, 1000u);
  EXPECT_GT(totals.terms, 2000u);
  EXPECT_GT(totals.installs, 100u);
}

TEST(Random, FiveNodes) { EXPECT_GT(RunSeeds(1000, 100, 5).committed, 3000u); }
TEST(Random, FourNodes) { EXPECT_GT(RunSeeds(2000, 50, 4).committed, 1000u); }
TEST(Random, TwoNodes) { EXPECT_GT(RunSeeds(3000, 50, 2).committed, 500u); }
TEST(Random, OneNode) { EXPECT_GT(RunSeeds(4000, 50, 1).committed, 1000u); }

}  // namespace
}  // namespace dqueue::raft::test
