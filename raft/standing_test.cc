// R12 and R13: what is refused, what the refused node is told, and what it concludes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "raft/testing/test_cluster.h"
#include "raft/testing/test_core.h"

namespace dqueue::raft::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Reason = Refusal::Reason;

const Incarnation kSelf = FirstIncarnation(NodeId(1));

PreVoteRequest PreVote(int term, KnownBoot known = {}) {
  return {Term(static_cast<uint64_t>(term) + 1), Index(1), Term(1), known};
}

std::vector<Refusal> Refusals(const Output& output, int to) {
  std::vector<Refusal> out = Now<Refusal>(output, to);
  for (const Refusal& refusal : Later<Refusal>(output, to)) out.push_back(refusal);
  return out;
}

// ---- Refusing

TEST(Refusals, TheSenderIsToldWhyOnceASecond) {
  TestCore core({});
  Message message = core.From(2, 1, PreVote(1));
  message.cluster = {7, 7};
  std::vector<Refusal> told = Refusals(core.Step(Receive{message}), 2);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].reason, Reason::kOtherCluster);
  core.Advance(999ms);
  EXPECT_THAT(Refusals(core.Step(Receive{message}), 2), IsEmpty());
  core.Advance(1ms);
  EXPECT_EQ(Refusals(core.Step(Receive{message}), 2).size(), 1u);
  EXPECT_EQ(core.view().refused_messages, (std::array<uint64_t, 4>{3, 0, 0, 0}));
  EXPECT_EQ(core.view().dropped_messages, 3u);
}

// A wiped disk must hear of its refusal before it may form a cluster.
TEST(Refusals, ANewStartIsToldAtOnce) {
  TestCore core({});
  Message message = core.From(2, 1, PreVote(1));
  for (const uint64_t incarnation : {998, 999}) {
    message.from_incarnation = Incarnation(incarnation);
    EXPECT_EQ(Refusals(core.Step(Receive{message}), 2).size(), 1u);
    EXPECT_THAT(Refusals(core.Step(Receive{message}), 2), IsEmpty());
  }
  message.from_boot = {2, 22};
  EXPECT_EQ(Refusals(core.Step(Receive{message}), 2).size(), 1u);
  EXPECT_THAT(Refusals(core.Step(Receive{message}), 2), IsEmpty());
}

TEST(Refusals, AnotherIncarnationIsToldTheBoundOne) {
  TestCore core({});
  Message message = core.From(2, 1, PreVote(1));
  message.from_incarnation = Incarnation(999);
  const std::vector<Refusal> told = Refusals(core.Step(Receive{message}), 2);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].reason, Reason::kOtherIncarnation);
  EXPECT_EQ(told[0].bound, FirstIncarnation(NodeId(2)));
}

TEST(Refusals, ANodeThatIsNoMemberIsTold) {
  TestCore core({});
  const std::vector<Refusal> told = Refusals(core.Receive(9, 1, VoteResponse{true}), 9);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].reason, Reason::kNotMember);
}

TEST(Refusals, ARefusalIsNeverRefused) {
  TestCore core({});
  Message message = core.From(9, 1, Refusal{Reason::kNotMember});
  message.cluster = {7, 7};
  EXPECT_THAT(core.Step(Receive{message}).send_now, IsEmpty());
}

// ---- Being refused

TEST(Refusals, AreReportedIfTheyFitTheReceiver) {
  struct Row {
    Refusal refusal;
    bool same_cluster;
    bool reported;
  };
  const Row rows[] = {
      {{Reason::kOtherCluster}, false, true},
      {{Reason::kOtherCluster}, true, false},
      {{Reason::kOtherIncarnation, Incarnation(999)}, true, true},
      {{Reason::kOtherIncarnation, Incarnation(999)}, false, false},
      {{Reason::kOtherIncarnation, kSelf}, true, false},
      {{Reason::kOtherIncarnation}, true, false},
      {{Reason::kNotMember}, true, true},
      {{Reason::kNotMember}, false, false},
  };
  for (const Row& row : rows) {
    TestCore core({});
    Message message = core.From(2, 99, row.refusal);
    if (!row.same_cluster) message.cluster = {7, 7};
    const Output output = core.Step(Receive{message});
    EXPECT_EQ(output.refusals.size(), row.reported ? 1u : 0u) << ReasonName(row.refusal.reason);
    // The term of a refusal is not adopted.
    EXPECT_EQ(core.status().term, Term(1));
  }
}

