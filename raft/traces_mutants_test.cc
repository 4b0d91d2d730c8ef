// Every deliberate bug of raft/ changes what at least one scripted trace shows: proof that the
// traces can fail. The table names the script whose story is about the rule that the bug breaks.
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/mutant.h"
#include "raft/testing/trace_directory.h"
#include "raft/testing/trace_script.h"

namespace dqueue::raft::test {
namespace {

const std::string kDirectory = RAFT_TESTDATA;

struct Case {
  Mutant mutant;
  const char* name;
  const char* script;  // without ".txt"
};

constexpr Case kCases[] = {
    {Mutant::kVoteNotPersisted, "kVoteNotPersisted", "disk_vote_waits"},
    {Mutant::kVoteForgotten, "kVoteForgotten", "election_split_vote"},
    {Mutant::kCommitOldTermByCounting, "kCommitOldTermByCounting", "figure_8"},
    {Mutant::kFollowerCommitsUnvouched, "kFollowerCommitsUnvouched", "replication_leftover_tail"},
    {Mutant::kHeartbeatRawCommit, "kHeartbeatRawCommit", "replication_heartbeat_commit"},
    {Mutant::kLeaderCountsUnsynced, "kLeaderCountsUnsynced", "replication_slow_leader_disk"},
    {Mutant::kAckBeforeSync, "kAckBeforeSync", "disk_ack_waits"},
    {Mutant::kTruncateCommitted, "kTruncateCommitted", "replication_old_append"},
    {Mutant::kReadWithoutQuorum, "kReadWithoutQuorum", "read_deposed_leader"},
    {Mutant::kReadStaleRound, "kReadStaleRound", "read_stale_round"},
    {Mutant::kReadBeforeNoop, "kReadBeforeNoop", "read_before_noop"},
    {Mutant::kNoLogCheckInVote, "kNoLogCheckInVote", "election_up_to_date"},
    {Mutant::kIncarnationIgnored, "kIncarnationIgnored", "incarnation_wiped"},
    {Mutant::kSnapshotCurrentTerm, "kSnapshotCurrentTerm", "snapshot"},
};

void Activate(const Case* mutant) {
  active_mutant = mutant == nullptr ? Mutant::kNone : mutant->mutant;
}

TraceResult RunFile(const std::string& file) {
  return RunTrace(file, ReadTrace(absl::StrCat(kDirectory, "/", file)));
}

class TraceMutants : public testing::TestWithParam<Case> {
 protected:
  void TearDown() override { Activate(nullptr); }
};

TEST_P(TraceMutants, AreSeen) {
  const std::string script = absl::StrCat(GetParam().script, ".txt");
  EXPECT_EQ(RunFile(script).diff, "");
  Activate(&GetParam());
  const TraceResult result = RunFile(script);
  EXPECT_EQ(result.error, "");
  EXPECT_NE(result.diff, "") << script << " does not see " << GetParam().name;
  RecordProperty("diff", result.diff);
  std::string others;
  for (const std::string& file : TraceNames(kDirectory)) {
    if (file != script && !RunFile(file).diff.empty()) absl::StrAppend(&others, file, " ");
  }
  RecordProperty("also_seen_by", others);
}

INSTANTIATE_TEST_SUITE_P(Raft, TraceMutants, testing::ValuesIn(kCases),
                         [](const testing::TestParamInfo<Case>& test) {
                           return std::string(test.param.name);
                         });

}  // namespace
}  // namespace dqueue::raft::test
