#include "queue/state/lease_rules.h"

#include "base/check.h"

namespace dqueue::queue {
namespace {

constexpr size_t kCommands = 3;
constexpr size_t kStates = 5;
constexpr size_t kRelations = 6;

// Sets of states, as bits in the order of StateBit.
constexpr unsigned kScheduled = 1;
constexpr unsigned kReady = 2;
constexpr unsigned kSucceeded = 4;
constexpr unsigned kDead = 8;
constexpr unsigned kCancelled = 16;
constexpr unsigned kLive = kScheduled | kReady;
constexpr unsigned kFinished = kSucceeded | kDead | kCancelled;

constexpr size_t StateBit(v1::JobState state) {
  switch (state) {
    case v1::JOB_STATE_SCHEDULED:
      return 0;
    case v1::JOB_STATE_READY:
      return 1;
    case v1::JOB_STATE_SUCCEEDED:
      return 2;
    case v1::JOB_STATE_DEAD:
      return 3;
    case v1::JOB_STATE_CANCELLED:
      return 4;
    default:
      return kStates;
  }
}

// Sets of relations.
constexpr unsigned Bit(TokenRelation relation) { return 1u << static_cast<unsigned>(relation); }
constexpr unsigned kOver = Bit(TokenRelation::kAbsent) | Bit(TokenRelation::kOlder);
constexpr unsigned kByComplete = Bit(TokenRelation::kEndedByComplete);
constexpr unsigned kByFail = Bit(TokenRelation::kEndedByFail);
constexpr unsigned kByExpire = Bit(TokenRelation::kEndedByExpire);
constexpr unsigned kNewer = Bit(TokenRelation::kNewer);
constexpr unsigned kAny = (1u << kRelations) - 1;

struct Row {
  LeaseCommand command;
  unsigned states;
  unsigned relations;
  LeaseDecision decision;
};

constexpr Row kRows[] = {
    // A completion counts, unless a newer lease of the job exists or existed. A job waits between
    // two attempts (SCHEDULED) only after its last lease ended, but a lease whose end is not in the
    // log may last longer than that.
    {LeaseCommand::kComplete, kLive, kNewer, LeaseDecision::kApply},
    {LeaseCommand::kComplete, kLive, kByExpire, LeaseDecision::kApplyLate},
    {LeaseCommand::kComplete, kLive, kByFail | kByComplete, LeaseDecision::kInvalidState},
    {LeaseCommand::kComplete, kLive, kOver, LeaseDecision::kLeaseStale},
    {LeaseCommand::kComplete, kSucceeded, kByComplete, LeaseDecision::kRepeated},
    {LeaseCommand::kComplete, kSucceeded, kAny & ~kByComplete, LeaseDecision::kInvalidState},
    {LeaseCommand::kComplete, kDead | kCancelled, kAny, LeaseDecision::kInvalidState},

    // A failure ends the lease of a READY job. It must not change the wait of a SCHEDULED one.
    {LeaseCommand::kFail, kLive | kFinished, kByFail, LeaseDecision::kRepeated},
    {LeaseCommand::kFail, kReady, kNewer, LeaseDecision::kApply},
    {LeaseCommand::kFail, kScheduled, kNewer, LeaseDecision::kInvalidState},
    {LeaseCommand::kFail, kLive, kByComplete, LeaseDecision::kInvalidState},
    {LeaseCommand::kFail, kLive, kOver | kByExpire, LeaseDecision::kLeaseStale},
    {LeaseCommand::kFail, kFinished, kAny & ~kByFail, LeaseDecision::kInvalidState},

    {LeaseCommand::kExpire, kLive | kFinished, kByExpire, LeaseDecision::kRepeated},
    {LeaseCommand::kExpire, kReady, kNewer, LeaseDecision::kApply},
    {LeaseCommand::kExpire, kScheduled, kNewer, LeaseDecision::kInvalidState},
    {LeaseCommand::kExpire, kLive, kByComplete | kByFail, LeaseDecision::kInvalidState},
    {LeaseCommand::kExpire, kLive, kOver, LeaseDecision::kLeaseStale},
    {LeaseCommand::kExpire, kFinished, kAny & ~kByExpire, LeaseDecision::kInvalidState},
};

constexpr bool Matches(const Row& row, size_t command, size_t state, size_t relation) {
  return static_cast<size_t>(row.command) == command && (row.states >> state & 1) != 0 &&
         (row.relations >> relation & 1) != 0;
}

constexpr bool EveryCombinationMatchesOneRow() {
  for (size_t command = 0; command < kCommands; ++command) {
    for (size_t state = 0; state < kStates; ++state) {
      for (size_t relation = 0; relation < kRelations; ++relation) {
        int matching = 0;
        for (const Row& row : kRows) matching += Matches(row, command, state, relation) ? 1 : 0;
        if (matching != 1) return false;
      }
    }
  }
  return true;
}
static_assert(EveryCombinationMatchesOneRow());

using Decisions = std::array<std::array<std::array<LeaseDecision, kRelations>, kStates>, kCommands>;

constexpr Decisions Expand() {
  Decisions decisions{};
  for (size_t command = 0; command < kCommands; ++command) {
    for (size_t state = 0; state < kStates; ++state) {
      for (size_t relation = 0; relation < kRelations; ++relation) {
        for (const Row& row : kRows) {
          if (Matches(row, command, state, relation)) {
            decisions[command][state][relation] = row.decision;
          }
        }
      }
    }
  }
  return decisions;
}
constexpr Decisions kDecisions = Expand();

}  // namespace

TokenRelation Relate(LeaseToken token, LeaseToken last_token, TokenEnd token_end) {
  if (token == LeaseToken{}) return TokenRelation::kAbsent;
  if (token > last_token) return TokenRelation::kNewer;
  if (token < last_token) return TokenRelation::kOlder;
  switch (token_end) {
    case TokenEnd::kComplete:
      return TokenRelation::kEndedByComplete;
    case TokenEnd::kFail:
      return TokenRelation::kEndedByFail;
    case TokenEnd::kExpire:
      return TokenRelation::kEndedByExpire;
    case TokenEnd::kNone:
      break;
  }
  CheckFailed(__FILE__, __LINE__, "a token of the log was ended by some command", {});
}

LeaseDecision Decide(LeaseCommand command, v1::JobState state, TokenRelation relation) {
  const size_t bit = StateBit(state);
  DQ_CHECK(bit < kStates);
  return kDecisions[static_cast<size_t>(command)][bit][static_cast<size_t>(relation)];
}

}  // namespace dqueue::queue
