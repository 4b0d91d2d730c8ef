#include "storage/log/recovery_decision.h"

#include "base/check.h"

namespace dqueue::storage {
namespace {

using R = RecoveryRule;
using A = RecoveryAction;

constexpr RecoveryRule kRules[] = {
    // clang-format off
    // incons. below D  zeros
    {R::kNo,  R::kNo,  R::kYes, A::kContinue},
    {R::kNo,  R::kNo,  R::kNo,  A::kTruncateTail},
    {R::kNo,  R::kYes, R::kAny, A::kRefuseDamaged},
    {R::kYes, R::kAny, R::kAny, A::kRefuseInconsistent},
    // clang-format on
};

bool Satisfies(RecoveryRule::Condition condition, bool value) {
  return condition == RecoveryRule::kAny || (condition == RecoveryRule::kYes) == value;
}

}  // namespace

bool RecoveryRule::Matches(const RecoverySituation& s) const {
  return Satisfies(inconsistent, s.inconsistent) && Satisfies(below_durable, s.below_durable) &&
         Satisfies(rest_is_zero, s.rest_is_zero);
}

std::span<const RecoveryRule> RecoveryRules() { return kRules; }

RecoveryAction DecideRecovery(const RecoverySituation& situation) {
  const RecoveryRule* found = nullptr;
  for (const RecoveryRule& rule : kRules) {
    if (!rule.Matches(situation)) continue;
    DQ_CHECK_MSG(found == nullptr, "two rules for one situation");
    found = &rule;
  }
  DQ_CHECK_MSG(found != nullptr, "no rule for a situation");
  return found->action;
}

std::string_view RecoveryAdvice(RecoveryAction action) {
  switch (action) {
    case A::kContinue:
    case A::kTruncateTail:
      return "";
    case A::kRefuseInconsistent:
      return "recovery cannot repair this; leave this node stopped, keep its directory as it is, "
             "and run the other members";
    case A::kRefuseDamaged:
      return "acknowledged data is damaged; leave this node stopped, keep its directory as it is, "
             "and run the other members";
  }
  return "";
}

}  // namespace dqueue::storage
