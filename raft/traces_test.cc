// Runs every scripted trace of raft/testdata/. To accept the present output of all of them, run
// with DQUEUE_REWRITE_TRACES=1 and read the difference that version control shows.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "raft/testing/trace_directory.h"
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
  if (std::getenv("DQUEUE_REWRITE_TRACES") != nullptr) {
    if (result.actual != text) WriteTrace(path, result.actual);
    return;
  }
  EXPECT_TRUE(result.diff.empty()) << result.diff << "- expected, + actual";
}

std::string TestName(const testing::TestParamInfo<std::string>& test) {
  return test.param.substr(0, test.param.find('.'));
}

INSTANTIATE_TEST_SUITE_P(Raft, Trace, testing::ValuesIn(TraceNames(kDirectory)), TestName);

}  // namespace
}  // namespace dqueue::raft::test
