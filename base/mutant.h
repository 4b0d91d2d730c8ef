// Deliberate bugs, to prove that the simulator and the tests would see them. `if (DQ_MUTANT(kX)) …`
// is constant false except in builds with DQUEUE_MUTANTS, where dqueue-sim-mutants switches one on
// at a time. sim/MUTANTS.md lists them with the seed that kills each.
#pragma once

namespace dqueue {

enum class Mutant {
  kNone,
  // raft/
  kVoteNotPersisted,          // the vote response leaves before the vote is durable
  kVoteForgotten,             // a same-term step down clears the vote
  kCommitOldTermByCounting,   // figure 8
  kFollowerCommitsUnvouched,  // follower commits up to the leader's commit, past what was vouched
                              // for
  kHeartbeatRawCommit,        // heartbeats carry the raw commit index
  kLeaderCountsUnsynced,      // the leader counts its own copy before it is durable
  kAckBeforeSync,             // a follower acknowledges entries before they are durable
  kTruncateCommitted,         // a follower truncates at prev + 1 always, also entries that match
  kReadWithoutQuorum,         // reads are confirmed without a round
  kReadStaleRound,            // an acknowledgement of an older round confirms a newer read
  kReadBeforeNoop,            // reads served before the no-op of the term is committed
  kNoLogCheckInVote,          // votes granted to candidates with shorter logs
  kIncarnationIgnored,        // messages of a wiped disk count
  kSnapshotCurrentTerm,       // an installed snapshot is stamped with the sender's current term
  // storage/
  kDirectoryNotSynced,   // a new segment's directory entry is not synced
  kSyncSkipped,          // fdatasync skipped
  kCutAcknowledged,      // a bad record below the durable mark is taken for a torn tail
  kHardStateNotCarried,  // a new segment's header carries a stale hard state
  // queue/ and node/
  kGrantWithoutConfirmation,    // leases granted without a confirmation round
  kCompleteUnfenced,            // a completion's token is not checked
  kSnapshotWithoutIdempotency,  // a snapshot leaves out the idempotency table
  kAckingNotGuarded,            // a job whose completion is in flight can be leased again
  kAnswerBeforeCommit,          // enqueues answered when proposed
  kExpiryNotLogged,             // an expired lease is not counted
  kReusedIdNotTold,             // a command ends a lease of a later job with the same id
  kDeleteUntold,                // a delete takes a later job with the same id
  kDeletingNotGuarded,          // a job whose deletion is in flight can be leased
  kDeleteInAnyState,            // a purge takes a job that has left the state it was picked in
  kPauseNotChecked,             // jobs are taken from paused queues
  kRedeliverAfterDone,          // a completed job stays in the ready order
  kAttemptsResetOnFailure,      // a failure forgets the earlier ones
  kSnapshotWithoutApiKeys,      // a snapshot leaves out the API keys
  kRevokeNotApplied,            // a revocation is answered, but the key stays valid
  kRevokedKeyCreatedAgain,      // a repeated creation makes a revoked key valid
  kAccessNotCheckedOnComplete,  // completions of jobs in queues that the caller may not see
  kAccessNotCheckedInStats,     // totals count queues that the caller may not see
};

#ifdef DQUEUE_MUTANTS
inline Mutant active_mutant = Mutant::kNone;
#define DQ_MUTANT(name) (::dqueue::active_mutant == ::dqueue::Mutant::name)
#else
#define DQ_MUTANT(name) false
#endif

}  // namespace dqueue
