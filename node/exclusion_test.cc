// Members that are not part of their cluster any more: they must say so, and must not help to elect
// a leader that lacks acknowledged jobs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "node/testing/node_cluster.h"

namespace dqueue::node {
namespace {

using namespace std::chrono_literals;
using test::Cluster;
using test::Machine;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Names of a cluster of three: the leader, and the two others.
struct Roles {
  std::string leader, a, b;
};
Roles RolesOf(Cluster& cluster) {
  Roles roles;
  roles.leader = cluster.WaitForLeader();
  for (const std::string& name : cluster.names()) {
    if (name == roles.leader) continue;
    (roles.a.empty() ? roles.a : roles.b) = name;
  }
  return roles;
}

void Wipe(Cluster& cluster, const std::string& name) {
  cluster.Crash(name);
  cluster.machine(name).storage = std::make_unique<storage::FaultFileSystem>();
}

std::string Excluded(Cluster& cluster, const std::string& name) {
  return cluster.Metrics(name).view.excluded;
}

int Lost(Cluster& cluster, const std::string& node, const std::vector<std::string>& ids) {
  int lost = 0;
  for (const std::string& id : ids) {
    v1::GetJobRequest get;
    get.set_id(id);
    auto job = cluster.Ask<queue::GetCall>(node, get);
    if (!job || !job->ok()) ++lost;
  }
  return lost;
}

TEST(Exclusion, AWipedMemberSaysThatItIsNotPartOfTheCluster) {
  Cluster cluster(3);
  const Roles roles = RolesOf(cluster);
  ASSERT_NE(cluster.Enqueue(roles.leader, "p"), "");
  cluster.Run(200ms);
  Wipe(cluster, roles.a);
  ASSERT_TRUE(cluster.Start(roles.a).ok());
  std::string published;
  const StatusWatch watch = cluster.node(roles.a).Watch(
      [&published](const NodeStatus& status) { published = status.excluded; });
  cluster.Run(3s);
  const std::string why = Excluded(cluster, roles.a);
  EXPECT_THAT(why, HasSubstr("this node is not part of the cluster: member " + roles.leader +
                             " knows this node with another data directory"));
  EXPECT_EQ(published, why);
  // Both sides log it, once and not for each message.
  EXPECT_THAT(cluster.machine(roles.a).warnings, testing::ElementsAre(why));
  EXPECT_THAT(cluster.machine(roles.leader).warnings,
              testing::ElementsAre(HasSubstr("messages of member " + roles.a + " are refused")));
  EXPECT_GT(cluster.Metrics(roles.leader).view.raft.refused_messages[1], 0u);
  // The others serve, and say nothing of the kind of themselves.
  EXPECT_NE(cluster.Enqueue(cluster.WaitForLeader(), "q"), "");
  EXPECT_EQ(Excluded(cluster, roles.leader), "");
  EXPECT_EQ(Excluded(cluster, roles.b), "");
}

TEST(Exclusion, AMemberOfAnotherClusterSaysSo) {
  Cluster cluster(3);
  const Roles roles = RolesOf(cluster);
  Wipe(cluster, roles.a);
  cluster.port = ":2";  // another spelling of the addresses makes another cluster id
  ASSERT_TRUE(cluster.Start(roles.a).ok());
  cluster.Run(3s);
  EXPECT_THAT(Excluded(cluster, roles.a), HasSubstr("belongs to the cluster "));
  EXPECT_THAT(cluster.machine(roles.a).warnings,
              Contains(HasSubstr("this node is not part of the cluster")));
  EXPECT_THAT(cluster.machine(roles.leader).warnings,
              Contains(HasSubstr("its data directory belongs to another cluster")));
  EXPECT_GT(cluster.Metrics(roles.leader).view.raft.refused_messages[0], 0u);
  // With the right addresses and an empty directory it is the wiped member of before.
  Wipe(cluster, roles.a);
  cluster.port = ":1";
  ASSERT_TRUE(cluster.Start(roles.a).ok());
  cluster.Run(3s);
  EXPECT_THAT(Excluded(cluster, roles.a), HasSubstr("another data directory"));
}

TEST(Exclusion, AMemberThatStartsLateJoins) {
  Cluster cluster(3, /*started=*/2);
  ASSERT_NE(cluster.Enqueue(cluster.WaitForLeader(), "p"), "");
  ASSERT_TRUE(cluster.Start("n3").ok());
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.node("n3").state().job_count() == 1; }));
  EXPECT_EQ(Excluded(cluster, "n3"), "");
  // Once it is bound, it is as good as the others.
  cluster.Run(1s);
  const std::string leader = cluster.WaitForLeader();
  if (leader != "n3") cluster.Crash(leader);
  EXPECT_NE(cluster.WaitForLeader(), "");
}