// A disk that was formatted anew has no vote in the cluster that knows it with another one.
TEST(Refusals, ADisownedNewDiskNeitherVotesNorCampaigns) {
  TestCore core({.bound = false});
  core.Receive(2, 1, Refusal{Reason::kOtherIncarnation, Incarnation(999)});
  const Output refused = core.Receive(3, 1, PreVote(1));
  ASSERT_EQ(Now<PreVoteResponse>(refused, 3).size(), 1u);
  EXPECT_FALSE(Now<PreVoteResponse>(refused, 3)[0].granted);
  core.Receive(3, 2, VoteRequest{Index(1), Term(1), false});
  for (const VoteResponse& vote : Later<VoteResponse>(core.Persist(), 3)) {
    EXPECT_FALSE(vote.granted);
  }
  for (int i = 0; i < 5; ++i) EXPECT_THAT(Now<PreVoteRequest>(core.Tick(), 2), IsEmpty());
}

// A later leader may bind the new disk after all, if the first binding was never committed.
TEST(Refusals, ADisownedDiskVotesOnceItIsBound) {
  TestCore core({.bound = false});
  core.Receive(2, 1, Refusal{Reason::kOtherIncarnation, Incarnation(999)});
  Configuration config = core.raft().config();
  for (Member& member : config.voters) member.incarnation = FirstIncarnation(member.id);
  AppendRequest bind{Index(1), Term(1), Index(1), {}, {}};
  bind.entries.push_back(
      {Index(2), Term(2), EntryKind::kConfig, Text(EncodeConfiguration(config))});
  core.Receive(3, 2, bind);
  core.Persist();
  core.Advance(10s);
  const Output asked = core.Receive(3, 2, PreVoteRequest{Term(3), Index(2), Term(2)});
  ASSERT_EQ(Now<PreVoteResponse>(asked, 3).size(), 1u);
  EXPECT_TRUE(Now<PreVoteResponse>(asked, 3)[0].granted);
}

// ---- Disks that went back in time

TestCore::Setup WithBoots() {
  TestCore::Setup setup;
  setup.term = 4;
  setup.log = {4};
  setup.boots = {{1, 11}, {2, 22}, {3, 33}};
  return setup;
}

TEST(WentBack, IsConcludedFromWhatAMemberRemembers) {
  struct Row {
    KnownBoot known;
    bool lost;
  };
  const Row rows[] = {
      {{}, false},
      {{kSelf, {1, 11}, Term(2)}, false},
      {{kSelf, {2, 22}, Term(4)}, false},
      {{kSelf, {3, 33}, Term(9)}, false},            // the present start
      {{kSelf, {4, 44}, Term(4)}, true},             // a later start
      {{kSelf, {3, 34}, Term(4)}, true},             // another start of the same number
      {{kSelf, {2, 23}, Term(4)}, true},             // another earlier start
      {{kSelf, {2, 22}, Term(5)}, true},             // a term that this disk never stored
      {{kSelf, {3, 33}, Term(9), {2, 22}}, false},   // the present start, and the one before
      {{kSelf, {3, 33}, Term(4), {2, 23}}, true},    // a start before that is not of this disk
      {{Incarnation(999), {9, 99}, Term(9)}, false}  // of another disk
  };
  for (const Row& row : rows) {
    const std::string what =
        std::to_string(row.known.boot.number) + " " + std::to_string(row.known.boot.mark);
    PreVoteResponse response{Term(5), false, row.known};
    Message vote;
    for (const MessageBody& body : {MessageBody(PreVote(4, row.known)), MessageBody(response),
                                    MessageBody(VoteRequest{Index(2), Term(4), false, row.known}),
                                    MessageBody(Refusal{Reason::kWentBack, {}, row.known})}) {
      TestCore core(WithBoots());
      const Output output = core.Receive(2, 4, body);
      EXPECT_EQ(output.went_back.has_value(), row.lost) << what << ", body " << body.index();
      if (!row.lost) continue;
      EXPECT_EQ(output.went_back->witness, NodeId(2));
      EXPECT_EQ(output.went_back->known, row.known);
      EXPECT_THAT(output.send_now, IsEmpty());
      EXPECT_THAT(output.send_after_persist, IsEmpty());
      // From then on it does nothing at all.
      EXPECT_THAT(core.Receive(3, 9, VoteRequest{Index(9), Term(9), false}).send_after_persist,
                  IsEmpty());
      EXPECT_THAT(core.Persist().send_after_persist, IsEmpty());
      EXPECT_FALSE(core.raft().HasOutput());
      EXPECT_EQ(core.raft().Deadline(), Time::max());
    }
  }
}

