// Scripted histories of whole clusters. Each throws Violation if the cluster breaks a rule.
// stories_test.cc runs them on the real code, mutants_test.cc on mutants.
#pragma once

namespace dqueue::raft::test {

// Paper, figure 8: an entry of an old term is on a majority and is overwritten.
void Figure8();
// A deposed leader receives late echoes of an older round and must not confirm a newer read.
void DelayedEchoesOfOlderRound();
// A read on a deposed leader that is cut off must not be confirmed.
void ReadOnADeposedLeader();
// A disk is wiped after its node acknowledged entries. The other nodes must not elect a leader
// without those entries.
void WipedDiskDoesNotVote();
// A follower with an old leader's tail receives a high commit index before its log is matched.
void LeftoverTailIsNotCommitted();

}  // namespace dqueue::raft::test
