// Every deliberate bug of raft/ changes what at least one scripted trace shows: proof that the
// traces can fail. The table names the script whose story is about the rule that the bug breaks.
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "raft/mutants.h"
#include "raft/testing/trace_directory.h"
#include "raft/testing/trace_script.h"

namespace dqueue::raft::test {
namespace {

const std::string kDirectory = RAFT_TESTDATA;

struct Case {
  const Mutant* mutant;
  const char* script;  // without ".txt"
};

constexpr Case kCases[] = {
    {&mutants::kVoteNotPersisted, "disk_vote_waits"},
    {&mutants::kVoteForgotten, "election_split_vote"},
    {&mutants::kCommitOldTermByCounting, "figure_8"},
    {&mutants::kFollowerCommitsUnvouched, "replication_leftover_tail"},
    {&mutants::kHeartbeatRawCommit, "replication_heartbeat_commit"},
    {&mutants::kLeaderCountsUnsynced, "replication_slow_leader_disk"},
    {&mutants::kAckBeforeSync, "disk_ack_waits"},
    {&mutants::kTruncateCommitted, "replication_old_append"},
    {&mutants::kReadWithoutQuorum, "read_deposed_leader"},
    {&mutants::kReadStaleRound, "read_stale_round"},
    {&mutants::kReadBeforeNoop, "read_before_noop"},
    {&mutants::kNoLogCheckInVote, "election_up_to_date"},
    {&mutants::kIncarnationIgnored, "incarnation_wiped"},
    {&mutants::kSnapshotCurrentTerm, "snapshot"},
};

TraceResult RunFile(const std::string& file) {
  return RunTrace(file, ReadTrace(absl::StrCat(kDirectory, "/", file)));
}

class TraceMutants : public testing::TestWithParam<Case> {
 protected:
  void TearDown() override { active_mutant = nullptr; }
};

TEST_P(TraceMutants, AreSeen) {
  const std::string script = absl::StrCat(GetParam().script, ".txt");
  EXPECT_EQ(RunFile(script).diff, "");
  active_mutant = GetParam().mutant;
  const TraceResult result = RunFile(script);
  EXPECT_EQ(result.error, "");
  EXPECT_NE(result.diff, "") << script << " does not see " << GetParam().mutant->name;
  RecordProperty("diff", result.diff);
  std::string others;
  for (const std::string& file : TraceNames(kDirectory)) {
    if (file != script && !RunFile(file).diff.empty()) absl::StrAppend(&others, file, " ");
  }
  RecordProperty("also_seen_by", others);
}

TEST(TraceMutantsTest, EveryMutantHasARow) {
  for (const Mutant* const mutant : mutants::kAll) {
    EXPECT_TRUE(std::any_of(std::begin(kCases), std::end(kCases), [&](const Case& row) {
      return row.mutant == mutant;
    })) << mutant->name;
  }
}

INSTANTIATE_TEST_SUITE_P(Raft, TraceMutants, testing::ValuesIn(kCases),
                         [](const testing::TestParamInfo<Case>& test) {
                           return std::string(test.param.mutant->name);
                         });

}  // namespace
}  // namespace dqueue::raft::test
