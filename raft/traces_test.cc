// Runs every scripted trace of raft/testdata/. To accept the present output of all of them, run
// with DQUEUE_REWRITE_TRACES=1 and read the difference that version control shows.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "raft/testing/trace_directory.h"
#include "raft/testing/trace_file.h"
#include "raft/testing/trace_script.h"

namespace dqueue::raft::test {
namespace {

const std::string kDirectory = RAFT_TESTDATA;

TEST(Traces, AreThere) { EXPECT_FALSE(TraceNames(kDirectory).empty()) << kDirectory; }

class Trace : public testing::TestWithParam<std::string> {};

TEST_P(Trace, GivesTheExpectedOutput) {
  const std::string path = absl::StrCat(kDirectory, "/", GetParam());
  const std::string text = ReadTrace(path);
  const TraceResult result = RunTrace(GetParam(), text);
  ASSERT_EQ(result.error, "");
  EXPECT_FALSE(absl::StrContains(result.actual, "violation: ")) << result.actual;
  if (std::getenv("DQUEUE_REWRITE_TRACES") != nullptr && result.actual != text) {
    WriteTrace(path, result.actual);
    FAIL() << "rewrote " << path << ": read the difference, and run the test again";
  }
  EXPECT_TRUE(result.diff.empty()) << result.diff << "- expected, + actual";
}

std::string TestName(const testing::TestParamInfo<std::string>& test) {
  return test.param.substr(0, test.param.find('.'));
}

INSTANTIATE_TEST_SUITE_P(Raft, Trace, testing::ValuesIn(TraceNames(kDirectory)), TestName);

// ---- Mistakes in scripts

struct Mistake {
  const char* text;
  const char* error;
};

constexpr Mistake kMistakes[] = {
    {"", "t.txt:1: no commands; expected a block such as \"nodes 3\""},
    {"# Only words.\n", "t.txt:1: no commands; expected a block such as \"nodes 3\""},
    {"\n----\n", "t.txt:2: \"----\" without a command before it"},
    {"nodes 3\n----\n\nstate\n", "t.txt:4: \"state\" is not followed by \"----\""},
    {"state\n----\n", "t.txt:1: state: there is no cluster yet; a script begins with nodes 3"},
    {"nodes\n----\n", "t.txt:1: nodes: unexpected end of line; allowed: 1 to 9"},
    {"nodes 10\n----\n", "t.txt:1: nodes: unexpected '10'; allowed: 1 to 9"},
    {"nodes 3 term=x\n----\n", "t.txt:1: nodes: unexpected 'term=x'; allowed: term=1 to 1000"},
    {"nodes 3 fast\n----\n",
     "t.txt:1: nodes: unexpected 'fast'; allowed: term=N, max-append-entries=N, seed=N, unbound"},
    {"nodes 3\nnodes 3\n----\n",
     "t.txt:2: nodes: a script has one cluster; the command stands once, first"},
    {"nodes 3\nstate\nlog n1 1\n----\n",
     "t.txt:3: log: logs are given between nodes and the commands that need a running cluster"},
    {"nodes 3\nlog n1 2\n----\n", "t.txt:2: log: unexpected '2'; allowed: 1 to 1"},
    {"nodes 3 term=5\nlog n1 3 2\n----\n", "t.txt:2: log: unexpected '2'; allowed: 3 to 5"},
    {"nodes 3\ncrash n4\n----\n", "t.txt:2: crash: unexpected 'n4'; allowed: n1 to n3"},
    {"nodes 3\ncrash n1x\n----\n", "t.txt:2: crash: unexpected 'n1x'; allowed: n1 to n3"},
    {"nodes 3\ncrash n1 now\n----\n", "t.txt:2: crash: unexpected 'now'; allowed: nothing more"},
    {"nodes 3\ncrash n1 kept=0\n----\n",
     "t.txt:2: crash: unexpected 'kept=0'; allowed: kept=1 to 1000"},
    {"nodes 3\ncrash n1\n# Twice.\ncrash n1\n----\n",
     "t.txt:4: crash: n1 is down; restart it first"},
    {"nodes 3\nrestart n1\n----\n", "t.txt:2: restart: n1 is up; crash it first"},
    {"nodes 3\ndeliver n1->n1\n----\n",
     "t.txt:2: deliver: unexpected 'n1->n1'; allowed: nX->nY with two nodes of n1 to n3"},
    {"nodes 3\ndeliver n1->n2 Hello\n----\n",
     "t.txt:2: deliver: unexpected 'Hello'; allowed: PreVote, PreVoteResponse, Vote, VoteResponse, "
     "Append, AppendResponse, Heartbeat, HeartbeatResponse, Snapshot, SnapshotResponse, "
     "TimeoutNow, Refusal"},
    {"nodes 3\ndeliver all Append\n----\n",
     "t.txt:2: deliver: unexpected 'Append'; allowed: nothing more"},
    {"nodes 3\nwait 50\n----\n",
     "t.txt:2: wait: unexpected '50'; allowed: milliseconds, such as 50ms"},
    {"nodes 3\nrun 0ms\n----\n",
     "t.txt:2: run: unexpected '0ms'; allowed: milliseconds, 1 to 86400000"},
    {"nodes 3\npropose n1 a\n----\n",
     "t.txt:2: propose: unexpected 'a'; allowed: text in quotes, such as \"a\""},
    {"nodes 3\npropose n1 \"a\n----\n", "t.txt:2: propose: \"a has no closing quote"},
    {"nodes 3\ncapacity n1 full\n----\n", "t.txt:2: capacity: unexpected 'full'; allowed: low, ok"},
    {"nodes 3\nsnapshot n1\nsnapshot n1\n----\n",
     "t.txt:3: snapshot: nothing new is applied and durable"},
    {"nodes 3\nhide\n----\n",
     "t.txt:2: hide: unexpected end of line; allowed: a kind of message, such as Heartbeat"},
};

TEST(TraceScript, NamesEachMistake) {
  for (const Mistake& mistake : kMistakes) {
    const TraceResult result = RunTrace("t.txt", mistake.text);
    EXPECT_EQ(result.error, mistake.error) << mistake.text;
    EXPECT_EQ(result.actual, "") << mistake.text;
  }
}

TEST(TraceScript, ListsTheCommandsForAnUnknownOne) {
  const std::string error = RunTrace("t.txt", "nodes 3\n\njump n1\n----\n").error;
  EXPECT_TRUE(absl::StartsWith(error, "t.txt:3: jump: unknown command; allowed: nodes, log, "))
      << error;
}

TEST(TraceScript, ShowsWhereOutputDiffers) {
  const TraceResult result = RunTrace("t.txt",
                                      "# A story.\nnodes 1\nstate\n----\nwrong\n\n"
                                      "# The end.\n");
  EXPECT_EQ(result.diff,
            "t.txt:5:\n- wrong\n"
            "+ 0ms    n1 follower term=1 vote=none commit=1 applied=1 log=1\n");
  EXPECT_EQ(result.actual,
            "# A story.\nnodes 1\nstate\n----\n"
            "0ms    n1 follower term=1 vote=none commit=1 applied=1 log=1\n\n# The end.\n");
  EXPECT_EQ(RunTrace("t.txt", result.actual).diff, "");
}

TEST(TraceScript, LeavesOutLinesFarFromADifference) {
  EXPECT_EQ(LineDiff({"1", "2", "3", "4", "5", "6", "7"}, {"1", "2", "3", "4", "5", "6"}),
            "  ...\n  4\n  5\n  6\n- 7\n");
  EXPECT_EQ(LineDiff({"1", "2"}, {"1", "2"}), "");
}

}  // namespace
}  // namespace dqueue::raft::test
