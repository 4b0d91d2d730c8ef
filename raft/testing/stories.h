// Histories of whole clusters, told step by step. Each throws Violation when the cluster does not
// behave as it must: stories_test.cc runs them on the real code, mutants_test.cc on broken ones.
#pragma once

namespace dqueue::raft::test {

// Paper, figure 8: an entry of an old term is on a majority and is overwritten all the same.
void Figure8();
// A deposed leader gets the delayed answers to an older round and must not confirm a newer read.
void DelayedAnswersToAnOlderRound();
// A deposed leader, cut off, is asked to read.
void ReadOnADeposedLeader();
// A disk is wiped after the node acknowledged entries; the rest must not commit without them.
void WipedDiskDoesNotVote();
// A follower with another leader's tail is told of a high commit index before its log is checked.
void LeftoverTailIsNotCommitted();

}  // namespace dqueue::raft::test
