// How recovery treats the tail of the log: the decision table of docs/storage.md.
#pragma once

#include <span>
#include <string_view>

namespace dqueue::storage {

// X is the first position that does not hold the next record. D is the highest durable position
// that a valid header names.
struct RecoverySituation {
  bool inconsistent =
      false;  // the bytes at X are intact, but a correct program would not have written them
  bool below_durable = false;  // X < D
  bool rest_is_zero = false;   // only zeros follow X
};

enum class RecoveryAction {
  kContinue,            // the log ends at X
  kTruncateTail,        // bytes after X were never acknowledged; remove them
  kRefuseInconsistent,  // the log is inconsistent, which recovery cannot repair
  kRefuseDamaged,       // acknowledged data is damaged
};

struct RecoveryRule {
  enum Condition { kNo, kYes, kAny };
  Condition inconsistent;
  Condition below_durable;
  Condition rest_is_zero;
  RecoveryAction action;
  bool Matches(const RecoverySituation& situation) const;
};

// Every situation matches exactly one rule.
std::span<const RecoveryRule> RecoveryRules();
RecoveryAction DecideRecovery(const RecoverySituation& situation);

// Advice to the operator after a refusal; empty for other actions.
std::string_view RecoveryAdvice(RecoveryAction action);

}  // namespace dqueue::storage
