// Tests of whole clusters in virtual time. They cover what paper_*_test.cc cannot test on one core,
// and how long elections and transfers take.
#include "raft/testing/stories.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "raft/testing/test_cluster.h"

namespace dqueue::raft::test {
namespace {

TEST(Stories, Figure8) { EXPECT_NO_THROW(Figure8()); }
TEST(Stories, DelayedEchoesOfOlderRound) { EXPECT_NO_THROW(DelayedEchoesOfOlderRound()); }
TEST(Stories, ReadOnADeposedLeader) { EXPECT_NO_THROW(ReadOnADeposedLeader()); }
TEST(Stories, WipedDiskDoesNotVote) { EXPECT_NO_THROW(WipedDiskDoesNotVote()); }
TEST(Stories, LeftoverTailIsNotCommitted) { EXPECT_NO_THROW(LeftoverTailIsNotCommitted()); }

// The messages of a first election, in order.
TEST(Stories, FirstElectionTrace) {
  TestCluster t({.nodes = 2, .seed = 3, .bound = true});
  t.KeepTrace([](const Message&) { return true; });
  t.AwaitLeader();
  const std::vector<std::string> lines = t.kept_trace();
  std::vector<std::string> said;
  for (const std::string& line : lines) said.push_back(line.substr(line.find(']') + 2));
  const std::string me = said.at(0).substr(0, 1);
  const std::string you = me == "1" ? "2" : "1";
  const std::string out = me + " > " + you;
  const std::string in = you + " > " + me;
  EXPECT_EQ(said, (std::vector<std::string>{
                      out + " t1 pre-vote? for term 2 last 1^1",
                      in + " t1 pre-vote granted for term 2",
                      out + " t2 vote? last 1^1",
                      in + " t2 vote granted",
                      out + " t2 append 2 prev 1^1 commit 1",
                      in + " t2 appended to 2",
                  }));
}

TEST(Stories, FirstLeaderWithinTwoElectionTimeouts) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    for (const int nodes : {1, 3, 5}) {
      TestCluster t({.nodes = nodes, .seed = seed});
      const Time start = t.now();
      t.AwaitLeader();
      EXPECT_LE(t.now() - start, 1200ms) << nodes << " nodes, seed " << seed;
    }
  }
}

// A killed leader's broken connections start the election at once.
TEST(Stories, KilledLeaderIsReplaced) {
  std::vector<Duration> gaps;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    TestCluster t({.nodes = 3, .seed = seed});
    const int leader = t.AwaitLeader();
    t.RunFor(Duration(100000 + 1000 * seed));
    t.node(leader).Crash();
    t.ReportUnreachable(leader);
    const Time start = t.now();
    t.AwaitLeader();
    gaps.push_back(t.now() - start);
  }
  std::sort(gaps.begin(), gaps.end());
  EXPECT_LE(gaps[100], 50ms);
  EXPECT_LE(gaps[198], 150ms);
}

// Without broken connections, followers wait for the election timeout.
TEST(Stories, IsolatedLeaderIsReplaced) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    TestCluster t({.nodes = 3, .seed = seed});
    const int leader = t.AwaitLeader();
    t.RunFor(Duration(100000 + 1000 * seed));
    t.Isolate(leader);
    const Time start = t.now();
    ASSERT_TRUE(t.RunUntil(
        [&] {
          return t.leader() != 0 && t.leader() != leader && t.node(t.leader()).status().serving;
        },
        2s));
    EXPECT_LE(t.now() - start, 1300ms) << seed;
    ASSERT_TRUE(t.RunUntil([&] { return t.node(leader).status().role != Role::kLeader; }, 1s));
  }
}

// R7: a node that was cut off does not depose the leader when it returns. Here it receives nothing
// but can send.
TEST(Stories, ReturningNodeDoesNotDisruptLeader) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    TestCluster t({.nodes = 3, .seed = seed});
    const int leader = t.AwaitLeader();
    t.RunFor(300ms);
    const Term term = t.node(leader).status().term;
    const int other = leader % 3 + 1;
    t.CutOneWay(leader, other);
    t.CutOneWay(other % 3 + 1 == leader ? leader % 3 + 2 : other % 3 + 1, other);
    t.RunFor(5s);
    t.Heal();
    t.RunFor(2s);
    EXPECT_EQ(t.leader(), leader) << seed;
    EXPECT_EQ(t.node(leader).status().term, term) << seed;
    EXPECT_TRUE(t.AwaitAgreement()) << seed;
  }
}