// Two of three disks are wiped at once. They are a majority, but of nothing that was acknowledged.
TEST(Exclusion, TwoWipedDisksFormNoRivalCluster) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    Cluster cluster(3);
    cluster.seed = seed;
    const Roles roles = RolesOf(cluster);
    for (int i = 0; i < 10; ++i) ASSERT_NE(cluster.Enqueue(roles.leader, "p"), "");
    cluster.Run(1s);
    Wipe(cluster, roles.a);
    Wipe(cluster, roles.b);
    ASSERT_TRUE(cluster.Start(roles.a).ok());
    ASSERT_TRUE(cluster.Start(roles.b).ok());
    cluster.Run(5s);
    const std::string next = cluster.Leader();
    EXPECT_TRUE(next.empty() || next == roles.leader) << seed << ": " << next << " leads nothing";
    EXPECT_EQ(cluster.node(roles.leader).state().job_count(), 10u) << seed;
    EXPECT_NE(Excluded(cluster, roles.a), "") << seed;
    EXPECT_NE(Excluded(cluster, roles.b), "") << seed;
  }
}

// A follower's directory is replaced by a copy of some time ago while the leader lives.
TEST(Exclusion, AnOlderCopyIsNoticedByTheLeadersHeartbeat) {
  Cluster cluster(3);
  const Roles roles = RolesOf(cluster);
  for (int i = 0; i < 5; ++i) ASSERT_NE(cluster.Enqueue(roles.leader, "old"), "");
  cluster.Run(200ms);
  Machine& machine = cluster.machine(roles.a);
  auto copy = machine.disk().Clone();
  for (int i = 0; i < 5; ++i) ASSERT_NE(cluster.Enqueue(roles.leader, "new"), "");
  cluster.Run(200ms);
  cluster.Crash(roles.a);
  machine.storage = std::move(copy);
  ASSERT_TRUE(cluster.Start(roles.a).ok());
  ASSERT_TRUE(cluster.RunUntil([&] { return !machine.fatal.ok(); })) << "it stays silent";
  EXPECT_EQ(machine.fatal.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(machine.fatal.message()),
              HasSubstr("data directory /data is older than what this node has promised"));
  // Each later start refuses at once.
  const absl::Status fatal = machine.fatal;
  machine.node.reset();
  machine.disk().CrashKeeping(false);
  EXPECT_EQ(cluster.Start(roles.a), fatal);
  EXPECT_NE(cluster.Enqueue(cluster.WaitForLeader(), "more"), "");
}

// A leader and a follower commit while the third member is cut off. Then the leader dies, and the
// follower's directory is replaced by an older copy. Its vote would elect the third member, which
// lacks the jobs. But that one remembers a later start of the follower.
TEST(Exclusion, AnOlderCopyDoesNotElectALeaderThatLacksJobs) {
  Cluster cluster(3);
  const Roles roles = RolesOf(cluster);
  const std::string& stale = roles.leader;
  Machine& machine = cluster.machine(roles.a);
  ASSERT_NE(cluster.Enqueue(stale, "old"), "");
  cluster.Run(200ms);
  machine.node.reset();
  auto copy = machine.disk().Clone();
  ASSERT_TRUE(cluster.Start(roles.a).ok());
  cluster.Run(500ms);
  bool moved = false;
  cluster.node(stale).TransferLeadership(
      roles.b, [&moved](queue::Outcome<std::string> outcome) { moved = outcome.ok(); });
  ASSERT_TRUE(cluster.RunUntil([&] { return moved && cluster.Leader() == roles.b; }));
  cluster.machine(stale).cut = true;
  std::vector<std::string> ids;
  for (int i = 0; i < 20; ++i) {
    ids.push_back(cluster.Enqueue(roles.b, "new"));
    ASSERT_NE(ids.back(), "");
  }
  cluster.Crash(roles.b);
  cluster.Crash(roles.a);
  machine.storage = std::move(copy);
  cluster.machine(stale).cut = false;
  ASSERT_TRUE(cluster.Start(roles.a).ok());
  cluster.Run(5s);
  EXPECT_EQ(cluster.Leader(), "") << "elected by a disk that went back in time";
  EXPECT_EQ(machine.fatal.code(), absl::StatusCode::kDataLoss) << machine.fatal;
  EXPECT_THAT(std::string(machine.fatal.message()), HasSubstr("member " + stale + " remembers"));
  // The former leader has the jobs.
  machine.node.reset();
  ASSERT_TRUE(cluster.Start(roles.b).ok());
  EXPECT_EQ(Lost(cluster, cluster.WaitForLeader(), ids), 0);
}

