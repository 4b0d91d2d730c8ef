// Every deliberate bug of raft/mutant.h that lives in this folder must be seen by the checks of
// TestCluster within a bounded number of random histories: proof that those tests can fail.
#include <gtest/gtest.h>

#include <string>

#include "raft/mutant.h"
#include "raft/random_cluster.h"
#include "raft/test_cluster.h"

namespace dqueue::raft::test {
namespace {

constexpr uint64_t kSeedsMax = 400;

struct Case {
  Mutant mutant;
  const char* name;
};

class Mutants : public testing::TestWithParam<Case> {
 protected:
  void TearDown() override { active_mutant = Mutant::kNone; }
};

TEST_P(Mutants, IsKilled) {
  ChecksThrow checks;
  active_mutant = GetParam().mutant;
  for (uint64_t seed = 1; seed <= kSeedsMax; ++seed) {
    const int nodes = seed % 4 == 0 ? 5 : 3;
    try {
      RunChaos({.seed = seed, .nodes = nodes});
    } catch (const Violation& violation) {
      const std::string text = violation.what();
      std::printf("seed %d: %s\n", static_cast<int>(seed), text.substr(0, text.find('\n')).c_str());
      return;
    }
  }
  FAIL() << "survived " << kSeedsMax << " seeds";
}

INSTANTIATE_TEST_SUITE_P(
    Raft, Mutants,
    testing::Values(Case{Mutant::kVoteNotPersisted, "kVoteNotPersisted"},
                    Case{Mutant::kVoteForgotten, "kVoteForgotten"},
                    Case{Mutant::kCommitOldTermByCounting, "kCommitOldTermByCounting"},
                    Case{Mutant::kFollowerCommitsUnvouched, "kFollowerCommitsUnvouched"},
                    Case{Mutant::kHeartbeatRawCommit, "kHeartbeatRawCommit"},
                    Case{Mutant::kLeaderCountsUnsynced, "kLeaderCountsUnsynced"},
                    Case{Mutant::kAckBeforeSync, "kAckBeforeSync"},
                    Case{Mutant::kTruncateCommitted, "kTruncateCommitted"},
                    Case{Mutant::kReadWithoutQuorum, "kReadWithoutQuorum"},
                    Case{Mutant::kReadStaleRound, "kReadStaleRound"},
                    Case{Mutant::kReadBeforeNoop, "kReadBeforeNoop"},
                    Case{Mutant::kNoLogCheckInVote, "kNoLogCheckInVote"},
                    Case{Mutant::kSnapshotCurrentTerm, "kSnapshotCurrentTerm"}),
    [](const testing::TestParamInfo<Case>& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace dqueue::raft::test
