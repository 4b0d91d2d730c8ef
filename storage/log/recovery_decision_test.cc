#include "storage/log/recovery_decision.h"

#include <gtest/gtest.h>

#include <set>

namespace dqueue::storage {
namespace {

constexpr int kConditions = 3;

RecoverySituation SituationOfBits(int bits) {
  return {(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0};
}

TEST(RecoveryDecisionTest, EachSituationMatchesOneRule) {
  std::set<const RecoveryRule*> used;
  for (int bits = 0; bits < 1 << kConditions; ++bits) {
    int matches = 0;
    for (const RecoveryRule& rule : RecoveryRules()) {
      if (!rule.Matches(SituationOfBits(bits))) continue;
      ++matches;
      used.insert(&rule);
    }
    EXPECT_EQ(matches, 1) << bits;
  }
  EXPECT_EQ(used.size(), RecoveryRules().size()) << "a rule that never matches";
}

// Safety rules that the table must keep, checked without using its rows.
TEST(RecoveryDecisionTest, AcknowledgedDataIsNeverCut) {
  for (int bits = 0; bits < 1 << kConditions; ++bits) {
    const RecoverySituation s = SituationOfBits(bits);
    const RecoveryAction action = DecideRecovery(s);
    const bool cuts =
        action == RecoveryAction::kContinue || action == RecoveryAction::kTruncateTail;
    EXPECT_EQ(cuts, !s.below_durable && !s.inconsistent) << bits;
    if (action == RecoveryAction::kContinue) {
      EXPECT_TRUE(s.rest_is_zero) << bits;
    }
    // Each refusal has advice; other actions have none.
    EXPECT_EQ(RecoveryAdvice(action).empty(), cuts) << bits;
  }
}

}  // namespace
}  // namespace dqueue::storage