// One broken link between leader and follower (braft 725242d).
TEST(Stories, BrokenLinkDoesNotDisruptLeader) {
  TestCluster t({.nodes = 3});
  const int leader = t.AwaitLeader();
  t.RunFor(300ms);
  const Term term = t.node(leader).status().term;
  t.Cut(leader, leader % 3 + 1);
  const uint64_t id = t.Propose(leader, "a");
  t.RunFor(10s);
  EXPECT_EQ(t.leader(), leader);
  EXPECT_EQ(t.node(leader).status().term, term);
  EXPECT_EQ(t.proposal(id)->kind, ProposalOutcome::Kind::kCommitted);
}

// Thesis 3.10: a planned transfer takes at most 100 ms and fails no proposal.
TEST(Stories, TransferFailsNoProposal) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    TestCluster t({.nodes = 3, .seed = seed});
    const int leader = t.AwaitLeader();
    t.RunFor(200ms);
    std::vector<uint64_t> ids;
    for (int i = 0; i < 20; ++i) ids.push_back(t.Propose(leader, "c" + std::to_string(i)));
    t.node(leader).Step(Transfer{});
    const Time start = t.now();
    ASSERT_TRUE(t.RunUntil(
        [&] {
          return t.leader() != leader && t.leader() != 0 && t.node(t.leader()).status().serving;
        },
        1s));
    EXPECT_LE(t.now() - start, 100ms);
    for (const uint64_t id : ids) {
      ASSERT_TRUE(t.proposal(id).has_value());
      EXPECT_EQ(t.proposal(id)->kind, ProposalOutcome::Kind::kCommitted);
    }
  }
}

// scylla test_leader_transfer_lost_*: any message of a transfer may be lost.
TEST(Stories, LostTransferAborts) {
  TestCluster t({.nodes = 3});
  const int leader = t.AwaitLeader();
  t.RunFor(200ms);
  t.DropIf([](const Message& message) {
    return std::holds_alternative<TimeoutNow>(message.body) ||
           std::holds_alternative<VoteRequest>(message.body);
  });
  t.node(leader).Step(Transfer{});
  t.RunFor(10ms);
  const uint64_t refused = t.Propose(leader, "refused");
  EXPECT_EQ(t.proposal(refused)->reason, ProposalOutcome::Reason::kTransferring);
  t.RunFor(700ms);
  const uint64_t id = t.Propose(leader, "accepted");
  t.RunFor(20ms);
  EXPECT_EQ(t.leader(), leader);
  ASSERT_TRUE(t.proposal(id).has_value());
  EXPECT_EQ(t.proposal(id)->kind, ProposalOutcome::Kind::kCommitted);
}

// etcd#13527: the leader's disk stalls. Another node serves within two election timeouts, and the
// old leader steps down.
TEST(Stories, StalledDiskLosesLeadership) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    TestCluster t({.nodes = 3, .seed = seed});
    const int leader = t.AwaitLeader();
    t.RunFor(200ms);
    t.node(leader).StallDisk(true);
    t.Propose(leader, "a");
    const Time start = t.now();
    ASSERT_TRUE(t.RunUntil(
        [&] {
          return t.leader() != leader && t.leader() != 0 && t.node(t.leader()).status().serving;
        },
        5s));
    EXPECT_LE(t.now() - start, 1200ms);
    t.RunFor(5s);
    EXPECT_NE(t.node(leader).status().role, Role::kLeader);
    const uint64_t id = t.Propose(t.leader(), "b");
    t.RunFor(50ms);
    EXPECT_EQ(t.proposal(id)->kind, ProposalOutcome::Kind::kCommitted);
    t.node(leader).StallDisk(false);
    EXPECT_TRUE(t.AwaitAgreement());
  }
}

