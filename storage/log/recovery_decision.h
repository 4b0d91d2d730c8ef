// What a start does with the end of its log: the table of docs/storage.md as code.
#pragma once

#include <span>
#include <string_view>

namespace dqueue::storage {

// X is the first place that cannot be read as the log's next record; D the highest position that
// any valid header names as durable.
struct RecoverySituation {
  bool impossible = false;  // whole and well-formed, but not what this program would have written
  bool below_durable = false;  // X < D
  bool rest_is_zero = false;   // nothing behind X
  bool recover_from_peers = false;
  bool hard_state_certain = false;  // every unreadable place below D is older than a readable vote
};

enum class RecoveryAction {
  kGoOn,              // the log ends at X
  kCutTail,           // what is behind X was never promised to anybody
  kRefuseImpossible,  // not a matter of lost bytes
  kRefuseDamaged,     // acknowledged data is damaged
  kRefuseVoteLost,    // this node may have forgotten a vote: it must not come back as itself
  kKeepPrefix,        // go on with what is before X, without a vote until it has caught up
};

struct RecoveryRule {
  enum Want { kNo, kYes, kAny };
  Want impossible;
  Want below_durable;
  Want rest_is_zero;
  Want recover_from_peers;
  Want hard_state_certain;
  RecoveryAction action;
  bool Matches(const RecoverySituation& situation) const;
};

// Every situation matches exactly one rule.
std::span<const RecoveryRule> RecoveryRules();
RecoveryAction DecideRecovery(const RecoverySituation& situation);

// What the operator can do about a refusal.
std::string_view RecoveryAdvice(RecoveryAction action);

}  // namespace dqueue::storage
