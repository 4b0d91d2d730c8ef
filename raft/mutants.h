// Mutants of the consensus core (base/mutant.h).
#pragma once

#include "base/mutant.h"

namespace dqueue::raft::mutants {

#define DQ_RAFT_MUTANTS(M)                                                                       \
  M(kVoteNotPersisted, "a vote response leaves before the vote is durable")                      \
  M(kVoteForgotten, "a step-down within a term clears the vote")                                 \
  M(kCommitOldTermByCounting, "an entry of an earlier term is committed by counting (figure 8)") \
  M(kFollowerCommitsUnvouched,                                                                   \
    "a follower commits up to the leader's commit index, past the last new entry")               \
  M(kHeartbeatRawCommit, "heartbeats carry the commit index, also above match")                  \
  M(kLeaderCountsUnsynced, "the leader counts its own copy before it is durable")                \
  M(kAckBeforeSync, "a follower acknowledges entries before they are durable")                   \
  M(kTruncateCommitted, "a follower always truncates at prev + 1, also entries that match")      \
  M(kReadWithoutQuorum, "reads are confirmed without a round")                                   \
  M(kReadStaleRound, "an acknowledgement of an older round confirms a newer read")               \
  M(kReadBeforeNoop, "reads are served before the no-op of the term is committed")               \
  M(kNoLogCheckInVote, "votes are granted to candidates with shorter logs")                      \
  M(kIncarnationIgnored, "messages of another incarnation are accepted")                         \
  M(kSnapshotCurrentTerm, "an installed snapshot is stamped with the sender's current term")

DQ_DECLARE_MUTANTS(kAll, DQ_RAFT_MUTANTS)

}  // namespace dqueue::raft::mutants