TEST(WentBack, IsConcludedFromAHeartbeatAboveTheOwnLog) {
  TestCore core(WithBoots());
  const Output output = core.Receive(2, 4, HeartbeatRequest{Index(3), {}});
  ASSERT_TRUE(output.went_back.has_value());
  EXPECT_EQ(output.went_back->acknowledged, Index(3));
  EXPECT_EQ(output.went_back->witness, NodeId(2));
}

// A disk that was wiped has acknowledged nothing; it is told that it is another incarnation.
TEST(WentBack, IsNotConcludedByAnUnboundDisk) {
  TestCore core({.bound = false});
  EXPECT_FALSE(core.Receive(2, 4, HeartbeatRequest{Index(3), {}}).went_back.has_value());
}

Message FromBoot(const TestCore& core, Boot boot, int term) {
  Message message = core.From(2, term, PreVote(term));
  message.from_boot = boot;
  return message;
}

TEST(WentBack, MembersRefuseAnEarlierStartAndRememberTheNewest) {
  TestCore core({});
  EXPECT_THAT(Refusals(core.Step(Receive{FromBoot(core, {2, 22}, 1)}), 2), IsEmpty());
  EXPECT_THAT(Refusals(core.Step(Receive{FromBoot(core, {3, 33}, 1)}), 2), IsEmpty());
  const KnownBoot known{FirstIncarnation(NodeId(2)), {3, 33}, Term(1), {2, 22}};
  for (const Boot boot : {Boot{2, 22}, Boot{3, 34}, Boot{1, 33}}) {
    core.Advance(1s);
    const std::vector<Refusal> told = Refusals(core.Step(Receive{FromBoot(core, boot, 1)}), 2);
    ASSERT_EQ(told.size(), 1u) << boot.number;
    EXPECT_EQ(told[0].reason, Reason::kWentBack);
    EXPECT_EQ(told[0].known, known);
  }
  EXPECT_EQ(core.view().refused_messages[3], 3u);
  // An election tells the member what this node remembers of it.
  const std::vector<PreVoteRequest> asked = Now<PreVoteRequest>(core.Tick(), 2);
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].known, known);
}

// A copy that is started twice before any member hears from it has a number that looks new.
TEST(WentBack, ACopyThatWasStartedTwiceIsTold) {
  TestCore core({});
  core.Step(Receive{FromBoot(core, {3, 33}, 1)});
  const Output output = core.Step(Receive{FromBoot(core, {4, 40}, 1)});
  ASSERT_EQ(Now<PreVoteResponse>(output, 2).size(), 1u);
  const KnownBoot known = Now<PreVoteResponse>(output, 2)[0].known;
  EXPECT_EQ(known, (KnownBoot{FirstIncarnation(NodeId(2)), {4, 40}, Term(1), {3, 33}}));

  TestCore::Setup setup;
  setup.self = 2;
  setup.boots = {{1, 11}, {2, 22}, {3, 30}, {4, 40}};
  TestCore copy(setup);
  EXPECT_TRUE(copy.Receive(1, 1, PreVoteResponse{Term(2), true, known}).went_back.has_value());
  setup.boots[2] = {3, 33};
  TestCore genuine(setup);
  EXPECT_FALSE(genuine.Receive(1, 1, PreVoteResponse{Term(2), true, known}).went_back.has_value());
}

TEST(WentBack, MembersRefuseALaterStartWithALowerTerm) {
  TestCore core({.log = {4}, .term = 4});
  EXPECT_THAT(Refusals(core.Step(Receive{FromBoot(core, {2, 22}, 4)}), 2), IsEmpty());
  EXPECT_EQ(Refusals(core.Step(Receive{FromBoot(core, {3, 33}, 3)}), 2).size(), 1u);
  core.Advance(1s);
  EXPECT_THAT(Refusals(core.Step(Receive{FromBoot(core, {3, 33}, 4)}), 2), IsEmpty());
}

TEST(WentBack, ASenderOfAnEarlierVersionIsNotChecked) {
  TestCore core({});
  core.Step(Receive{FromBoot(core, {3, 33}, 1)});
  EXPECT_THAT(Refusals(core.Step(Receive{FromBoot(core, {}, 1)}), 2), IsEmpty());
}

// ---- Members without a bound incarnation

