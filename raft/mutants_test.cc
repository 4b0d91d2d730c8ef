// Every deliberate bug of base/mutant.h that lives in this folder must be seen by the checks of
// TestCluster, within a bounded number of random histories or in a story: proof that those tests
// can fail.
#include <gtest/gtest.h>

#include <string>

#include "base/mutant.h"
#include "raft/testing/random_cluster.h"
#include "raft/testing/stories.h"
#include "raft/testing/test_cluster.h"

namespace dqueue::raft::test {
namespace {

constexpr uint64_t kSeedsMax = 400;

struct Case {
  Mutant mutant;
  const char* name;
  // Told when random histories are not likely to meet the bug.
  void (*story)() = nullptr;
};

class Mutants : public testing::TestWithParam<Case> {
 protected:
  void TearDown() override { active_mutant = Mutant::kNone; }
};

TEST_P(Mutants, IsKilled) {
  ChecksThrow checks;
  active_mutant = GetParam().mutant;
  if (GetParam().story != nullptr) {
    EXPECT_THROW(GetParam().story(), Violation);
    return;
  }
  for (uint64_t seed = 1; seed <= kSeedsMax; ++seed) {
    try {
      RunChaos({.seed = seed, .nodes = seed % 4 == 0 ? 5 : 3});
    } catch (const Violation& violation) {
      const std::string text = violation.what();
      RecordProperty("seed", std::to_string(seed));
      RecordProperty("violation", text.substr(0, text.find('\n')));
      return;
    }
  }
  FAIL() << "survived " << kSeedsMax << " seeds";
}

INSTANTIATE_TEST_SUITE_P(
    Raft, Mutants,
    testing::Values(Case{Mutant::kVoteNotPersisted, "kVoteNotPersisted"},
                    Case{Mutant::kVoteForgotten, "kVoteForgotten"},
                    Case{Mutant::kCommitOldTermByCounting, "kCommitOldTermByCounting", &Figure8},
                    Case{Mutant::kFollowerCommitsUnvouched, "kFollowerCommitsUnvouched",
                         &LeftoverTailIsNotCommitted},
                    Case{Mutant::kHeartbeatRawCommit, "kHeartbeatRawCommit"},
                    Case{Mutant::kLeaderCountsUnsynced, "kLeaderCountsUnsynced"},
                    Case{Mutant::kAckBeforeSync, "kAckBeforeSync"},
                    Case{Mutant::kTruncateCommitted, "kTruncateCommitted"},
                    Case{Mutant::kReadWithoutQuorum, "kReadWithoutQuorum", &ReadOnADeposedLeader},
                    Case{Mutant::kReadStaleRound, "kReadStaleRound", &DelayedAnswersToAnOlderRound},
                    Case{Mutant::kReadBeforeNoop, "kReadBeforeNoop"},
                    Case{Mutant::kNoLogCheckInVote, "kNoLogCheckInVote"},
                    Case{Mutant::kIncarnationIgnored, "kIncarnationIgnored", &WipedDiskDoesNotVote},
                    Case{Mutant::kSnapshotCurrentTerm, "kSnapshotCurrentTerm"}),
    [](const testing::TestParamInfo<Case>& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace dqueue::raft::test
