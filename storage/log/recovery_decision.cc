#include "storage/log/recovery_decision.h"

#include "base/check.h"

namespace dqueue::storage {
namespace {

using R = RecoveryRule;
using A = RecoveryAction;

constexpr RecoveryRule kRules[] = {
    // clang-format off
    // impossible below D  zeros    recover  certain
    {R::kNo,  R::kNo,  R::kYes, R::kAny, R::kAny, A::kGoOn},
    {R::kNo,  R::kNo,  R::kNo,  R::kAny, R::kAny, A::kCutTail},
    {R::kNo,  R::kYes, R::kAny, R::kNo,  R::kAny, A::kRefuseDamaged},
    {R::kNo,  R::kYes, R::kAny, R::kYes, R::kNo,  A::kRefuseVoteLost},
    {R::kNo,  R::kYes, R::kAny, R::kYes, R::kYes, A::kKeepPrefix},
    {R::kYes, R::kAny, R::kAny, R::kAny, R::kAny, A::kRefuseImpossible},
    // clang-format on
};

bool Is(RecoveryRule::Want want, bool value) {
  return want == RecoveryRule::kAny || (want == RecoveryRule::kYes) == value;
}

}  // namespace

bool RecoveryRule::Matches(const RecoverySituation& s) const {
  return Is(impossible, s.impossible) && Is(below_durable, s.below_durable) &&
         Is(rest_is_zero, s.rest_is_zero) && Is(recover_from_peers, s.recover_from_peers) &&
         Is(hard_state_certain, s.hard_state_certain);
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
    case A::kGoOn:
    case A::kCutTail:
    case A::kKeepPrefix:
      return "";
    case A::kRefuseImpossible:
      return "no start can mend this: restore the data directory as it was, or remove this node "
             "from the cluster and add it again with an empty one";
    case A::kRefuseDamaged:
      return "acknowledged data is damaged: restore the file, or start with --recover=peers to "
             "fetch what is lost from the other members";
    case A::kRefuseVoteLost:
      return "the damage may have taken this node's vote, so it must not come back as itself: "
             "remove it from the cluster and add it again with an empty data directory";
  }
  return "";
}

}  // namespace dqueue::storage
