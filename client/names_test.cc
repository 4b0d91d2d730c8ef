#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "client/client.h"

namespace dqueue::client {
namespace {

TEST(FencingToken, PrintsFixedWidthHexadecimal) {
  EXPECT_EQ((FencingToken{3, 18, 1234}).ToString(),
            "0000000000000003-0000000000000012-00000000000004d2");
  EXPECT_EQ((FencingToken{UINT64_MAX, 0, 1}).ToString(),
            "ffffffffffffffff-0000000000000000-0000000000000001");
}

TEST(FencingToken, TextHasTheOrderOfNumbers) {
  const std::vector<FencingToken> ordered = {{0, 0},  {0, 1},     {0, 10}, {1, 0},         {9, 9},
                                             {10, 1}, {10, 1, 2}, {16, 0}, {UINT64_MAX, 1}};
  for (size_t i = 1; i < ordered.size(); ++i) {
    EXPECT_LT(ordered[i - 1], ordered[i]);
    EXPECT_LT(ordered[i - 1].ToString(), ordered[i].ToString());
  }
}

TEST(FencingToken, ParsesWhatItPrints) {
  for (const FencingToken token : {FencingToken{0, 0}, FencingToken{3, 18, 1234},
                                   FencingToken{UINT64_MAX, UINT64_MAX, UINT64_MAX}}) {
    EXPECT_EQ(FencingToken::Parse(token.ToString()), token);
  }
}

TEST(FencingToken, RefusesOtherText) {
  for (const char* text : {
           "",
           "3-18-1",
           "0000000000000003",
           "0000000000000003-0000000000000012",
           "0000000000000003-0000000000000012-",
           "0000000000000003-0000000000000012-000000000000001",
           "0000000000000003-0000000000000012-00000000000000011",
           "0000000000000003_0000000000000012-0000000000000001",
           "0000000000000003-0000000000000012_0000000000000001",
           "000000000000000g-0000000000000012-0000000000000001",
           "000000000000000A-0000000000000012-0000000000000001",
           " 000000000000003-0000000000000012-0000000000000001",
           "0000000000000003-0000000000000 12-0000000000000001",
           "0000000000000003-0000000000000012-000000000000000-",
           "-000000000000003-000000000000001--0000000000000001",
       }) {
    EXPECT_EQ(FencingToken::Parse(text), std::nullopt) << text;
  }
}

TEST(JobState, NamesAndBack) {
  for (const JobState state : {JobState::kScheduled, JobState::kReady, JobState::kLeased,
                               JobState::kSucceeded, JobState::kDead, JobState::kCancelled}) {
    EXPECT_EQ(ParseJobState(JobStateName(state)), state);
  }
  EXPECT_EQ(ParseJobState("dead"), JobState::kDead);
  EXPECT_EQ(ParseJobState("Ready"), JobState::kReady);
  for (const char* text : {"", "UNKNOWN", "READYY", "REA", "JOB_STATE_READY", " READY"}) {
    EXPECT_EQ(ParseJobState(text), std::nullopt) << text;
  }
}

TEST(Code, NamesDiffer) {
  std::vector<std::string> names;
  for (int code = 0; code <= static_cast<int>(Code::kInternal); ++code) {
    names.emplace_back(CodeName(static_cast<Code>(code)));
    EXPECT_NE(names.back(), "?");
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
}

}  // namespace
}  // namespace dqueue::client
