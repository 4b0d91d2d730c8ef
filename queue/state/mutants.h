// Deliberate bugs of the replicated state (base/mutant.h).
#pragma once

#include "base/mutant.h"

namespace dqueue::queue::mutants {

#define DQ_STATE_MUTANTS(M)                                                            \
  M(kCompleteUnfenced, "the token of a completion is not checked")                     \
  M(kSnapshotWithoutIdempotency, "a snapshot leaves out the idempotency table")        \
  M(kReusedIdNotTold, "a command ends a lease of a later job with the same id")        \
  M(kDeleteUntold, "a delete takes a later job with the same id")                      \
  M(kDeleteInAnyState, "a purge takes a job that has left the state it was picked in") \
  M(kPauseNotChecked, "jobs are taken from paused queues")                             \
  M(kRedeliverAfterDone, "a completed job stays in the ready order")                   \
  M(kAttemptsResetOnFailure, "a failure forgets the earlier ones")                     \
  M(kSnapshotWithoutApiKeys, "a snapshot leaves out the API keys")                     \
  M(kRevokeNotApplied, "a revocation is answered, but the key stays valid")            \
  M(kRevokedKeyCreatedAgain, "a repeated creation makes a revoked key valid")          \
  M(kTrimTakesDead, "a trim of completed jobs takes dead ones too")                    \
  M(kTrimTakesIdsInUse, "a trim drops the idempotency keys of jobs that wait")

DQ_DECLARE_MUTANTS(kOfState, DQ_STATE_MUTANTS)

}  // namespace dqueue::queue::mutants
