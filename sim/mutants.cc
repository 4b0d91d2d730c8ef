#include "sim/mutants.h"

namespace dqueue::sim {

const std::vector<NamedMutant>& AllMutants() {
#define DQ_NAMED(name) \
  { Mutant::name, #name }
  static const std::vector<NamedMutant> mutants = {
      DQ_NAMED(kVoteNotPersisted),
      DQ_NAMED(kVoteForgotten),
      DQ_NAMED(kCommitOldTermByCounting),
      DQ_NAMED(kFollowerCommitsUnvouched),
      DQ_NAMED(kHeartbeatRawCommit),
      DQ_NAMED(kLeaderCountsUnsynced),
      DQ_NAMED(kAckBeforeSync),
      DQ_NAMED(kTruncateCommitted),
      DQ_NAMED(kReadWithoutQuorum),
      DQ_NAMED(kReadStaleRound),
      DQ_NAMED(kReadBeforeNoop),
      DQ_NAMED(kNoLogCheckInVote),
      DQ_NAMED(kIncarnationIgnored),
      DQ_NAMED(kSnapshotCurrentTerm),
      DQ_NAMED(kDirectoryNotSynced),
      DQ_NAMED(kSyncSkipped),
      DQ_NAMED(kCutAcknowledged),
      DQ_NAMED(kHardStateNotCarried),
      DQ_NAMED(kGrantWithoutConfirmation),
      DQ_NAMED(kCompleteUnfenced),
      DQ_NAMED(kSnapshotWithoutIdempotency),
      DQ_NAMED(kAckingNotGuarded),
      DQ_NAMED(kAnswerBeforeCommit),
      DQ_NAMED(kExpiryNotLogged),
      DQ_NAMED(kReusedIdNotTold),
      DQ_NAMED(kDeleteUntold),
      DQ_NAMED(kDeletingNotGuarded),
      DQ_NAMED(kDeleteInAnyState),
      DQ_NAMED(kPauseNotChecked),
      DQ_NAMED(kRedeliverAfterDone),
      DQ_NAMED(kAttemptsResetOnFailure),
      DQ_NAMED(kSnapshotWithoutApiKeys),
      DQ_NAMED(kRevokeNotApplied),
      DQ_NAMED(kRevokedKeyCreatedAgain),
      DQ_NAMED(kAccessNotCheckedOnComplete),
      DQ_NAMED(kAccessNotCheckedInStats),
  };
#undef DQ_NAMED
  return mutants;
}

std::optional<NamedMutant> FindMutant(std::string_view name) {
  for (const NamedMutant& mutant : AllMutants()) {
    if (name == mutant.name) return mutant;
  }
  return std::nullopt;
}

bool Activate([[maybe_unused]] Mutant mutant) {
#ifdef DQUEUE_MUTANTS
  active_mutant = mutant;
  return true;
#else
  return false;
#endif
}

}  // namespace dqueue::sim
