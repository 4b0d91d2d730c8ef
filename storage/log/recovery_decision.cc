#include "storage/log/recovery_decision.h"

#include "base/check.h"

namespace dqueue::storage {
namespace {

using R = RecoveryRule;
using A = RecoveryAction;

constexpr RecoveryRule kRules[] = {
    // clang-format off
    // incons. below D  zeros    recover  certain
    {R::kNo,  R::kNo,  R::kYes, R::kAny, R::kAny, A::kContinue},
    {R::kNo,  R::kNo,  R::kNo,  R::kAny, R::kAny, A::kTruncateTail},
    {R::kNo,  R::kYes, R::kAny, R::kNo,  R::kAny, A::kRefuseDamaged},
    {R::kNo,  R::kYes, R::kAny, R::kYes, R::kNo,  A::kRefuseVoteLost},
    {R::kNo,  R::kYes, R::kAny, R::kYes, R::kYes, A::kKeepPrefix},
    {R::kYes, R::kAny, R::kAny, R::kAny, R::kAny, A::kRefuseInconsistent},
    // clang-format on
};

bool Satisfies(RecoveryRule::Condition condition, bool value) {
  return condition == RecoveryRule::kAny || (condition == RecoveryRule::kYes) == value;
}

}  // namespace

bool RecoveryRule::Matches(const RecoverySituation& s) const {
  return Satisfies(inconsistent, s.inconsistent) && Satisfies(below_durable, s.below_durable) &&
         Satisfies(rest_is_zero, s.rest_is_zero) &&
         Satisfies(recover_from_peers, s.recover_from_peers) &&
         Satisfies(hard_state_certain, s.hard_state_certain);
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
    case A::kKeepPrefix:
      return "";
    case A::kRefuseInconsistent:
      return "recovery cannot repair this: restore the data directory, or remove this node from "
             "the cluster and add it again with an empty one";
    case A::kRefuseDamaged:
      return "acknowledged data is damaged: restore the file, or start with --recover=peers to "
             "fetch what is lost from the other members";
    case A::kRefuseVoteLost:
      return "this node's vote may be lost, so it must not rejoin as the same member: remove it "
             "from the cluster and add it again with an empty data directory";
  }
  return "";
}

}  // namespace dqueue::storage