// A snapshot that rotted on the leader's disk is not offered for ever.
TEST(Exclusion, ADamagedSnapshotIsReplacedAndTheFollowerCatchesUp) {
  Cluster cluster(3);
  cluster.snapshot_log_bytes = 64 << 10;
  for (const std::string& name : cluster.names()) {
    cluster.Crash(name);
    ASSERT_TRUE(cluster.Start(name).ok());
  }
  const Roles roles = RolesOf(cluster);
  cluster.Crash(roles.a);
  for (int i = 0; i < 300; ++i) {
    ASSERT_NE(cluster.Enqueue(cluster.WaitForLeader(), std::string(1000, 'x')), "");
  }
  const std::string leader = cluster.Leader();
  ASSERT_TRUE(cluster.RunUntil(
      [&] { return cluster.node(leader).raft().GetView().first_index > raft::Index(100); }));
  storage::FaultFileSystem& disk = cluster.machine(leader).disk();
  for (const std::string& path : disk.Paths()) {
    if (path.ends_with(".data")) disk.FlipBit(path, 8 * 100);
  }
  ASSERT_TRUE(cluster.Start(roles.a).ok());
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.node(roles.a).state().job_count() == 300; }));
  EXPECT_GE(cluster.Metrics(leader).snapshots_damaged, 1u);
  EXPECT_THAT(cluster.machine(leader).warnings,
              Contains(testing::AllOf(HasSubstr(".data: checksum mismatch"),
                                      HasSubstr("is damaged and is replaced by a new one"))));
}

// ---- Disks that are low on space

// Jobs are enqueued until the disk is low, then all are drained. The node must become usable again
// by itself, although the log is below the size that triggers a snapshot.
TEST(LowDisk, IsCompactedAndRecoversWhenTheJobsAreDrained) {
  Cluster cluster(1);
  const std::string node = cluster.WaitForLeader();
  storage::FaultFileSystem& disk = cluster.machine(node).disk();
  disk.SetCapacity(6 << 20);  // reserve: 1 MiB; segments of 256 KiB
  std::vector<std::string> ids;
  while (ids.size() < 1000) {
    const std::string id = cluster.Enqueue(node, std::string(20 << 10, 'x'));
    if (id.empty()) break;
    ids.push_back(id);
    cluster.Run(10ms);
  }
  ASSERT_LT(ids.size(), 1000u);
  ASSERT_TRUE(cluster.RunUntil([&] { return !cluster.machine(node).warnings.empty(); }));
  EXPECT_THAT(cluster.machine(node).warnings.front(),
              testing::AllOf(HasSubstr("low disk space: "), HasSubstr("1048576 (--reserve-bytes)"),
                             HasSubstr("the log is compacted")));
  for (const std::string& id : ids) {
    v1::DeleteJobsRequest request;
    request.add_ids(id);
    auto deleted = cluster.Ask<queue::DeleteCall>(node, request);
    ASSERT_TRUE(deleted && deleted->ok()) << (deleted ? deleted->error.message : "no answer");
  }
  // Less is free than a segment of the log: a snapshot of the little state that is left must fit.
  disk.SetCapacity(disk.UsedBytes() + (128 << 10));
  for (int i = 0; i < 60 && cluster.Enqueue(node, "again").empty(); ++i) cluster.Run(1s);
  EXPECT_NE(cluster.Enqueue(node, "again"), "") << disk.UsedBytes() << " bytes used";
  EXPECT_GE(cluster.Metrics(node).snapshots_written, 1u);
  EXPECT_THAT(cluster.machine(node).lines, Contains(HasSubstr("enough disk space again")));
  EXPECT_TRUE(cluster.machine(node).fatal.ok()) << cluster.machine(node).fatal;
  // The compacted state survives a restart.
  cluster.Crash(node);
  ASSERT_TRUE(cluster.Start(node).ok());
  EXPECT_NE(cluster.Enqueue(cluster.WaitForLeader(), "after"), "");
}

}  // namespace
}  // namespace dqueue::node