// A disk that is slower than the resend timeout must not make the leader send entries twice.
TEST(Stories, SlowDiskGetsEntriesOnce) {
  TestCluster t({.nodes = 3, .bound = true});
  const int leader = t.AwaitLeader();
  ASSERT_TRUE(t.AwaitAgreement());
  const int slow = leader % 3 + 1;
  t.node(slow).StallDisk(true);
  size_t sent = 0;
  t.DropIf([&](const Message& message) {
    const auto* append = std::get_if<AppendRequest>(&message.body);
    if (append != nullptr && message.to == NodeId(static_cast<uint64_t>(slow))) {
      sent += append->entries.size();
    }
    return false;
  });
  for (int i = 0; i < 100; ++i) t.Propose(leader, "c" + std::to_string(i));
  t.RunFor(1s);
  EXPECT_EQ(sent, 100u);
  t.node(slow).StallDisk(false);
  EXPECT_TRUE(t.AwaitAgreement());
  EXPECT_EQ(sent, 100u);
}

TEST(Stories, LaggingFollowerCatchesUpBySnapshotAndLog) {
  TestCluster t({.nodes = 3});
  const int leader = t.AwaitLeader();
  t.RunFor(200ms);
  const int late = leader % 3 + 1;
  t.node(late).Crash();
  for (int i = 0; i < 50; ++i) t.Propose(leader, "c" + std::to_string(i));
  t.RunFor(100ms);
  ASSERT_TRUE(t.node(leader).TakeSnapshot(/*trailing=*/5));
  for (int i = 50; i < 60; ++i) t.Propose(leader, "c" + std::to_string(i));
  t.node(late).Restart();
  ASSERT_TRUE(t.AwaitAgreement());
  EXPECT_EQ(t.node(late).installs(), 1);
  EXPECT_EQ(t.node(late).state(), t.node(leader).state());
  EXPECT_EQ(t.node(late).view().config, t.node(leader).view().config);
  // After catching up, also after a restart, it can lead.
  t.node(late).Crash();
  t.node(late).Restart();
  ASSERT_TRUE(t.AwaitAgreement());
  t.node(leader).Step(Transfer{NodeId(static_cast<uint64_t>(late))});
  t.RunFor(200ms);
  EXPECT_EQ(t.AwaitLeader(), late);
}

// LogCabin#174: the receiver crashes at each point of the transfer.
TEST(Stories, ReceiverMayCrashDuringSnapshot) {
  for (int crash_after = 0; crash_after < 20; ++crash_after) {
    TestCluster t({.nodes = 3, .seed = static_cast<uint64_t>(crash_after) + 1});
    const int leader = t.AwaitLeader();
    t.RunFor(200ms);
    const int late = leader % 3 + 1;
    t.node(late).Crash();
    for (int i = 0; i < 30; ++i) t.Propose(leader, "c" + std::to_string(i));
    t.RunFor(100ms);
    ASSERT_TRUE(t.node(leader).TakeSnapshot(0));
    t.node(late).Restart();
    int pieces = 0;
    t.KeepTrace([&](const Message& message) {
      return std::holds_alternative<SnapshotRequest>(message.body);
    });
    t.RunUntil([&] { return static_cast<int>(t.kept_trace().size()) > crash_after; }, 2s);
    pieces = static_cast<int>(t.kept_trace().size());
    t.node(late).Crash();
    t.RunFor(100ms);
    t.node(late).Restart();
    ASSERT_TRUE(t.AwaitAgreement()) << "crash after " << crash_after << " of " << pieces;
    EXPECT_EQ(t.node(late).state(), t.node(leader).state());
  }
}

// NuRaft#660: an idle cluster keeps its leader for sixty days.
TEST(Stories, IdleClusterKeepsLeader) {
  TestCluster::Setup setup;
  setup.raft.heartbeat = 30s;
  setup.raft.election_min = 120s;
  setup.raft.election_max = 240s;
  TestCluster t(setup);
  const int leader = t.AwaitLeader(1h);
  t.RunFor(60s);
  const Term term = t.node(leader).status().term;
  t.RunFor(24h * 60);
  EXPECT_EQ(t.leader(), leader);
  EXPECT_EQ(t.node(leader).status().term, term);
}

// A new cluster binds the incarnations of all members soon after its first election.
TEST(Stories, NewClusterBindsIncarnations) {
  TestCluster t({.nodes = 5});
  t.AwaitLeader();
  ASSERT_TRUE(t.RunUntil(
      [&] {
        const Configuration& config = t.node(1).raft().config();
        return std::all_of(config.voters.begin(), config.voters.end(), [](const Member& member) {
          return member.incarnation == FirstIncarnation(member.id);
        });
      },
      1s));
  EXPECT_TRUE(t.AwaitAgreement());
}

}  // namespace
}  // namespace dqueue::raft::test