// One member was late when the cluster was formed. Its acknowledgement must not commit before its
// incarnation is bound: its disk could be wiped, and nobody would know.
TEST(Unbound, AnAcknowledgementDoesNotCommit) {
  TestCore core({.bound = false});
  core.BecomeLeader(false);  // elected by 2
  core.Acknowledge(2, core.view().last_index);
  core.Step(Propose{1, Text("x")});
  core.Persist();
  const Output first = core.Acknowledge(3, core.view().last_index);
  for (const ProposalOutcome& outcome : first.proposals) {
    EXPECT_NE(outcome.kind, ProposalOutcome::Kind::kCommitted);
  }
  Output bound = core.Tick();  // binds it
  ASSERT_NE(core.raft().config().Find(NodeId(3))->incarnation, Incarnation());
  const Output persisted = core.Persist();
  const Output acknowledged = core.Acknowledge(3, core.view().last_index);
  for (const Output* output : {&persisted, &acknowledged}) {
    bound.proposals.insert(bound.proposals.end(), output->proposals.begin(),
                           output->proposals.end());
  }
  ASSERT_EQ(bound.proposals.size(), 1u);
  EXPECT_EQ(bound.proposals[0].kind, ProposalOutcome::Kind::kCommitted);
}

// Such a member cannot commit anything, so a leader that hears nobody else must say that it cannot
// serve: it steps down.
TEST(Unbound, DoesNotKeepALeaderInOffice) {
  TestCore core({.bound = false});
  core.BecomeLeader(false);  // elected by 2, which then is silent
  const Time end = core.now() + 2 * Options().election_max;
  while (core.status().role == Role::kLeader && core.now() < end) {
    core.Receive(3, 2, HeartbeatResponse{});
    core.Tick();
  }
  EXPECT_EQ(core.status().role, Role::kFollower);
}

TEST(Unbound, AWipedDiskDoesNotElectANodeThatMissedItsBinding) {
  ChecksThrow guard;
  TestCluster t({.nodes = 3});
  t.node(3).Crash();  // late at formation
  const int a = t.AwaitLeader();
  const int b = 3 - a;
  t.RunFor(300ms);
  t.node(b).Crash();  // keeps its disk; its configuration binds a and b only
  t.node(3).Restart();
  t.RunFor(1s);
  const uint64_t id = t.Propose(a, "precious");
  t.RunFor(1s);
  ASSERT_EQ(t.proposal(id)->kind, ProposalOutcome::Kind::kCommitted);
  ASSERT_NE(t.node(a).raft().config().Find(NodeId(3))->incarnation, Incarnation());
  t.RunFor(10s);
  t.node(3).Wipe();
  t.node(a).Crash();
  t.node(b).Restart();
  t.node(3).Restart();
  t.RunFor(10s);
  EXPECT_EQ(t.leader(), 0) << "elected with the vote of a wiped disk";
  t.node(a).Restart();
  const int leader = t.AwaitLeader();
  t.RunFor(1s);
  EXPECT_THAT(t.node(leader).state(), ElementsAre("precious"));
}

// ---- A new cluster

TEST(Formation, WaitsUntilAllMembersWereHeard) {
  TestCore::Setup setup{.bound = false};
  setup.options.formation_wait = 10s;
  TestCore core(setup);
  core.Tick();
  core.Receive(2, 1, PreVoteResponse{Term(2), true});
  EXPECT_EQ(core.status().role, Role::kPreCandidate);
  core.Receive(3, 1, PreVoteResponse{Term(2), true});
  EXPECT_EQ(core.status().role, Role::kCandidate);
}

TEST(Formation, WaitsNoLongerThanTheLimit) {
  TestCore::Setup setup{.bound = false};
  setup.options.formation_wait = 10s;
  TestCore core(setup);
  const Time end = core.now() + 10s;
  while (core.status().role != Role::kCandidate) {
    core.Tick();
    core.Receive(2, 1, PreVoteResponse{Term(2), true});
    ASSERT_LE(core.now(), end + 1s);
  }
  EXPECT_GE(core.now(), end);
}

// A member with a longer log knows a cluster. It was heard, but does not answer: it refuses this
// disk.
TEST(Formation, WaitsWhileAMemberWithALongerLogIsHeard) {
  const MessageBody signs[] = {PreVoteRequest{Term(2), Index(5), Term(1)},
                               PreVoteResponse{Term(2), false, {}, Index(5)}};
  for (const MessageBody& sign : signs) {
    TestCore::Setup setup{.bound = false};
    setup.options.formation_wait = 10s;
    TestCore core(setup);
    core.Advance(60s);
    const auto ask = [&] {
      core.Tick();
      core.Receive(2, 1, PreVoteResponse{Term(2), true});
      return core.status().role;
    };
    core.Receive(3, 1, sign);
    const Time end = core.now() + 10s;
    Time now = core.now();
    while (ask() == Role::kPreCandidate && core.now() < end + 2s) now = core.now();
    EXPECT_EQ(core.status().role, Role::kCandidate) << "the member may be gone for ever";
    EXPECT_GE(now + Options().election_max, end);
  }
}

