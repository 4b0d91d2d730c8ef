// Each mutant of raft/mutants.h must break a check of TestCluster, in one of the first kSeedsMax
// random runs or in a scripted history. This proves that those checks can fail.
#include <gtest/gtest.h>

#include <string>

#include "raft/mutants.h"
#include "raft/testing/random_cluster.h"
#include "raft/testing/stories.h"
#include "raft/testing/test_cluster.h"

namespace dqueue::raft::test {
namespace {

constexpr uint64_t kSeedsMax = 400;

struct Case {
  const Mutant* mutant;
  // Used when random runs rarely trigger the bug.
  void (*story)() = nullptr;
};

class Mutants : public testing::TestWithParam<Case> {
 protected:
  void TearDown() override { active_mutant = nullptr; }
};

TEST_P(Mutants, IsDetected) {
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
    testing::Values(Case{&mutants::kVoteNotPersisted}, Case{&mutants::kVoteForgotten},
                    Case{&mutants::kCommitOldTermByCounting, &Figure8},
                    Case{&mutants::kFollowerCommitsUnvouched, &LeftoverTailIsNotCommitted},
                    Case{&mutants::kHeartbeatRawCommit}, Case{&mutants::kLeaderCountsUnsynced},
                    Case{&mutants::kAckBeforeSync}, Case{&mutants::kTruncateCommitted},
                    Case{&mutants::kReadWithoutQuorum, &ReadOnADeposedLeader},
                    Case{&mutants::kReadStaleRound, &DelayedEchoesOfOlderRound},
                    Case{&mutants::kReadBeforeNoop}, Case{&mutants::kNoLogCheckInVote},
                    Case{&mutants::kIncarnationIgnored, &WipedDiskDoesNotVote},
                    Case{&mutants::kSnapshotCurrentTerm}),
    [](const testing::TestParamInfo<Case>& test) { return std::string(test.param.mutant->name); });

}  // namespace
}  // namespace dqueue::raft::test
