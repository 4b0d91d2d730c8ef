// Scripted tests on a whole cluster. All checkers run too: a broken rule fails the test with a
// Violation.
#include "sim/scenario.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "queue/api/proto_time.h"

namespace dqueue::sim {
namespace {

using testing::AnyOf;
using testing::SizeIs;

std::vector<int> Others(const World& world, int than) {
  std::vector<int> others;
  for (int i = 1; i <= world.size(); ++i) {
    if (i != than) others.push_back(i);
  }
  return others;
}

TEST(ScenarioTest, AcknowledgedJobsOutliveTheirLeader) {
  Scenario s(QuietProfile(3));
  const int first = s.WaitForLeader();
  ASSERT_NE(first, 0);
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(s.Enqueue(first, "job-" + std::to_string(i)), "OK");
  }
  s.world.node(first).Die(Death::kPowerLoss, "test");
  const Time lost = s.world.now();
  const int second = s.WaitForOtherLeader(first);
  ASSERT_NE(second, 0);
  // Broken connections make a follower start an election before its timeout.
  EXPECT_LT(s.world.now() - lost, 300ms);
  const std::vector<v1::Job> jobs = s.Lease(second, "w", 100);
  EXPECT_THAT(jobs, SizeIs(10));
  for (const v1::Job& job : jobs) EXPECT_EQ(s.Complete(second, job), "OK");
  s.world.node(first).Boot();
  EXPECT_TRUE(s.WaitUntilAllApplied());
}

TEST(ScenarioTest, FollowersNameTheLeader) {
  Scenario s(QuietProfile(3));
  const int leader = s.WaitForLeader();
  s.world.Run(100ms);
  const auto outcome =
      s.CallAndWait<queue::EnqueueCall>(Others(s.world, leader).front(), s.EnqueueRequest("a"));
  ASSERT_TRUE(outcome && !outcome->ok());
  EXPECT_EQ(outcome->error.reason, "NOT_LEADER");
  EXPECT_EQ(outcome->error.metadata.at("leader_id"), "n" + std::to_string(leader));
}

TEST(ScenarioTest, AllNodesLosePowerTogether) {
  Scenario s(QuietProfile(3), 7);
  const int leader = s.WaitForLeader();
  for (int i = 0; i < 40; ++i) ASSERT_EQ(s.Enqueue(leader, "job-" + std::to_string(i)), "OK");
  for (int i = 1; i <= 3; ++i) s.world.node(i).Die(Death::kPowerLoss, "test");
  for (int i = 1; i <= 3; ++i) s.world.node(i).Boot();
  const int next = s.WaitForLeader();
  ASSERT_NE(next, 0);
  EXPECT_THAT(s.Lease(next, "w", 100), SizeIs(40));
}

TEST(ScenarioTest, AMinorityServesNothing) {
  Scenario s(QuietProfile(3));
  const int leader = s.WaitForLeader();
  ASSERT_EQ(s.Enqueue(leader, "a"), "OK");
  for (const int other : Others(s.world, leader)) s.world.node(other).Die(Death::kKill, "test");
  EXPECT_THAT(s.Enqueue(leader, "b"), AnyOf("UNKNOWN", "COMMIT_UNKNOWN"));
  std::string reason;
  EXPECT_THAT(s.Lease(leader, "w", 1, 0us, 5s, &reason), SizeIs(0));
  EXPECT_NE(reason, "OK") << "nothing may be granted without a majority";
  EXPECT_EQ(s.StateOf(leader, "a"), v1::JOB_STATE_UNSPECIFIED);
}

// A leader that was paused must not grant a job that was completed under another leader meanwhile.
TEST(ScenarioTest, APausedLeaderGrantsNothingStale) {
  Scenario s(QuietProfile(3));
  const int paused = s.WaitForLeader();
  ASSERT_EQ(s.Enqueue(paused, "a"), "OK");
  s.world.node(paused).PauseUntil(s.world.now() + 3s);
  const int next = s.WaitForOtherLeader(paused);
  ASSERT_NE(next, 0);
  const std::vector<v1::Job> jobs = s.Lease(next, "w1");
  ASSERT_THAT(jobs, SizeIs(1));
  ASSERT_EQ(s.Complete(next, jobs[0]), "OK");
  // This call waits in the inbox of the paused node, which handles it before any peer message.
  std::string reason;
  EXPECT_THAT(s.Lease(paused, "w2", 1, 5s, 5s, &reason), SizeIs(0));
  EXPECT_THAT(reason, AnyOf("NOT_LEADER", "NO_LEADER"));
}

TEST(ScenarioTest, AnIsolatedFollowerDoesNotDisturb) {
  Scenario s(QuietProfile(3));
  const int leader = s.WaitForLeader();
  const raft::Term term = s.Term(leader);
  const int follower = Others(s.world, leader).front();
  s.world.Isolate(follower);
  s.world.Run(20s);
  s.world.network().HealAll();
  s.world.Run(5s);
  EXPECT_EQ(s.world.Leader(), leader);
  EXPECT_EQ(s.Term(leader), term) << "R7: a node that was cut off must not raise terms";
  EXPECT_EQ(s.Term(follower), term);
}

TEST(ScenarioTest, ALeaderThatReceivesNothingStepsDown) {
  Scenario s(QuietProfile(3));
  const int leader = s.WaitForLeader();
  // The leader's heartbeats arrive, but the responses do not.
  for (const int other : Others(s.world, leader)) s.world.network().Cut(other, leader);
  const int next = s.WaitForOtherLeader(leader, 5s);
  EXPECT_NE(next, leader);
  EXPECT_NE(next, 0);
}

TEST(ScenarioTest, ALeaderWhoseDiskStallsHandsOver) {
  Scenario s(QuietProfile(3));
  const int leader = s.WaitForLeader();
  ASSERT_EQ(s.Enqueue(leader, "a"), "OK");
  s.world.node(leader).StallLogUntil(s.world.now() + 20s);
  EXPECT_EQ(s.Enqueue(leader, "b", 500ms), "OK") << "two followers are a majority";
  const int next = s.WaitForOtherLeader(leader, 5s);
  EXPECT_NE(next, leader);
  ASSERT_NE(next, 0);
  EXPECT_EQ(s.Enqueue(next, "c"), "OK");
}

TEST(ScenarioTest, APlannedRestartMovesLeadershipFirst) {
  Scenario s(QuietProfile(3));
  const int leader = s.WaitForLeader();
  ASSERT_EQ(s.Enqueue(leader, "a"), "OK");
  const Time asked = s.world.now();
  s.world.node(leader).Restart(1s);
  const int next = s.WaitForOtherLeader(leader, 2s);
  ASSERT_NE(next, leader);
  ASSERT_NE(next, 0);
  EXPECT_LT(s.world.now() - asked, 100ms) << "the transfer does not wait for an election timeout";
  EXPECT_EQ(s.Enqueue(next, "b"), "OK");
  s.world.Run(3s);
  EXPECT_TRUE(s.world.node(leader).up());
  EXPECT_TRUE(s.WaitUntilAllApplied());
}

// ---- Clients and changes of leader

TEST(ScenarioTest, ACompletionInFlightDuringALeaderChange) {
  Scenario s(QuietProfile(3));
  const int first = s.WaitForLeader();
  ASSERT_EQ(s.Enqueue(first, "a"), "OK");
  const std::vector<v1::Job> jobs = s.Lease(first, "w1");
  ASSERT_THAT(jobs, SizeIs(1));
  s.world.Isolate(first);
  EXPECT_THAT(s.Complete(first, jobs[0], 300ms), AnyOf("UNKNOWN", "COMMIT_UNKNOWN"));
  const int second = s.WaitForOtherLeader(first);
  ASSERT_NE(second, 0);
  EXPECT_EQ(s.StateOf(second, "a"), v1::JOB_STATE_READY);
  // The same completion again, with the token of the first leader: adopted.
  EXPECT_EQ(s.Complete(second, jobs[0]), "OK");
  EXPECT_EQ(s.Complete(second, jobs[0]), "OK") << "a repeated completion is OK";
  s.world.network().HealAll();
  ASSERT_TRUE(s.WaitUntilAllApplied());
  EXPECT_EQ(s.world.jobs().queues().at("default").completions, 1u);
}

TEST(ScenarioTest, ATokenOfAnEarlierTermIsAdopted) {
  Scenario s(QuietProfile(3));
  const int first = s.WaitForLeader();
  ASSERT_EQ(s.Enqueue(first, "a"), "OK");
  const std::vector<v1::Job> jobs = s.Lease(first, "w1");
  ASSERT_THAT(jobs, SizeIs(1));
  s.world.node(first).Die(Death::kKill, "test");
  const int second = s.WaitForOtherLeader(first);
  ASSERT_NE(second, 0);
  ASSERT_EQ(s.Extend(second, jobs[0], 3s), "OK");
  EXPECT_THAT(s.Lease(second, "w2", 1, 1s), SizeIs(0)) << "the lease was adopted";
  EXPECT_EQ(s.Complete(second, jobs[0]), "OK");
}

TEST(ScenarioTest, AStaleTokenChangesNothing) {
  Scenario s(QuietProfile(3));
  const int first = s.WaitForLeader();
  ASSERT_EQ(s.Enqueue(first, "a"), "OK");
  const std::vector<v1::Job> before = s.Lease(first, "w1");
  ASSERT_THAT(before, SizeIs(1));
  s.world.node(first).Die(Death::kKill, "test");
  const int second = s.WaitForOtherLeader(first);
  const std::vector<v1::Job> after = s.Lease(second, "w2");
  ASSERT_THAT(after, SizeIs(1)) << "the new leader does not know the earlier lease";
  EXPECT_EQ(s.Complete(second, before[0]), "LEASE_STALE");
  EXPECT_EQ(s.Extend(second, before[0], 5s), "LEASE_STALE");
  EXPECT_EQ(s.Release(second, before[0]), "LEASE_STALE");
  EXPECT_EQ(s.Complete(second, after[0]), "OK");
}

TEST(ScenarioTest, AnEnqueueIsRepeatedAfterAnUnknownOutcome) {
  Scenario s(QuietProfile(3));
  const int first = s.WaitForLeader();
  v1::EnqueueJobsRequest request = s.EnqueueRequest("");
  request.set_request_id("request-1");
  // The request arrives; the answer is lost.
  bool answered = false;
  s.client.CallNode<queue::EnqueueCall>(first, request, 1s,
                                        [&](auto outcome) { answered = outcome.has_value(); });
  s.world.CutClients(first, true);
  s.world.Run(2s);
  ASSERT_THAT(s.world.jobs().jobs(), SizeIs(1));
  ASSERT_FALSE(answered);
  s.world.node(first).Die(Death::kPowerLoss, "test");
  const int second = s.WaitForOtherLeader(first);
  const auto again = s.CallAndWait<queue::EnqueueCall>(second, request);
  ASSERT_TRUE(again && again->ok());
  EXPECT_FALSE(again->value.results(0).created());
  EXPECT_EQ(again->value.results(0).id(), s.world.jobs().jobs().front().id);
  EXPECT_THAT(s.world.jobs().jobs(), SizeIs(1));
}

TEST(ScenarioTest, AnExpiredLeaseIsGivenToTheNextWorker) {
  Scenario s(QuietProfile(3));
  const int leader = s.WaitForLeader();
  ASSERT_EQ(s.Enqueue(leader, "a"), "OK");
  const std::vector<v1::Job> jobs = s.Lease(leader, "w1", 1, 0us, 2s);
  ASSERT_THAT(jobs, SizeIs(1));
  const Time granted = s.world.now();
  const std::vector<v1::Job> again = s.Lease(leader, "w2", 1, 10s, 2s);
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_GE(s.world.now() - granted, 1990ms);
  EXPECT_LE(s.world.now() - granted, 2100ms);
  EXPECT_EQ(again[0].counters().expired(), 1);
  EXPECT_EQ(s.Complete(leader, jobs[0]), "LEASE_STALE");
  EXPECT_EQ(s.Complete(leader, again[0]), "OK");
}

// ---- Clocks

TEST(ScenarioTest, LeasesDoNotDependOnWallClocks) {
  Scenario s(QuietProfile(3));
  const int leader = s.WaitForLeader();
  ASSERT_EQ(s.Enqueue(leader, "a"), "OK");
  ASSERT_THAT(s.Lease(leader, "w1", 1, 0us, 3s), SizeIs(1));
  s.world.node(leader).JumpWall(3600s);
  EXPECT_THAT(s.Lease(leader, "w2", 1, 2s), SizeIs(0));
  s.world.node(leader).JumpWall(-7200s);
  EXPECT_THAT(s.Lease(leader, "w3", 1, 3s), SizeIs(1));
}

TEST(ScenarioTest, DelayedJobsRunAfterTheWallClockIsSetBack) {
  Scenario s(QuietProfile(3));
  const int leader = s.WaitForLeader();
  v1::EnqueueJobsRequest request = s.EnqueueRequest("a");
  request.mutable_jobs(0)->mutable_delay()->set_seconds(2);
  ASSERT_TRUE(s.CallAndWait<queue::EnqueueCall>(leader, request)->ok());
  s.world.node(leader).JumpWall(-3600s);
  EXPECT_THAT(s.Lease(leader, "w", 1, 1500ms), SizeIs(0)) << "not early";
  EXPECT_THAT(s.Lease(leader, "w", 1, 10s), SizeIs(1)) << "not an hour late";
}

// Enqueues a job with a delay of 2 s at the leader and returns how long after that it was leased
// and completed. The cluster's time has a resolution of 1 ms.
constexpr Duration kDelayMin = 1999ms;
Duration TimeOfDelayedJob(Scenario* s, int leader, const std::string& id) {
  v1::EnqueueJobsRequest request = s->EnqueueRequest(id);
  request.mutable_jobs(0)->mutable_delay()->set_seconds(2);
  const Time enqueued = s->world.now();
  if (!s->CallAndWait<queue::EnqueueCall>(leader, request)->ok()) return Duration::max();
  const std::vector<v1::Job> jobs = s->Lease(leader, "w", 1, 20s);
  if (jobs.size() != 1 || s->Complete(leader, jobs[0]) != "OK") return Duration::max();
  return s->world.now() - enqueued;
}

TEST(ScenarioTest, AWallClockThatJumpsMovesNoJob) {
  for (const Duration jump :
       {Duration(3600s), Duration(-3600s), Duration(8760h), Duration(-8760h)}) {
    for (int number = 1; number <= 3; ++number) {
      Scenario s(QuietProfile(3));
      const int leader = s.WaitForLeader();
      s.world.Run(200ms);
      SimNode& node = s.world.node(number);
      node.JumpWall(jump);
      const Duration first = TimeOfDelayedJob(&s, leader, "a");
      EXPECT_GE(first, kDelayMin) << node.name() << " by " << jump / 1s << " s; leader " << leader;
      EXPECT_LE(first, 2100ms) << node.name() << " by " << jump / 1s << " s; leader " << leader;
      // The same with one of the other members down, and under another leader.
      s.world.node(number % 3 + 1).Die(Death::kKill, "test");
      const int next = s.WaitForLeader();
      ASSERT_NE(next, 0);
      const Duration second = TimeOfDelayedJob(&s, next, "b");
      EXPECT_GE(second, kDelayMin) << node.name() << " by " << jump / 1s << " s; leader " << next;
      EXPECT_LE(second, 2100ms) << node.name() << " by " << jump / 1s << " s; leader " << next;
    }
  }
}

TEST(ScenarioTest, AWallClockThatJumpsEndsNoJob) {
  Scenario s(QuietProfile(3));
  const int leader = s.WaitForLeader();
  v1::EnqueueJobsRequest request = s.EnqueueRequest("a");
  queue::SetMs(NodeClock().WallMs(s.world.now() + 720h),
               request.mutable_jobs(0)->mutable_expire_time());
  ASSERT_TRUE(s.CallAndWait<queue::EnqueueCall>(leader, request)->ok());
  s.world.node(leader).JumpWall(8760h);
  ASSERT_EQ(s.Enqueue(leader, "b"), "OK");
  s.world.Run(3s);
  EXPECT_EQ(s.StateOf(leader, "a"), v1::JOB_STATE_READY);
}

// The time in the log stands still while the cluster does. A leader after a restart of all takes up
// the clocks of a majority.
TEST(ScenarioTest, ADelayGoesOnWhileAllNodesAreDown) {
  Scenario s(QuietProfile(3));
  const int leader = s.WaitForLeader();
  v1::EnqueueJobsRequest request = s.EnqueueRequest("a");
  request.mutable_jobs(0)->mutable_delay()->set_seconds(60);
  ASSERT_TRUE(s.CallAndWait<queue::EnqueueCall>(leader, request)->ok());
  for (int i = 1; i <= 3; ++i) s.world.node(i).Die(Death::kPowerLoss, "test");
  s.world.Run(60s);
  s.world.node(1).JumpWall(-8760h);
  for (int i = 1; i <= 3; ++i) s.world.node(i).Boot();
  const int next = s.WaitForLeader();
  ASSERT_NE(next, 0);
  EXPECT_THAT(s.Lease(next, "w", 1, 2s), SizeIs(1));
}

// ---- Disks

TEST(ScenarioTest, AWipedDiskHasNoVote) {
  Scenario s(QuietProfile(3));
  const int leader = s.WaitForLeader();
  ASSERT_EQ(s.Enqueue(leader, "a"), "OK");
  ASSERT_TRUE(s.WaitUntilAllApplied());
  s.world.Run(1s);
  const std::vector<int> others = Others(s.world, leader);
  ASSERT_TRUE(s.world.node(others[0]).HasBoundIncarnation(s.world.node(others[1])));
  // The leader and one follower commit "b" while the other follower is down. Then the first
  // follower's disk is wiped.
  s.world.node(others[0]).Die(Death::kKill, "test");
  ASSERT_EQ(s.Enqueue(leader, "b"), "OK");
  s.world.node(others[1]).Die(Death::kKill, "test");
  s.world.node(others[1]).Wipe();
  s.world.node(leader).Die(Death::kKill, "test");
  s.world.node(others[0]).Boot();
  s.world.node(others[1]).Boot();
  s.world.Run(20s);
  EXPECT_EQ(s.world.Leader(), 0) << "the wiped node voted, and \"b\" is lost";
  s.world.node(leader).Boot();
  const int next = s.WaitForLeader();
  ASSERT_NE(next, 0);
  EXPECT_EQ(s.StateOf(next, "b"), v1::JOB_STATE_READY);
}

TEST(ScenarioTest, AFarBehindFollowerGetsASnapshot) {
  Profile profile = QuietProfile(3);
  profile.node.snapshot_log_bytes = 4 << 10;
  profile.node.trailing_log_bytes = 0;
  Scenario s(profile);
  const int leader = s.WaitForLeader();
  const int follower = Others(s.world, leader).front();
  s.world.Isolate(follower);
  for (int i = 0; i < 150; ++i) ASSERT_EQ(s.Enqueue(leader, "job-" + std::to_string(i)), "OK");
  ASSERT_GT(s.world.node(leader).node().raft().GetView().first_index.value(), 50u);
  s.world.network().HealAll();
  ASSERT_TRUE(s.WaitUntilAllApplied());
  EXPECT_GE(s.world.ledger().restores(), 1u);
  s.world.answers().CompareAll(s.world.node(follower));
  // The follower can become leader with the installed state.
  s.world.node(leader).Die(Death::kPowerLoss, "test");
  const int next = s.WaitForOtherLeader(leader);
  EXPECT_THAT(s.Lease(next, "w", 200), SizeIs(150));
}

TEST(ScenarioTest, ASnapshotTransferGoesOnAfterTheReceiverCrashes) {
  Profile profile = QuietProfile(3);
  profile.node.snapshot_log_bytes = 4 << 10;
  profile.node.trailing_log_bytes = 0;
  profile.node.snapshot_chunk_bytes = 500;
  Scenario s(profile);
  const int leader = s.WaitForLeader();
  const int follower = Others(s.world, leader).front();
  s.world.Isolate(follower);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(s.Enqueue(leader, "job-" + std::to_string(i)), "OK");
  s.world.network().HealAll();
  for (int i = 0; i < 20; ++i) {
    s.world.Run(13ms);
    s.world.node(follower).Die(i % 2 == 0 ? Death::kPowerLoss : Death::kKill, "test");
    s.world.node(follower).Boot();
  }
  EXPECT_TRUE(s.WaitUntilAllApplied());
}

TEST(ScenarioTest, FullDisksRefuseNewJobsAndLetOldOnesFinish) {
  Scenario s(QuietProfile(3));
  int leader = s.WaitForLeader();
  for (int i = 0; i < 5; ++i) ASSERT_EQ(s.Enqueue(leader, "job-" + std::to_string(i)), "OK");
  for (int i = 1; i <= 3; ++i) {
    s.world.node(i).SetDiskCapacity(s.world.node(i).disk().UsedBytes() + 1000);
  }
  s.world.Run(2s);
  leader = s.WaitForLeader();  // the first node with a full disk has handed over
  const raft::Term term = s.Term(leader);
  s.world.Run(5s);
  EXPECT_EQ(s.Term(leader), term) << "no transfer when all disks are full";
  EXPECT_EQ(s.Enqueue(leader, "more"), "DISK_LOW");
  const std::vector<v1::Job> jobs = s.Lease(leader, "w", 5);
  ASSERT_THAT(jobs, SizeIs(5));
  for (const v1::Job& job : jobs) EXPECT_EQ(s.Complete(leader, job), "OK");
  for (int i = 1; i <= 3; ++i) s.world.node(i).SetDiskCapacity(UINT64_MAX);
  s.world.Run(2s);
  EXPECT_EQ(s.Enqueue(leader, "more"), "OK") << "no restart is needed";
}

TEST(ScenarioTest, OneFullDiskDoesNotRefuseJobs) {
  Scenario s(QuietProfile(3));
  const int leader = s.WaitForLeader();
  const int follower = Others(s.world, leader).front();
  s.world.node(follower).SetDiskCapacity(s.world.node(follower).disk().UsedBytes() + 1000);
  s.world.Run(2s);
  EXPECT_EQ(s.Enqueue(leader, "a"), "OK");
}

TEST(ScenarioTest, AFailedSyncEndsTheProcess) {
  Scenario s(QuietProfile(3));
  const int leader = s.WaitForLeader();
  ASSERT_EQ(s.Enqueue(leader, "a"), "OK");
  s.world.node(leader).FailDisk(storage::DiskOp::kSync, 1);
  EXPECT_NE(s.Enqueue(leader, "b", 500ms), "UNREACHABLE");
  EXPECT_FALSE(s.world.node(leader).up());
  const int next = s.WaitForOtherLeader(leader);
  ASSERT_NE(next, 0);
  s.world.node(leader).Boot();
  ASSERT_TRUE(s.WaitUntilAllApplied());
  EXPECT_EQ(s.StateOf(next, "a"), v1::JOB_STATE_READY);
}

TEST(ScenarioTest, ADamagedLogIsRefused) {
  Scenario s(QuietProfile(3));
  const int leader = s.WaitForLeader();
  for (int i = 0; i < 30; ++i) ASSERT_EQ(s.Enqueue(leader, "job-" + std::to_string(i)), "OK");
  const int victim = Others(s.world, leader).front();
  s.world.node(victim).Die(Death::kPowerLoss, "test");
  s.world.node(victim).FlipRandomBit();
  s.world.node(victim).Boot();
  EXPECT_TRUE(s.world.node(victim).broken());
  EXPECT_EQ(s.Enqueue(leader, "more"), "OK") << "two of three are enough";
}

// ---- Figures of the Raft paper, on the whole stack

// Raft paper, figure 8: an entry of an earlier term is not committed by being on a majority under a
// later leader. It may still be replaced.
TEST(ScenarioTest, Figure8) {
  Profile profile = QuietProfile(5);
  profile.node.raft.max_append_entries = 1;
  profile.network.disconnect_notice = 0;
  Scenario s(profile, 3);
  const int s1 = s.WaitForLeader();
  ASSERT_TRUE(s.WaitUntilAllApplied());
  s.world.Run(500ms);
  const std::vector<int> others = Others(s.world, s1);
  const int s2 = others[0], s3 = others[1], s4 = others[2], s5 = others[3];
  Network& network = s.world.network();
  const auto cut_all = [&] {
    for (int i = 1; i <= 5; ++i) s.world.Isolate(i);
  };
  const auto join = [&](int a, int b) {
    network.Heal(a, b);
    network.Heal(b, a);
  };
  // (a) s1 replicates the job only to s2.
  cut_all();
  join(s1, s2);
  const uint64_t at = s.world.node(s1).node().raft().GetView().last_index.value() + 1;
  s.Enqueue(s1, "old", 50ms);
  ASSERT_GE(s.world.node(s2).node().raft().GetView().last_index.value(), at);
  // (b) s1 dies. s5 is elected with the votes of s3 and s4, which are not connected to each other.
  // Its no-op reaches no other node.
  s.world.node(s1).Die(Death::kKill, "test");
  cut_all();
  join(s5, s3);
  join(s5, s4);
  const auto leads = [&](int number) {
    return [&s, number] {
      return s.world.node(number).up() &&
             s.world.node(number).node().raft().status().role == raft::Role::kLeader;
    };
  };
  ASSERT_TRUE(s.world.RunUntil(leads(s5), 20s));
  cut_all();
  s.world.Run(1ms);
  s.world.RunUntil(
      [&] { return s.world.node(s5).node().raft().GetView().durable_index.value() >= at; }, 1s);
  s.world.node(s5).Die(Death::kKill, "test");
  // (c) s1 is elected again with s2 and s3. The old entry reaches s3; no newer entry does.
  s.world.node(s1).Boot();
  cut_all();
  join(s1, s2);
  join(s1, s3);
  ASSERT_TRUE(s.world.RunUntil(leads(s1), 20s));
  const bool reached = s.world.RunUntil(
      [&] { return s.world.node(s3).node().raft().GetView().durable_index.value() >= at; }, 5s);
  ASSERT_TRUE(reached);
  EXPECT_EQ(s.world.jobs().Find("old"), nullptr) << "committed by counting";
  // (d) s1 dies; s5 has the newer term at this index and wins with s3 and s4.
  s.world.node(s1).Die(Death::kKill, "test");
  s.world.node(s5).Boot();
  cut_all();
  join(s5, s4);
  join(s5, s3);
  s.world.RunUntil(leads(s5), 20s);
  network.HealAll();
  s.world.node(s1).Boot();
  ASSERT_TRUE(s.WaitUntilAllApplied());
  EXPECT_EQ(s.Enqueue(s.world.Leader(), "new"), "OK");
}

// Raft paper, figure 7: a follower removes the entries that conflict with the leader's log.
TEST(ScenarioTest, DivergentTailsAreReplaced) {
  Scenario s(QuietProfile(5), 4);
  for (int round = 0; round < 6; ++round) {
    const int leader = s.WaitForLeader();
    ASSERT_NE(leader, 0);
    ASSERT_EQ(s.Enqueue(leader, "kept-" + std::to_string(round)), "OK");
    // The isolated leader appends entries that no other node receives.
    s.world.Isolate(leader);
    for (int i = 0; i < 3; ++i) {
      s.client.CallNode<queue::EnqueueCall>(
          leader, s.EnqueueRequest("lost-" + std::to_string(round) + "-" + std::to_string(i)), 1s,
          [](auto) {});
      s.world.Run(5ms);
    }
    ASSERT_NE(s.WaitForOtherLeader(leader), 0);
    s.world.network().HealAll();
    ASSERT_TRUE(s.WaitUntilAllApplied());
  }
  EXPECT_THAT(s.Lease(s.WaitForLeader(), "w", 100), SizeIs(6));
}

TEST(ScenarioTest, AClusterOfOneNode) {
  Scenario s(QuietProfile(1));
  ASSERT_EQ(s.WaitForLeader(), 1);
  ASSERT_EQ(s.Enqueue(1, "a"), "OK");
  ASSERT_EQ(s.Enqueue(1, "a"), "DUPLICATE_JOB");
  std::vector<v1::Job> jobs = s.Lease(1, "w");
  ASSERT_THAT(jobs, SizeIs(1));
  s.world.node(1).Die(Death::kPowerLoss, "test");
  s.world.node(1).Boot();
  ASSERT_EQ(s.WaitForLeader(), 1);
  EXPECT_EQ(s.Complete(1, jobs[0]), "OK");
  EXPECT_EQ(s.StateOf(1, "a"), v1::JOB_STATE_SUCCEEDED);
}

TEST(ScenarioTest, ACrashBetweenAnyTwoDiskOperations) {
  for (uint64_t mutations = 0; mutations < 40; ++mutations) {
    Profile profile = QuietProfile(1);
    profile.node.snapshot_log_bytes = 1 << 10;
    Scenario s(profile, 100 + mutations);
    ASSERT_EQ(s.WaitForLeader(), 1);
    s.world.node(1).StopDiskAfter(mutations);
    std::vector<std::string> acknowledged;
    for (int i = 0; i < 60 && s.world.node(1).up(); ++i) {
      const std::string id = "job-" + std::to_string(i);
      if (s.Enqueue(1, id, 300ms) == "OK") acknowledged.push_back(id);
    }
    ASSERT_FALSE(s.world.node(1).up()) << mutations;
    s.world.node(1).Boot();
    ASSERT_EQ(s.WaitForLeader(), 1) << mutations;
    for (const std::string& id : acknowledged) {
      EXPECT_EQ(s.StateOf(1, id), v1::JOB_STATE_READY) << id << " " << mutations;
    }
  }
}

// A node is deaf while it is in a turn of its loop. Calls at their limits must not make it deaf for
// so long that it is deposed; the rule "turn" also holds.
TEST(ScenarioTest, CallsAtTheirLimitsDoNotDeposeTheLeader) {
  Scenario s(QuietProfile(3));
  const int leader = s.WaitForLeader();
  ASSERT_NE(leader, 0);
  const raft::Term term = s.Term(leader);
  for (int call = 0; call < 3; ++call) {
    v1::EnqueueJobsRequest request;
    for (int i = 0; i < 3000; ++i) {
      v1::JobSpec* job = request.add_jobs();
      *job = s.EnqueueRequest("job-" + std::to_string(call) + "-" + std::to_string(i)).jobs(0);
      for (int h = 0; h < 20; ++h) (*job->mutable_headers())["h" + std::to_string(h)] = "v";
      job->mutable_retention()->set_seconds(1);
    }
    const auto enqueued = s.CallAndWait<queue::EnqueueCall>(leader, request, 20s);
    ASSERT_TRUE(enqueued && enqueued->ok());
  }
  v1::ListJobsRequest list;
  list.set_page_size(1000);
  list.set_full(true);
  const auto page = s.CallAndWait<queue::ListCall>(leader, list, 20s);
  ASSERT_TRUE(page && page->ok());
  EXPECT_THAT(page->value.jobs(), SizeIs(1000));
  v1::CancelJobsRequest cancel;
  for (int i = 0; i < 3000; ++i) cancel.add_ids("job-0-" + std::to_string(i));
  ASSERT_TRUE(s.CallAndWait<queue::CancelCall>(leader, cancel, 20s));
  s.world.Run(5s);  // they are forgotten
  EXPECT_EQ(s.Term(leader), term);
  EXPECT_EQ(s.WaitForLeader(), leader);
  EXPECT_TRUE(s.WaitUntilAllApplied());
}

}  // namespace
}  // namespace dqueue::sim
