// Tests of terms, elections and message checks: one test for each sentence of the Raft paper
// (Ongaro and Ousterhout, extended version) and of Ongaro's thesis that the core implements.
// Quotations are shortened. Replication is in paper_replication_test.cc.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "raft/testing/test_core.h"

namespace dqueue::raft::test {
namespace {

HeartbeatRequest Heartbeat(uint64_t commit = 0) { return {.commit = Index(commit), .read_id = {}}; }
VoteRequest Vote(uint64_t last_index, uint64_t last_term, bool transfer = false) {
  return {.last_index = Index(last_index), .last_term = Term(last_term), .transfer = transfer};
}
PreVoteRequest PreVote(uint64_t next_term, uint64_t last_index, uint64_t last_term) {
  return {
      .next_term = Term(next_term), .last_index = Index(last_index), .last_term = Term(last_term)};
}

// ---- Terms

// Paper 5.1: "If one server's current term is smaller than the other's, then it updates its current
// term to the larger value."
TEST(Paper51, LargerTermIsAdopted) {
  TestCore core({.term = 3});
  core.Receive(2, 7, Heartbeat());
  EXPECT_EQ(core.status().term, Term(7));
  core.Receive(3, 9, Vote(9, 9, /*transfer=*/true));
  EXPECT_EQ(core.status().term, Term(9));
}

// Paper 5.1: "If a candidate or leader discovers that its term is out of date, it immediately
// reverts to follower state."
TEST(Paper51, CandidateOrLeaderWithOldTermStepsDown) {
  TestCore leader({});
  leader.BecomeLeader();
  ASSERT_EQ(leader.status().role, Role::kLeader);
  leader.Receive(2, 9, HeartbeatResponse{});
  EXPECT_EQ(leader.status().role, Role::kFollower);
  EXPECT_EQ(leader.status().term, Term(9));
  EXPECT_EQ(leader.status().leader, NodeId());

  TestCore candidate({});
  candidate.Tick();
  candidate.Receive(2, 1, PreVoteResponse{Term(2), true});
  ASSERT_EQ(candidate.status().role, Role::kCandidate);
  candidate.Receive(2, 9, VoteResponse{false});
  EXPECT_EQ(candidate.status().role, Role::kFollower);
  EXPECT_EQ(candidate.status().term, Term(9));
}

// Paper 5.1: "If a server receives a request with a stale term number, it rejects the request."
TEST(Paper51, StaleRequestsAreRejectedWithNewerTerm) {
  TestCore core({.term = 5});
  AppendRequest append;
  append.prev_index = Index(1);
  append.prev_term = Term(1);
  append.entries = {TestCore::Command(2, 4)};
  Output out = core.Receive(2, 4, append);
  ASSERT_EQ(Later<AppendResponse>(out, 2).size(), 1u);
  EXPECT_FALSE(Later<AppendResponse>(out, 2)[0].success);
  EXPECT_EQ(out.send_after_persist[0].term, Term(5));
  EXPECT_TRUE(out.append.empty());
  // Rejections wait for the write of the term (R1).
  EXPECT_TRUE(out.send_now.empty());

  out = core.Receive(2, 4, Vote(9, 4));
  ASSERT_EQ(Later<VoteResponse>(out, 2).size(), 1u);
  EXPECT_FALSE(Later<VoteResponse>(out, 2)[0].granted);
  out = core.Receive(2, 4, Heartbeat());
  ASSERT_EQ(Later<HeartbeatResponse>(out, 2).size(), 1u);
  EXPECT_EQ(out.send_after_persist[0].term, Term(5));
  EXPECT_EQ(core.status().leader, NodeId());
}

// Figure 2: term and vote are "updated on stable storage before responding to RPCs".
TEST(Paper51, NoMessageBeforeItsTermIsDurable) {
  TestCore core({});
  Output out = core.Receive(2, 7, Heartbeat(1));
  ASSERT_TRUE(out.hard_state.has_value());
  EXPECT_EQ(out.hard_state->term, Term(7));
  EXPECT_TRUE(out.send_now.empty());
  EXPECT_EQ(Later<HeartbeatResponse>(out, 2).size(), 1u);
  core.Persist();
  EXPECT_EQ(Now<HeartbeatResponse>(core.Receive(2, 7, Heartbeat(1)), 2).size(), 1u);
}

// ---- Becoming a candidate

// Paper 5.2: "When servers start up, they begin as followers."
TEST(Paper52, ServersBeginAsFollowers) {
  TestCore core({.term = 4, .vote = 1});
  EXPECT_EQ(core.status().role, Role::kFollower);
  EXPECT_EQ(core.status().term, Term(4));
  EXPECT_EQ(core.status().leader, NodeId());
}

// Paper 5.2: "A server remains in follower state as long as it receives valid RPCs from a leader."
TEST(Paper52, HeartbeatsPreventElections) {
  TestCore core({});
  for (int i = 0; i < 100; ++i) {
    core.Advance(250ms);
    core.Step(Timeout{});
    core.Receive(2, 2, Heartbeat());
    ASSERT_EQ(core.status().role, Role::kFollower);
    ASSERT_EQ(core.status().leader, NodeId(2));
  }
}

// Paper 5.2: "If a follower receives no communication over the election timeout, it begins an
// election". Thesis 9.6: it "first asks whether its log is sufficiently up-to-date", without
// raising its term.
TEST(Thesis96, ElectionTimeoutStartsPreVote) {
  TestCore core({.log = {1, 1}});
  core.Receive(2, 1, Heartbeat());
  Output out = core.Tick();
  EXPECT_EQ(core.status().role, Role::kPreCandidate);
  EXPECT_EQ(core.status().term, Term(1));
  EXPECT_FALSE(out.hard_state.has_value());
  for (const int peer : {2, 3}) {
    EXPECT_EQ(Now<PreVoteRequest>(out, peer), (std::vector<PreVoteRequest>{PreVote(2, 3, 1)}));
  }
}

// Paper 5.2: "it increments its current term", "votes for itself and issues RequestVote RPCs in
// parallel to each of the other servers".
TEST(Paper52, CandidateVotesForItselfAndRequestsVotes) {
  TestCore core({.log = {1, 1}});
  core.Tick();
  Output out = core.Receive(3, 1, PreVoteResponse{Term(2), true});
  EXPECT_EQ(core.status().role, Role::kCandidate);
  ASSERT_TRUE(out.hard_state.has_value());
  EXPECT_EQ(*out.hard_state, (HardState{Term(2), NodeId(1), Index(1)}));
  // The requests wait until the candidate's own vote is durable.
  EXPECT_TRUE(out.send_now.empty());
  EXPECT_EQ(Lines(out.send_after_persist),
            (std::vector<std::string>{"2 t2 vote? last 3^1", "3 t2 vote? last 3^1"}));
}

// Paper 5.2: election timeouts are "chosen randomly from a fixed interval".
TEST(Paper52, ElectionTimeoutsAreSpreadOverTheInterval) {
  const Options options;
  std::set<int64_t> buckets;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    TestCore core({.seed = seed});
    const Duration timeout = core.raft().Deadline() - core.now();
    EXPECT_GE(timeout, options.election_min);
    EXPECT_LT(timeout, options.election_max);
    buckets.insert(timeout / 30ms);
  }
  EXPECT_EQ(buckets.size(), 10u);
}

// Nodes with the same seed must draw different timeouts (hashicorp#50).
TEST(Paper52, SameSeedGivesDifferentTimeoutsOnEachNode) {
  std::set<Duration> timeouts;
  for (int self = 1; self <= 5; ++self) {
    TestCore core({.nodes = 5, .self = self, .seed = 42});
    timeouts.insert(core.raft().Deadline() - core.now());
  }
  EXPECT_EQ(timeouts.size(), 5u);
}

// Paper 5.2: each candidate "restarts its randomized election timeout at the start of an election".
TEST(Paper52, EachElectionDrawsANewTimeout) {
  TestCore core({});
  std::set<Duration> timeouts;
  for (int i = 0; i < 20; ++i) {
    core.Tick();
    EXPECT_EQ(core.status().role, Role::kPreCandidate);
    timeouts.insert(core.raft().Deadline() - core.now());
  }
  EXPECT_GT(timeouts.size(), 15u);
}

// ---- Winning and losing

struct Tally {
  int nodes;
  std::vector<bool> answers;  // of nodes 2, 3, …
  Role role;
};

// Paper 5.2: "A candidate wins an election if it receives votes from a majority of the servers."
TEST(Paper52, MajorityOfVotesDecides) {
  const Tally tallies[] = {
      {1, {}, Role::kLeader},
      {2, {}, Role::kCandidate},
      {2, {true}, Role::kLeader},
      {2, {false}, Role::kFollower},
      {3, {}, Role::kCandidate},
      {3, {true}, Role::kLeader},
      {3, {false}, Role::kCandidate},
      {3, {false, true}, Role::kLeader},
      {3, {false, false}, Role::kFollower},
      {4, {true}, Role::kCandidate},
      {4, {true, true}, Role::kLeader},
      {4, {false, false}, Role::kFollower},
      {5, {true}, Role::kCandidate},
      {5, {true, false, true}, Role::kLeader},
      {5, {true, false, false, false}, Role::kFollower},
      {7, {true, true}, Role::kCandidate},
      {7, {true, true, true}, Role::kLeader},
      {7, {false, false, false, false}, Role::kFollower},
  };
  for (const Tally& tally : tallies) {
    TestCore core({.nodes = tally.nodes});
    core.Tick();
    for (int peer = 2; core.status().role == Role::kPreCandidate; ++peer) {
      core.Receive(peer, 1, PreVoteResponse{Term(2), true});
    }
    core.Persist();
    int peer = 2;
    for (const bool granted : tally.answers) core.Receive(peer++, 2, VoteResponse{granted});
    EXPECT_EQ(core.status().role, tally.role)
        << tally.nodes << " nodes, " << peer - 2 << " answers";
    EXPECT_EQ(core.status().term, Term(2));
  }
}

// A candidate's own vote counts only when it is durable (R1, R3).
TEST(Paper52, OwnVoteCountsOnlyWhenDurable) {
  TestCore core({});
  core.Tick();
  core.Receive(2, 1, PreVoteResponse{Term(2), true});
  core.Receive(2, 2, VoteResponse{true});
  EXPECT_EQ(core.status().role, Role::kCandidate);
  // Also with votes of a majority of others: a leader's term must be durable.
  core.Receive(3, 2, VoteResponse{true});
  EXPECT_EQ(core.status().role, Role::kCandidate);
  core.Persist();
  EXPECT_EQ(core.status().role, Role::kLeader);

  TestCore alone({.nodes = 1});
  alone.Step(Timeout{});
  EXPECT_EQ(alone.status().role, Role::kCandidate);
  alone.Persist();
  EXPECT_EQ(alone.status().role, Role::kLeader);
}

// A repeated vote counts once (scylla e49d5f89a5). A pre-vote is not a vote (scylla bd168d57ff).
TEST(Paper52, RepeatedVotesCountOnce) {
  TestCore core({.nodes = 5});
  core.Tick();
  core.Receive(2, 1, PreVoteResponse{Term(2), true});
  core.Receive(2, 1, PreVoteResponse{Term(2), true});
  EXPECT_EQ(core.status().role, Role::kPreCandidate);
  core.Receive(3, 1, PreVoteResponse{Term(2), true});
  ASSERT_EQ(core.status().role, Role::kCandidate);
  core.Persist();
  core.Receive(4, 1, PreVoteResponse{Term(2), true});
  core.Receive(2, 2, VoteResponse{true});
  core.Receive(2, 2, VoteResponse{true});
  EXPECT_EQ(core.status().role, Role::kCandidate);
  core.Receive(2, 2, VoteResponse{false});
  core.Receive(3, 2, VoteResponse{true});
  EXPECT_EQ(core.status().role, Role::kLeader);
}

// Paper 5.2: "If the leader's term is at least as large as the candidate's current term, then the
// candidate recognizes the leader as legitimate and returns to follower state. If the term in the
// RPC is smaller, the candidate rejects the RPC and continues in candidate state."
TEST(Paper52, CandidateFollowsLeaderOfItsTerm) {
  for (const int term : {1, 2, 3}) {
    TestCore core({});
    core.Tick();
    core.Receive(2, 1, PreVoteResponse{Term(2), true});
    core.Persist();
    ASSERT_EQ(core.status().role, Role::kCandidate);
    core.Receive(3, term, Heartbeat());
    EXPECT_EQ(core.status().role, term < 2 ? Role::kCandidate : Role::kFollower);
    EXPECT_EQ(core.status().leader, term < 2 ? NodeId() : NodeId(3));
  }
}

// A candidate that steps down keeps its vote: a delayed request of that term must not get a second
// vote (CCF#5891, etcd#2461).
TEST(Paper52, CandidateThatStepsDownKeepsItsVote) {
  TestCore core({});
  core.Tick();
  core.Receive(2, 1, PreVoteResponse{Term(2), true});
  core.Persist();
  core.Receive(2, 2, VoteResponse{false});
  core.Receive(3, 2, VoteResponse{false});
  ASSERT_EQ(core.status().role, Role::kFollower);
  EXPECT_FALSE(Later<VoteResponse>(core.Receive(3, 2, Vote(9, 2)), 3)[0].granted);
}

// Paper 5.2: when votes are split, "each candidate will time out and start a new election".
TEST(Paper52, SplitVoteStartsAnotherElection) {
  TestCore core({.nodes = 5});
  core.BecomeLeader(/*settled=*/false);
  TestCore split({.nodes = 5});
  split.Tick();
  split.Receive(2, 1, PreVoteResponse{Term(2), true});
  split.Receive(3, 1, PreVoteResponse{Term(2), true});
  split.Persist();
  split.Receive(2, 2, VoteResponse{true});
  split.Receive(3, 2, VoteResponse{false});
  const Output out = split.Tick();
  EXPECT_EQ(split.status().role, Role::kPreCandidate);
  EXPECT_EQ(Now<PreVoteRequest>(out, 4)[0].next_term, Term(3));
}

// ---- Granting votes

// Paper 5.2: "Each server will vote for at most one candidate in a given term, on a
// first-come-first-served basis."
TEST(Paper52, OneVotePerTerm) {
  TestCore core({});
  Output out = core.Receive(2, 2, Vote(1, 1));
  EXPECT_TRUE(Later<VoteResponse>(out, 2)[0].granted);
  ASSERT_TRUE(out.hard_state.has_value());
  EXPECT_EQ(out.hard_state->vote, NodeId(2));
  EXPECT_FALSE(Later<VoteResponse>(core.Receive(3, 2, Vote(9, 2)), 3)[0].granted);
  // The same request again gets the same response.
  EXPECT_TRUE(Later<VoteResponse>(core.Receive(2, 2, Vote(1, 1)), 2)[0].granted);
  // A new term has a new vote.
  EXPECT_TRUE(Later<VoteResponse>(core.Receive(3, 3, Vote(1, 1)), 3)[0].granted);
}

// A pre-candidate has not voted in its term, so it may grant a vote.
TEST(Paper52, PreCandidateMayVote) {
  TestCore core({});
  core.Tick();
  ASSERT_EQ(core.status().role, Role::kPreCandidate);
  EXPECT_TRUE(Later<VoteResponse>(core.Receive(2, 1, Vote(1, 1)), 2)[0].granted);
  EXPECT_EQ(core.status().role, Role::kFollower);
}

TEST(Paper52, VoteSurvivesRestart) {
  TestCore core({});
  core.Receive(2, 2, Vote(1, 1));
  core.Persist();
  core.Restart();
  EXPECT_FALSE(Later<VoteResponse>(core.Receive(3, 2, Vote(9, 2)), 3)[0].granted);
  EXPECT_TRUE(Later<VoteResponse>(core.Receive(2, 2, Vote(1, 1)), 2)[0].granted);
}

// A repeated request, now with a shorter log than the granted one (hashicorp#661).
TEST(Paper52, RepeatedVoteRequestComparesLogAgain) {
  TestCore core({.log = {1, 1}, .term = 2, .vote = 2});
  EXPECT_FALSE(Later<VoteResponse>(core.Receive(2, 2, Vote(1, 1)), 2)[0].granted);
}

// Paper 5.4.1: "the voter denies its vote if its own log is more up-to-date than that of the
// candidate": "the later term is more up-to-date"; with the same term "whichever log is longer".
TEST(Paper541, VoterComparesLogs) {
  struct {
    std::vector<int> log;
    int last_index, last_term;
    bool granted;
  } const cases[] = {
      {{}, 1, 1, true},      {{2}, 2, 2, true},     {{2}, 2, 3, true},    {{2}, 1, 3, true},
      {{2, 2}, 9, 1, false}, {{2, 2}, 2, 2, false}, {{2, 2}, 3, 2, true}, {{2, 2}, 4, 2, true},
      {{2, 3}, 9, 2, false}, {{2, 3}, 3, 3, true},  {{2, 3}, 2, 4, true},
  };
  for (const auto& c : cases) {
    const std::string where = std::to_string(c.last_index) + "^" + std::to_string(c.last_term);
    TestCore voter({.log = c.log, .term = 4});
    const Output vote = voter.Receive(
        2, 5, Vote(static_cast<uint64_t>(c.last_index), static_cast<uint64_t>(c.last_term)));
    EXPECT_EQ(Later<VoteResponse>(vote, 2)[0].granted, c.granted) << where;
    TestCore asked({.log = c.log, .term = 4});
    const Output pre = asked.Receive(
        2, 4, PreVote(5, static_cast<uint64_t>(c.last_index), static_cast<uint64_t>(c.last_term)));
    EXPECT_EQ(Now<PreVoteResponse>(pre, 2)[0].granted, c.granted) << where;
  }
}

// braft 725242d: a candidate that cannot win must not delay the elections of others.
TEST(Paper52, OnlyGrantedVoteRestartsElectionTimer) {
  TestCore refuses({.log = {2, 2}, .term = 2});
  Time before = refuses.raft().Deadline();
  refuses.Advance(100ms);
  refuses.Receive(2, 3, Vote(1, 1));
  EXPECT_EQ(refuses.raft().Deadline(), before);
  TestCore grants({});
  before = grants.raft().Deadline();
  grants.Advance(100ms);
  grants.Receive(2, 3, Vote(1, 1));
  EXPECT_EQ(grants.raft().Deadline(), before + 100ms);
}

// ---- Pre-vote (thesis 9.6), stickiness (4.2.3), check-quorum (6.2)

// Thesis 9.6: answering a pre-vote changes neither term nor vote nor timer.
TEST(Thesis96, PreVoteChangesNoState) {
  TestCore core({.term = 3, .vote = 3});
  const Time deadline = core.raft().Deadline();
  const Output out = core.Receive(2, 8, PreVote(9, 5, 3));
  EXPECT_TRUE(Now<PreVoteResponse>(out, 2)[0].granted);
  EXPECT_EQ(Now<PreVoteResponse>(out, 2)[0].next_term, Term(9));
  EXPECT_EQ(core.status().term, Term(3));
  EXPECT_FALSE(out.HasWrites());
  EXPECT_EQ(core.raft().Deadline(), deadline);
}

// The granting node may be in an older term than the pre-candidate.
TEST(Thesis96, GrantFromOlderTermCounts) {
  TestCore core({.term = 8});
  core.Tick();
  core.Receive(2, 3, PreVoteResponse{Term(9), true});
  EXPECT_EQ(core.status().role, Role::kCandidate);
}

TEST(Thesis96, GrantForAnotherTermDoesNotCount) {
  TestCore core({.term = 8});
  core.Tick();
  core.Receive(2, 8, PreVoteResponse{Term(8), true});
  core.Receive(3, 8, PreVoteResponse{Term(10), true});
  EXPECT_EQ(core.status().role, Role::kPreCandidate);
}

// etcd 8597361f0: a pre-candidate in an old term must adopt the newer one, or its pre-votes never
// succeed.
TEST(Thesis96, NewerTermInRefusalIsAdopted) {
  TestCore behind({.term = 3});
  behind.Tick();
  behind.Receive(2, 7, PreVoteResponse{Term(4), false});
  EXPECT_EQ(behind.status().term, Term(7));
  EXPECT_EQ(behind.status().role, Role::kFollower);
  TestCore ahead({.term = 7});
  const Output out = ahead.Receive(2, 3, PreVote(4, 9, 3));
  ASSERT_EQ(Now<PreVoteResponse>(out, 2).size(), 1u);
  EXPECT_FALSE(Now<PreVoteResponse>(out, 2)[0].granted);
  EXPECT_EQ(out.send_now[0].term, Term(7));
}

// Thesis 9.6: a pre-candidate that a majority refuses keeps its term and retries later.
TEST(Thesis96, RefusedPreVoteKeepsTerm) {
  TestCore core({});
  for (int i = 0; i < 10; ++i) {
    core.Tick();
    core.Receive(2, 1, PreVoteResponse{Term(2), false});
    core.Receive(3, 1, PreVoteResponse{Term(2), false});
    EXPECT_EQ(core.status().role, Role::kPreCandidate);
    EXPECT_EQ(core.status().term, Term(1));
  }
}

// Followers that time out together must not grant each other's pre-vote and split the vote.
TEST(Thesis96, SmallerIdWinsBetweenEqualPreCandidates) {
  TestCore first({.self = 1});
  first.Tick();
  EXPECT_FALSE(Now<PreVoteResponse>(first.Receive(2, 1, PreVote(2, 1, 1)), 2)[0].granted);
  EXPECT_TRUE(Now<PreVoteResponse>(first.Receive(3, 1, PreVote(2, 2, 1)), 3)[0].granted)
      << "the rival has a longer log";
  TestCore second({.self = 2});
  second.Tick();
  EXPECT_TRUE(Now<PreVoteResponse>(second.Receive(1, 1, PreVote(2, 1, 1)), 1)[0].granted);
  // Only for one heartbeat interval: the rival may reach more of the cluster.
  first.Advance(51ms);
  EXPECT_TRUE(Now<PreVoteResponse>(first.Receive(2, 1, PreVote(2, 1, 1)), 2)[0].granted);
}

// Thesis 4.2.3: "if a server receives a RequestVote request within the minimum election timeout of
// hearing from a current leader, it does not update its term or grant its vote."
TEST(Thesis423, NoVoteWhileALeaderIsActive) {
  TestCore core({});
  core.Receive(2, 1, Heartbeat());
  core.Advance(299ms);
  Output out = core.Receive(3, 8, Vote(9, 1));
  EXPECT_EQ(core.status().term, Term(1));
  EXPECT_TRUE(out.send_after_persist.empty());
  EXPECT_FALSE(Now<PreVoteResponse>(core.Receive(3, 1, PreVote(2, 9, 1)), 3)[0].granted);
  core.Advance(1ms);
  EXPECT_TRUE(Now<PreVoteResponse>(core.Receive(3, 1, PreVote(2, 9, 1)), 3)[0].granted);
  out = core.Receive(3, 8, Vote(9, 1));
  EXPECT_EQ(core.status().term, Term(8));
  EXPECT_TRUE(Later<VoteResponse>(out, 3)[0].granted);
}

// A leader that hears a quorum ignores vote requests too (R7).
TEST(Thesis423, LeaderWithQuorumIgnoresCandidates) {
  TestCore core({});
  core.BecomeLeader();
  EXPECT_FALSE(Now<PreVoteResponse>(core.Receive(3, 2, PreVote(3, 9, 2)), 3)[0].granted);
  core.Receive(3, 8, Vote(9, 2));
  EXPECT_EQ(core.status().role, Role::kLeader);
  core.Advance(301ms);  // no responses: the leader may have been replaced
  core.Receive(3, 8, Vote(9, 2));
  EXPECT_EQ(core.status().role, Role::kFollower);
  EXPECT_EQ(core.status().term, Term(8));
}

// Thesis 4.2.3: the "special flag" of a transfer overrides stickiness, because the leader asked for
// the election.
TEST(Thesis423, TransferOverridesStickiness) {
  TestCore core({});
  core.Receive(2, 1, Heartbeat());
  const Output out = core.Receive(3, 2, Vote(1, 1, /*transfer=*/true));
  EXPECT_TRUE(Later<VoteResponse>(out, 3)[0].granted);
}

// Thesis 6.2: "a leader steps down if an election timeout elapses without a successful round of
// heartbeats to a majority of its cluster".
TEST(Thesis62, LeaderWithoutQuorumStepsDown) {
  TestCore core({.nodes = 5});
  core.BecomeLeader();
  const Time start = core.now();
  const auto answer = [&](int peer) { core.Receive(peer, 2, HeartbeatResponse{}); };
  while (core.now() < start + 2s) {
    core.Tick();
    answer(2);
    answer(3);
  }
  EXPECT_EQ(core.status().role, Role::kLeader);
  const Time alone = core.now();
  while (core.status().role == Role::kLeader && core.now() < alone + 2s) {
    core.Tick();
    answer(2);  // two of five are not a quorum
  }
  EXPECT_EQ(core.status().role, Role::kFollower);
  EXPECT_EQ(core.status().term, Term(2));
  EXPECT_LE(core.now() - alone, 650ms);
}

// The broken connection to a killed leader starts an election without waiting for the timeout.
TEST(Failover, BrokenLeaderConnectionStartsElection) {
  TestCore core({});
  core.Receive(2, 1, Heartbeat());
  core.Step(PeerUnreachable{NodeId(3)});
  EXPECT_EQ(core.status().leader, NodeId(2)) << "node 3 is not the leader";
  core.Step(PeerUnreachable{NodeId(2)});
  EXPECT_EQ(core.status().leader, NodeId());
  EXPECT_LE(core.raft().Deadline() - core.now(), 50ms);
  EXPECT_TRUE(Now<PreVoteResponse>(core.Receive(3, 1, PreVote(2, 1, 1)), 3)[0].granted);
  core.Receive(2, 1, Heartbeat());
  EXPECT_EQ(core.status().leader, NodeId(2)) << "the leader is alive";
  EXPECT_GE(core.raft().Deadline() - core.now(), 300ms);
}

// ---- Transfer (thesis 3.10)

// Thesis 3.10: "1. The prior leader stops accepting new client requests. 2. [It] fully updates the
// target server's log. 3. [It] sends a TimeoutNow request."
TEST(Thesis310, TimeoutNowIsSentWhenTargetIsUpToDate) {
  TestCore core({});
  core.BecomeLeader();
  core.Step(Propose{1, Text("a")});
  core.Persist();
  Output out = core.Step(Transfer{NodeId(3)});
  EXPECT_TRUE(Now<TimeoutNow>(out).empty());
  out = core.Step(Propose{2, Text("b")});
  ASSERT_EQ(out.proposals.size(), 1u);
  EXPECT_EQ(out.proposals[0].kind, ProposalOutcome::Kind::kNotAppended);
  EXPECT_EQ(out.proposals[0].reason, ProposalOutcome::Reason::kTransferring);
  EXPECT_TRUE(Now<TimeoutNow>(core.Acknowledge(2, core.view().last_index)).empty());
  out = core.Acknowledge(3, core.view().last_index);
  EXPECT_EQ(Now<TimeoutNow>(out, 3).size(), 1u);
}

// Proposals in flight end as committed before TimeoutNow is sent, so a planned transfer fails no
// call.
TEST(Thesis310, ProposalsInFlightCommitBeforeTimeoutNow) {
  TestCore core({.nodes = 5});
  core.BecomeLeader();
  core.Step(Propose{1, Text("a")});
  core.Persist();
  core.Step(Transfer{NodeId(3)});
  EXPECT_TRUE(Now<TimeoutNow>(core.Acknowledge(3, core.view().last_index)).empty());
  const Output out = core.Acknowledge(4, core.view().last_index);
  ASSERT_EQ(out.proposals.size(), 1u);
  EXPECT_EQ(out.proposals[0].kind, ProposalOutcome::Kind::kCommitted);
  EXPECT_EQ(Now<TimeoutNow>(out, 3).size(), 1u);
}

// Thesis 3.10: "If leadership transfer does not complete after about an election timeout, the prior
// leader aborts the transfer and resumes accepting client requests." A lost TimeoutNow is resent.
TEST(Thesis310, TransferAbortsAfterElectionTimeout) {
  TestCore core({});
  core.BecomeLeader();
  Output out = core.Step(Transfer{NodeId(3)});
  ASSERT_EQ(Now<TimeoutNow>(out, 3).size(), 1u);
  const Time start = core.now();
  int repeated = 0;
  while (core.now() < start + 600ms) {
    repeated += static_cast<int>(Now<TimeoutNow>(core.Tick(), 3).size());
    core.Receive(2, 2, HeartbeatResponse{});
    core.Receive(3, 2, HeartbeatResponse{});
  }
  EXPECT_GE(repeated, 5);
  core.Tick();
  EXPECT_TRUE(core.Step(Propose{1, Text("a")}).proposals.empty());
  EXPECT_EQ(core.view().last_index, Index(3));
}

TEST(Thesis310, DefaultTargetHasHighestMatch) {
  TestCore core({.nodes = 5});
  core.BecomeLeader();
  core.Advance(299ms);  // node 5 was last heard at the start
  for (const int peer : {2, 3, 4}) core.Receive(peer, 2, HeartbeatResponse{});
  core.Step(Propose{1, Text("a")});
  core.Persist();
  core.Acknowledge(4, core.view().last_index);
  core.Advance(2ms);
  core.Step(Transfer{});
  EXPECT_EQ(Now<TimeoutNow>(core.Acknowledge(3, core.view().last_index), 4).size(), 1u);
}

TEST(Thesis310, InvalidTransfersAreIgnored) {
  TestCore core({});
  EXPECT_TRUE(core.Step(Transfer{NodeId(2)}).send_now.empty());
  core.BecomeLeader();
  for (const uint64_t target : {1, 9}) {
    core.Step(Transfer{NodeId(target)});
    EXPECT_TRUE(core.Step(Propose{target, Text("a")}).proposals.empty()) << target;
  }
}

// Thesis 3.10: the target "starts a new election (incrementing its term and becoming a candidate)"
// at once, without a pre-vote. Its vote requests carry the transfer flag.
TEST(Thesis310, TimeoutNowStartsElection) {
  TestCore core({});
  core.Receive(2, 1, Heartbeat());
  const Output out = core.Receive(2, 1, TimeoutNow{});
  EXPECT_EQ(core.status().role, Role::kCandidate);
  EXPECT_EQ(core.status().term, Term(2));
  ASSERT_EQ(Later<VoteRequest>(out).size(), 2u);
  EXPECT_TRUE(Later<VoteRequest>(out)[0].transfer);
  // A repeated TimeoutNow has an older term.
  core.Receive(2, 1, TimeoutNow{});
  EXPECT_EQ(core.status().term, Term(2));
}

// etcd#13527: a leader whose disk stalls still sends heartbeats, so no follower would replace it.
TEST(Thesis310, StalledDiskTransfersThenStepsDown) {
  TestCore core({});
  core.BecomeLeader();
  core.Step(Propose{1, Text("a")});  // this write never completes
  core.Acknowledge(2, core.view().last_index);
  const Time start = core.now();
  Time handed_over{};
  while (core.status().role == Role::kLeader && core.now() < start + 5s) {
    const Output out = core.Tick();
    if (handed_over == Time() && !Now<TimeoutNow>(out, 2).empty()) handed_over = core.now();
    core.Receive(2, 2, HeartbeatResponse{});
    core.Receive(3, 2, HeartbeatResponse{});
  }
  EXPECT_GT(handed_over, start + 600ms);
  EXPECT_LE(handed_over, start + 700ms);
  EXPECT_EQ(core.status().role, Role::kFollower);
  EXPECT_LE(core.now(), start + 1300ms);
  // It does not campaign: its vote could not become durable.
  for (int i = 0; i < 5; ++i) core.Tick();
  EXPECT_EQ(core.status().role, Role::kFollower);
  core.Persist();
  core.Tick();
  EXPECT_EQ(core.status().role, Role::kPreCandidate);
}

TEST(Thesis310, FullDiskTransfersToVoterWithRoom) {
  TestCore core({});
  core.BecomeLeader();
  core.Receive(2, 2, HeartbeatResponse{ReadId(), /*low_space=*/true});
  core.Step(Capacity{true});
  const Output out = core.Tick();
  EXPECT_TRUE(Now<TimeoutNow>(out, 2).empty());
  EXPECT_EQ(Now<TimeoutNow>(out, 3).size(), 1u);
}

// ---- Message checks (R12)

TEST(Identity, InvalidMessagesAreDropped) {
  const auto valid = [](TestCore& core) { return core.From(2, 1, Heartbeat()); };
  struct {
    const char* what;
    void (*change)(Message&);
  } const cases[] = {
      {"another cluster", [](Message& m) { m.cluster.lo ^= 1; }},
      {"another receiver", [](Message& m) { m.to = NodeId(3); }},
      {"no sender", [](Message& m) { m.from = NodeId(); }},
      {"the receiver as sender", [](Message& m) { m.from = NodeId(1); }},
      {"no incarnation", [](Message& m) { m.from_incarnation = Incarnation(); }},
      {"another incarnation", [](Message& m) { m.from_incarnation = Incarnation(7); }},
      {"a leader of term 0", [](Message& m) { m.term = Term(); }},
      {"a response of a non-member",
       [](Message& m) {
         m.from = NodeId(9);
         m.body = HeartbeatResponse{};
       }},
      {"TimeoutNow of a non-member",
       [](Message& m) {
         m.from = NodeId(9);
         m.body = TimeoutNow{};
       }},
      {"a pre-vote for another term", [](Message& m) { m.body = PreVote(3, 1, 1); }},
      {"a snapshot at index 0", [](Message& m) { m.body = SnapshotRequest{}; }},
      {"a snapshot of a term above the message's",
       [](Message& m) {
         SnapshotRequest snapshot;
         snapshot.meta = {Index(9), Term(2), EncodeConfiguration(MakeConfiguration(3))};
         m.body = snapshot;
       }},
      {"a snapshot without configuration",
       [](Message& m) {
         SnapshotRequest snapshot;
         snapshot.meta = {Index(9), Term(1), "?"};
         m.body = snapshot;
       }},
  };
  for (const auto& c : cases) {
    TestCore core({});
    Message message = valid(core);
    c.change(message);
    const Output out = core.Step(Receive{message});
    EXPECT_EQ(core.view().dropped_messages, 1u) << c.what;
    EXPECT_EQ(core.status().leader, NodeId()) << c.what;
    // Nothing is sent but, to a node that is not taken for a member, the reason.
    EXPECT_EQ(out.send_now.size() + out.send_after_persist.size(),
              Now<Refusal>(out).size() + Later<Refusal>(out).size())
        << c.what;
    core.Step(Receive{valid(core)});
    EXPECT_EQ(core.status().leader, NodeId(2)) << c.what;
  }
}

TEST(Identity, MalformedAppendsAreDropped) {
  struct {
    const char* what;
    void (*change)(AppendRequest&);
  } const cases[] = {
      {"a gap", [](AppendRequest& r) { r.entries[1].index = Index(4); }},
      {"a repeated index", [](AppendRequest& r) { r.entries[1].index = Index(2); }},
      {"a term that decreases", [](AppendRequest& r) { r.entries[1].term = Term(1); }},
      {"an entry of a term above the message's",
       [](AppendRequest& r) { r.entries[1].term = Term(4); }},
      {"no payload", [](AppendRequest& r) { r.entries[1].payload = nullptr; }},
      {"an unknown kind", [](AppendRequest& r) { r.entries[1].kind = EntryKind(9); }},
      {"a malformed configuration",
       [](AppendRequest& r) { r.entries[1].kind = EntryKind::kConfig; }},
      {"a first entry older than prev_term", [](AppendRequest& r) { r.prev_term = Term(3); }},
      {"prev_index without prev_term", [](AppendRequest& r) { r.prev_term = Term(); }},
      {"prev_term above the message's term",
       [](AppendRequest& r) {
         r.entries.clear();
         r.prev_term = Term(4);
       }},
  };
  for (const auto& c : cases) {
    TestCore core({});
    AppendRequest request;
    request.prev_index = Index(1);
    request.prev_term = Term(1);
    request.entries = {TestCore::Command(2, 2), TestCore::Command(3, 2)};
    AppendRequest damaged = request;
    c.change(damaged);
    core.Receive(2, 3, damaged);
    EXPECT_EQ(core.view().dropped_messages, 1u) << c.what;
    EXPECT_EQ(core.view().last_index, Index(1)) << c.what;
    core.Receive(2, 3, request);
    EXPECT_EQ(core.view().last_index, Index(3)) << c.what;
  }
}

// Thesis 4.1: servers accept requests of leaders and candidates that are not in their own
// configuration.
TEST(Thesis41, RequestsOfNonMembersAreServed) {
  TestCore core({});
  EXPECT_TRUE(Now<PreVoteResponse>(core.Receive(9, 1, PreVote(2, 1, 1)), 9)[0].granted);
  EXPECT_TRUE(Later<VoteResponse>(core.Receive(9, 2, Vote(1, 1)), 9)[0].granted);
  core.Receive(9, 2, Heartbeat());
  EXPECT_EQ(core.status().leader, NodeId(9));
}

// R12, etcd#10254: a wiped disk has lost its votes and acknowledgements.
TEST(Identity, OtherIncarnationHasNoVote) {
  TestCore core({});
  core.Tick();
  core.Receive(2, 1, PreVoteResponse{Term(2), true});
  core.Persist();
  Message vote = core.From(2, 2, VoteResponse{true});
  vote.from_incarnation = Incarnation(999);
  core.Step(Receive{vote});
  EXPECT_EQ(core.status().role, Role::kCandidate);
  EXPECT_EQ(core.view().dropped_messages, 1u);
}

TEST(Identity, NewLeaderBindsIncarnationsOfItsVoters) {
  TestCore core({.bound = false});
  core.BecomeLeader(/*settled=*/false);
  ASSERT_EQ(core.status().role, Role::kLeader);
  // Index 2 is the no-op. Index 3 binds the two members whose votes counted, and is in force at
  // once.
  EXPECT_EQ(core.view().last_index, Index(3));
  EXPECT_EQ(core.raft().config().Find(NodeId(1))->incarnation, FirstIncarnation(NodeId(1)));
  EXPECT_EQ(core.raft().config().Find(NodeId(2))->incarnation, FirstIncarnation(NodeId(2)));
  EXPECT_EQ(core.raft().config().Find(NodeId(3))->incarnation, Incarnation());
  Message stranger = core.From(2, 2, HeartbeatResponse{});
  stranger.from_incarnation = Incarnation(999);
  core.Step(Receive{stranger});
  EXPECT_EQ(core.view().dropped_messages, 1u);
}

// After the no-op is committed, one entry binds the third member, once it has responded.
TEST(Identity, LeaderBindsOtherMembersAfterNoop) {
  TestCore core({.bound = false});
  core.BecomeLeader(/*settled=*/false);
  core.Receive(3, 2, HeartbeatResponse{});
  core.Tick();
  EXPECT_EQ(core.view().last_index, Index(3)) << "before the no-op is committed";
  core.Acknowledge(2, Index(3));
  ASSERT_TRUE(core.status().serving);
  core.Receive(2, 2, HeartbeatResponse{});
  core.Tick();
  EXPECT_EQ(core.view().last_index, Index(4));
  EXPECT_EQ(core.raft().config().Find(NodeId(3))->incarnation, FirstIncarnation(NodeId(3)));
  core.Tick();
  EXPECT_EQ(core.view().last_index, Index(4)) << "bound once";
}

// Before it is bound, only the first incarnation that responded to this leader counts.
TEST(Identity, UnboundMemberKeepsFirstIncarnation) {
  TestCore core({.bound = false});
  core.BecomeLeader(/*settled=*/false);
  core.Receive(3, 2, HeartbeatResponse{});
  Message other = core.From(3, 2, HeartbeatResponse{});
  other.from_incarnation = Incarnation(999);
  core.Step(Receive{other});
  EXPECT_EQ(core.view().dropped_messages, 1u);
}

// A node whose name is bound to another incarnation does not campaign.
TEST(Identity, OtherIncarnationDoesNotCampaign) {
  TestCore core({.bound = false});
  Configuration config = MakeConfiguration(3, /*bound=*/true);
  config.voters[0].incarnation = Incarnation(999);
  AppendRequest append;
  append.prev_index = Index(1);
  append.prev_term = Term(1);
  append.entries = {{.index = Index(2),
                     .term = Term(1),
                     .kind = EntryKind::kConfig,
                     .payload = Text(EncodeConfiguration(config))}};
  core.Receive(2, 1, append);
  core.Persist();
  for (int i = 0; i < 5; ++i) core.Tick();
  EXPECT_EQ(core.status().role, Role::kFollower);
  EXPECT_TRUE(core.Receive(2, 1, TimeoutNow{}).send_after_persist.empty());
}

// A node without a configuration never campaigns.
TEST(Identity, NodeWithoutConfigurationDoesNotCampaign) {
  FakeDisk disk(NodeId(1), Incarnation(5));
  Raft raft(Options(), disk.Recover(), &disk, 1, Time(1s));
  Time now(1s);
  for (int i = 0; i < 10; ++i) {
    now = raft.Deadline();
    raft.Step(now, Timeout{});
    while (raft.HasOutput()) EXPECT_TRUE(raft.TakeOutput().send_now.empty());
  }
  EXPECT_EQ(raft.status().role, Role::kFollower);
  EXPECT_EQ(raft.status().term, Term());
}

TEST(Bootstrap, FirstEntryIsTheSameOnAllMembers) {
  const Entry unbound = BootstrapEntry(MakeConfiguration(3));
  const Entry bound = BootstrapEntry(MakeConfiguration(3, /*bound=*/true));
  EXPECT_EQ(unbound.index, Index(1));
  EXPECT_EQ(unbound.term, Term(1));
  EXPECT_EQ(unbound.kind, EntryKind::kConfig);
  EXPECT_EQ(*unbound.payload, *bound.payload);
  EXPECT_EQ(DecodeConfiguration(*unbound.payload), MakeConfiguration(3));
}

}  // namespace
}  // namespace dqueue::raft::test