// Two of three disks are wiped and all nodes start together. While the third one can be reached,
// the wiped ones must not form a new cluster.
TEST(Formation, TwoWipedDisksElectNobodyBesideAMemberThatKnowsTheCluster) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    ChecksThrow guard;
    TestCluster::Setup setup;
    setup.seed = seed;
    setup.raft.formation_wait = 2 * setup.raft.election_max;
    TestCluster t(setup);
    const uint64_t id = t.Propose(t.AwaitLeader(), "precious");
    t.RunFor(1s);
    ASSERT_EQ(t.proposal(id)->kind, ProposalOutcome::Kind::kCommitted);
    for (int i = 1; i <= 3; ++i) t.node(i).Crash();
    const int kept = 1 + static_cast<int>(t.random().Below(3));
    for (int i = 1; i <= 3; ++i) {
      if (i != kept) t.node(i).Wipe();
    }
    t.node(kept).Restart();
    for (int i = 1; i <= 3; ++i) {
      if (i == kept) continue;
      t.RunFor(std::chrono::milliseconds(t.random().Below(700)));
      t.node(i).Restart();
    }
    t.RunFor(5s);
    EXPECT_EQ(t.leader(), 0) << "seed " << seed;
  }
}

TEST(Formation, AClusterThatWasFormedDoesNotWait) {
  TestCore::Setup setup{.bound = true};
  setup.options.formation_wait = 10s;
  TestCore core(setup);
  core.Tick();
  core.Receive(2, 1, PreVoteResponse{Term(2), true});
  EXPECT_EQ(core.status().role, Role::kCandidate);
}

// ---- Snapshots

// The leader takes snapshots faster than a member receives them. It must not compact the entries
// after the snapshot that it is sending.
TEST(Treadmill, AMemberThatReceivesASnapshotCatchesUp) {
  TestCore core({.log = {1, 1, 1}, .commit = 4, .snapshot = 4});
  core.BecomeLeader(false);
  core.Acknowledge(3, core.view().last_index);
  AppendResponse refusal;
  refusal.rejected_prev = Index(4);
  refusal.hint_index = Index(1);
  refusal.hint_term = Term(1);
  core.Receive(2, 2, refusal);
  int appends = 0;
  SnapshotMeta offered{Index(4), Term(1), {}};
  for (int round = 0; round < 20; ++round) {
    for (uint64_t i = 0; i < 3; ++i) {
      core.Step(Propose{100 + static_cast<uint64_t>(round) * 10 + i, Text("x")});
    }
    core.Persist();
    core.Acknowledge(3, core.view().last_index);
    const Index at = core.view().applied;
    core.Step(SnapshotTaken{.meta = {at, core.raft().TermAt(at), core.raft().EncodedConfigAt(at)},
                            .compact_to = std::min(at, core.raft().CompactionLimit())});
    const Output out =
        core.Receive(2, 2, SnapshotResponse{offered.index, offered.term, {}, true, false});
    for (const SnapshotRequest& r : Now<SnapshotRequest>(out, 2)) offered = r.meta;
    for (const AppendRequest& r : Now<AppendRequest>(out, 2)) appends += !r.entries.empty();
  }
  EXPECT_GT(appends, 0);
}

// ---- A full disk

TEST(FullDisk, TheLeaderTriesAgainIfItsTargetDies) {
  TestCore core({});
  core.BecomeLeader();
  core.Step(Capacity{true});
  std::array<int, 4> told = {};
  for (int i = 0; i < 20 * 60; ++i) {  // a minute
    const Output out = core.Tick();
    for (const int peer : {2, 3}) told[peer] += static_cast<int>(Now<TimeoutNow>(out, peer).size());
    // The first target dies before it campaigns.
    for (const int peer : {2, 3}) {
      if (told[peer] == 0 || told[5 - peer] > 0) core.Receive(peer, 2, HeartbeatResponse{});
    }
  }
  EXPECT_GT(told[2], 0);
  EXPECT_GT(told[3], 0);
}

}  // namespace
}  // namespace dqueue::raft::test
