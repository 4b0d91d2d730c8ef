// Whole nodes in virtual time (node/testing/node_cluster.h).
#include "node/node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "node/testing/node_cluster.h"

namespace dqueue::node {
namespace {

using namespace std::chrono_literals;
using test::Cluster;
using test::Machine;

v1::LeaseJobsRequest LeaseOne() {
  v1::LeaseJobsRequest request;
  request.set_worker_id("w");
  request.set_max_jobs(1);
  return request;
}

void RunOneJobThrough(Cluster& cluster) {
  const std::string leader = cluster.WaitForLeader();
  ASSERT_FALSE(leader.empty());
  const std::string id = cluster.Enqueue(leader, "hello");
  ASSERT_FALSE(id.empty());

  auto leased = cluster.Ask<queue::LeaseCall>(leader, LeaseOne());
  ASSERT_TRUE(leased && leased->ok()) << (leased ? leased->error.message : "no answer");
  ASSERT_EQ(leased->value.jobs_size(), 1);
  EXPECT_EQ(leased->value.jobs(0).id(), id);
  EXPECT_EQ(leased->value.jobs(0).payload(), "hello");

  v1::CompleteJobsRequest complete;
  auto* item = complete.add_items();
  item->set_id(id);
  *item->mutable_token() = leased->value.jobs(0).lease().token();
  item->set_result("done");
  auto completed = cluster.Ask<queue::CompleteCall>(leader, complete);
  ASSERT_TRUE(completed && completed->ok());
  EXPECT_EQ(completed->value.results(0).code(), 0) << completed->value.results(0).message();

  v1::GetJobRequest get;
  get.set_id(id);
  auto job = cluster.Ask<queue::GetCall>(leader, get);
  ASSERT_TRUE(job && job->ok());
  EXPECT_EQ(job->value.job().state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(job->value.job().result(), "done");
}

TEST(Node, OneNodeRunsAJobThrough) {
  Cluster cluster(1);
  RunOneJobThrough(cluster);
}

TEST(Node, ThreeNodesRunAJobThrough) {
  Cluster cluster(3);
  RunOneJobThrough(cluster);
  cluster.Run(200ms);
  for (const std::string& name : cluster.names()) {
    EXPECT_EQ(cluster.node(name).state().Digest(), cluster.node("n1").state().Digest());
    EXPECT_EQ(cluster.node(name).state().job_count(), 1u);
  }
}

// A member that runs an older program, or is not there, holds the level of the replicated state.
TEST(Node, TheLevelRisesWhenEveryMemberKnowsIt) {
  Cluster cluster(3, 3, {{"n3", 0}});
  ASSERT_NE(cluster.Enqueue(cluster.WaitForLeader(), "a"), "");
  cluster.Run(1s);
  for (const std::string& name : cluster.names()) {
    EXPECT_EQ(cluster.node(name).state().level(), 0u) << name;
  }
  cluster.Crash("n3");
  ASSERT_NE(cluster.Enqueue(cluster.WaitForLeader(), "b"), "");
  cluster.Run(1s);
  EXPECT_EQ(cluster.node(cluster.Leader()).state().level(), 0u) << "it may come back as it was";
  cluster.state_levels.clear();
  ASSERT_TRUE(cluster.Start("n3").ok());
  const auto risen = [&](const std::string& name) {
    return cluster.node(name).state().level() == queue::kStateLevelMax;
  };
  ASSERT_TRUE(cluster.RunUntil([&] {
    return std::all_of(cluster.names().begin(), cluster.names().end(), risen);
  })) << "without a call";
  EXPECT_EQ(cluster.node("n1").state().Digest(), cluster.node("n3").state().Digest());
}

TEST(Node, AnAcknowledgedJobSurvivesACrashOfTheLeader) {
  Cluster cluster(3);
  const std::string first = cluster.WaitForLeader();
  const std::string id = cluster.Enqueue(first, "precious");
  ASSERT_FALSE(id.empty());
  cluster.Crash(first);
  ASSERT_TRUE(cluster.RunUntil([&] { return !cluster.Leader().empty(); }));
  ASSERT_NE(cluster.Leader(), first);
  auto leased = cluster.Ask<queue::LeaseCall>(cluster.Leader(), LeaseOne());
  ASSERT_TRUE(leased && leased->ok());
  ASSERT_EQ(leased->value.jobs_size(), 1);
  EXPECT_EQ(leased->value.jobs(0).id(), id);
}

TEST(Node, AcknowledgedJobsSurviveAPowerCut) {
  Cluster cluster(3);
  std::vector<std::string> ids;
  for (int i = 0; i < 20; ++i) ids.push_back(cluster.Enqueue(cluster.WaitForLeader(), "p"));
  for (const std::string& name : cluster.names()) cluster.Crash(name);
  for (const std::string& name : cluster.names()) ASSERT_TRUE(cluster.Start(name).ok());
  const std::string leader = cluster.WaitForLeader();
  for (const std::string& id : ids) {
    v1::GetJobRequest get;
    get.set_id(id);
    auto job = cluster.Ask<queue::GetCall>(leader, get);
    ASSERT_TRUE(job && job->ok()) << id;
    EXPECT_EQ(job->value.job().state(), v1::JOB_STATE_READY);
  }
}

TEST(Node, RecoveryEndsWhenTheRecoveredLogIsApplied) {
  Cluster cluster(3);
  ASSERT_FALSE(cluster.Enqueue(cluster.WaitForLeader(), "hello").empty());
  cluster.Run(200ms);
  for (const std::string& name : cluster.names()) cluster.Crash(name);
  for (const std::string& name : cluster.names()) ASSERT_TRUE(cluster.Start(name).ok());
  const auto recovery = [&] {
    std::optional<Duration> time;
    cluster.node("n1").RequestMetrics(
        [&time](const NodeMetrics& metrics) { time = metrics.recovery_time; });
    cluster.Run(1ms);
    return time;
  };
  ASSERT_TRUE(cluster.RunUntil([&] { return recovery().has_value(); }));
  EXPECT_EQ(cluster.node("n1").state().job_count(), 1u);
  const auto first = recovery();
  cluster.Run(1s);
  EXPECT_EQ(recovery(), first) << "recovery ends once";
}

TEST(Node, AFollowerRefusesCallsAndNamesTheLeader) {
  Cluster cluster(3);
  const std::string leader = cluster.WaitForLeader();
  cluster.Run(200ms);
  for (const std::string& name : cluster.names()) {
    if (name == leader) continue;
    v1::EnqueueJobsRequest request;
    request.add_jobs();
    auto answer = cluster.Ask<queue::EnqueueCall>(name, request);
    ASSERT_TRUE(answer && !answer->ok());
    EXPECT_EQ(answer->error.reason, "NOT_LEADER");
    EXPECT_EQ(answer->error.metadata["leader_id"], leader);
    EXPECT_EQ(answer->error.metadata["leader_address"], leader + ":1");
  }
}

// Records each key table that a node publishes, once.
struct KeyWatch {
  std::vector<queue::KeyTablePtr> published;
  StatusWatch watch;
  void Begin(Node& node) {
    published.clear();
    watch = node.Watch([this](const NodeStatus& status) {
      if (published.empty() || published.back() != status.keys) published.push_back(status.keys);
    });
  }
  const queue::KeyRecord* Find(const std::string& id) const {
    return published.empty() ? nullptr : published.back()->Find(id);
  }
};

queue::CreateKeyOrder KeyOrder(char c) {
  queue::CreateKeyOrder order;
  order.key.id = "worker_" + std::string(12, c);
  order.key.digest.fill(static_cast<uint8_t>(c));
  order.key.name = "name";
  order.key.owner_id = "owner";
  order.key.type = v1::KEY_TYPE_WORKER;
  order.key.scopes = queue::DefaultScopes(order.key.type);
  return order;
}

TEST(Node, EachNodePublishesChangesOfKeys) {
  Cluster cluster(3);
  const std::string leader = cluster.WaitForLeader();
  std::map<std::string, KeyWatch> watches;
  for (const std::string& name : cluster.names()) watches[name].Begin(cluster.node(name));
  cluster.Run(10ms);
  for (const std::string& name : cluster.names()) {
    ASSERT_EQ(watches[name].published.size(), 1u) << "the current keys";
    EXPECT_TRUE(watches[name].published[0]->empty());
  }

  const std::string id = KeyOrder('a').key.id;
  bool published_before_answer = false;
  queue::CreateKeyCall create;
  create.request = KeyOrder('a');
  create.done = [&](const queue::Outcome<v1::Key>& outcome) {
    EXPECT_TRUE(outcome.ok()) << outcome.error.message;
    published_before_answer = watches[leader].Find(id) != nullptr;
  };
  cluster.node(leader).Submit(std::move(create));
  const auto all = [&](const auto& is_so) {
    return std::all_of(cluster.names().begin(), cluster.names().end(), is_so);
  };
  ASSERT_TRUE(cluster.RunUntil([&] {
    return all([&](const std::string& name) { return watches[name].Find(id) != nullptr; });
  }));
  EXPECT_TRUE(published_before_answer);

  ASSERT_TRUE(cluster.Ask<queue::UseKeysCall>(leader, {{id}})->ok());
  ASSERT_NE(cluster.Enqueue(leader, "job"), "");
  cluster.Run(500ms);
  for (const std::string& name : cluster.names()) EXPECT_EQ(watches[name].published.size(), 2u);

  ASSERT_TRUE(cluster.Ask<queue::RevokeKeyCall>(leader, {.id = id, .owner_id = ""})->ok());
  EXPECT_TRUE(watches[leader].Find(id)->revoked());
  EXPECT_TRUE(cluster.RunUntil([&] {
    return all([&](const std::string& name) { return watches[name].Find(id)->revoked(); });
  }));
}

TEST(Node, PublishesTheLeaderAndServing) {
  Cluster cluster(3);
  std::map<std::string, std::vector<NodeStatus>> published;
  std::vector<StatusWatch> watches;
  for (const std::string& name : cluster.names()) {
    watches.push_back(cluster.node(name).Watch(
        [&published, name](const NodeStatus& status) { published[name].push_back(status); }));
    ASSERT_EQ(published[name].size(), 1u) << "before the first turn";
    EXPECT_EQ(published[name][0].role, raft::Role::kFollower);
    EXPECT_EQ(published[name][0].leader_name, "");
    EXPECT_FALSE(published[name][0].serving);
    EXPECT_EQ(published[name][0].config->MemberIds().size(), 3u);
    EXPECT_TRUE(published[name][0].keys->empty());
  }
  const std::string leader = cluster.WaitForLeader();
  const auto all_know = [&](const std::string& wanted) {
    return std::all_of(cluster.names().begin(), cluster.names().end(), [&](const auto& name) {
      const NodeStatus& last = published[name].back();
      return last.leader_name == wanted && last.leader_address == wanted + ":1" &&
             last.serving == (name == wanted) &&
             (last.role == raft::Role::kLeader) == (name == wanted);
    });
  };
  ASSERT_TRUE(cluster.RunUntil([&] { return all_know(leader); }));
  const raft::Term term = published[leader].back().term;

  // The old leader publishes the new leader too.
  const std::string next = leader == "n1" ? "n2" : "n1";
  cluster.node(leader).TransferLeadership(next, [](const queue::Outcome<std::string>&) {});
  ASSERT_TRUE(cluster.RunUntil([&] { return all_know(next); }));
  EXPECT_GT(published[leader].back().term, term);
  for (const auto& [name, statuses] : published) {
    for (const NodeStatus& status : statuses) {
      EXPECT_TRUE(!status.serving || status.role == raft::Role::kLeader) << name;
    }
  }
}

// Restarts the nodes with a snapshot for each 64 KiB of log.
void TakeSnapshotsOften(Cluster* cluster) {
  cluster->snapshot_log_bytes = 64 << 10;
  for (const std::string& name : cluster->names()) {
    cluster->Crash(name);
    ASSERT_TRUE(cluster->Start(name).ok());
  }
}

TEST(Node, PublishesTheKeysOfAnInstalledSnapshot) {
  Cluster cluster(3);
  ASSERT_NO_FATAL_FAILURE(TakeSnapshotsOften(&cluster));
  const std::string leader = cluster.WaitForLeader();
  const std::string late = leader == "n1" ? "n2" : "n1";
  KeyWatch watch;
  watch.Begin(cluster.node(late));
  cluster.Run(100ms);
  cluster.machine(late).cut = true;
  ASSERT_TRUE(cluster.Ask<queue::CreateKeyCall>(leader, KeyOrder('a'))->ok());
  for (int i = 0; i < 400; ++i) ASSERT_NE(cluster.Enqueue(leader, std::string(1000, 'x')), "");
  ASSERT_TRUE(cluster.RunUntil(
      [&] { return cluster.node(leader).raft().GetView().first_index > raft::Index(100); }));
  EXPECT_TRUE(watch.published.back()->empty());
  cluster.machine(late).cut = false;
  const std::string id = KeyOrder('a').key.id;
  EXPECT_TRUE(cluster.RunUntil([&] { return watch.Find(id) != nullptr; }));
  EXPECT_GT(cluster.node(late).raft().GetView().snapshot_index, raft::Index(0));
  // The key is published after a restart too.
  cluster.Run(500ms);
  cluster.Crash(late);
  ASSERT_TRUE(cluster.Start(late).ok());
  watch.Begin(cluster.node(late));
  EXPECT_TRUE(cluster.RunUntil([&] { return watch.Find(id) != nullptr; }));
}

TEST(Node, ALateFollowerInstallsASnapshot) {
  Cluster cluster(3);
  ASSERT_NO_FATAL_FAILURE(TakeSnapshotsOften(&cluster));
  const std::string leader = cluster.WaitForLeader();
  const std::string late = leader == "n1" ? "n2" : "n1";
  cluster.Crash(late);
  for (int i = 0; i < 400; ++i)
    ASSERT_NE(cluster.Enqueue(cluster.WaitForLeader(), std::string(1000, 'x')), "");
  ASSERT_TRUE(cluster.RunUntil([&] {
    return cluster.node(cluster.Leader()).raft().GetView().first_index > raft::Index(100);
  })) << "the log was not compacted";
  ASSERT_TRUE(cluster.Start(late).ok());
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.node(late).state().job_count() == 400; }));
  EXPECT_GT(cluster.node(late).raft().GetView().snapshot_index, raft::Index(0));
  // The installed state survives a restart.
  cluster.Run(500ms);
  cluster.Crash(late);
  ASSERT_TRUE(cluster.Start(late).ok());
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.node(late).state().job_count() == 400; }));
}

// The follower has begun a local snapshot. Before it is written, a newer snapshot is received and
// being restored. The log no longer has the entries that the local snapshot would compact.
TEST(Node, ALocalSnapshotIsIgnoredWhileANewerOneIsRestored) {
  constexpr size_t kJobBytes = 30 << 10;
  Cluster cluster(3);
  cluster.snapshot_log_bytes = 48 * kJobBytes;  // about 12 pieces, of which 8 may wait
  cluster.trailing_log_bytes = 1;
  cluster.snapshot_chunk_bytes = 4 << 20;
  for (const std::string& name : cluster.names()) {
    cluster.Crash(name);
    ASSERT_TRUE(cluster.Start(name).ok());
  }
  const std::string leader = cluster.WaitForLeader();
  const std::string late = leader == "n1" ? "n2" : "n1";
  Machine& machine = cluster.machine(late);
  machine.snapshot_steps = 0;
  const auto enqueue = [&](int jobs) {
    for (int i = 0; i < jobs; ++i) {
      ASSERT_NE(cluster.Enqueue(cluster.WaitForLeader(), std::string(kJobBytes, 'x')), "");
    }
  };
  enqueue(50);
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.node(late).state().job_count() == 50; }));
  machine.cut = true;
  enqueue(70);
  const raft::Index last = cluster.node(late).raft().GetView().last_index;
  ASSERT_TRUE(cluster.RunUntil([&] {
    return cluster.node(cluster.Leader()).raft().GetView().first_index > last.Next();
  })) << "the log was not compacted";
  machine.cut = false;
  cluster.Run(500ms);  // received chunks wait behind the pieces to write
  machine.snapshot_steps = 1;
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.node(late).state().job_count() == 120; }));
  EXPECT_TRUE(machine.fatal.ok()) << machine.fatal;
  enqueue(5);
  cluster.Run(500ms);
  EXPECT_EQ(cluster.node(late).state().Digest(), cluster.node(cluster.Leader()).state().Digest());
  cluster.Crash(late);
  ASSERT_TRUE(cluster.Start(late).ok());
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.node(late).state().job_count() == 125; }));
}

TEST(Node, AStorageErrorIsFatal) {
  Cluster cluster(1);
  const std::string id = cluster.Enqueue(cluster.WaitForLeader(), "one");
  ASSERT_FALSE(id.empty());
  cluster.machine("n1").disk().FailNth(storage::DiskOp::kSync, 1, absl::InternalError("EIO"));
  v1::EnqueueJobsRequest request;
  request.add_jobs();
  bool answered = false;
  queue::EnqueueCall call;
  call.request = request;
  call.done = [&](queue::Outcome<v1::EnqueueJobsResponse> outcome) { answered = outcome.ok(); };
  cluster.node("n1").Submit(std::move(call));
  cluster.Run(100ms);
  EXPECT_FALSE(cluster.machine("n1").fatal.ok());
  EXPECT_FALSE(answered) << "acknowledged after its sync failed";
  cluster.Crash("n1");
  ASSERT_TRUE(cluster.Start("n1").ok());
  cluster.WaitForLeader();
  v1::GetJobRequest get;
  get.set_id(id);
  auto job = cluster.Ask<queue::GetCall>("n1", get);
  EXPECT_TRUE(job && job->ok());
}

TEST(Node, WithAFullDiskJobsAreRefusedAndCompleted) {
  Cluster cluster(1);
  const std::string leader = cluster.WaitForLeader();
  const std::string id = cluster.Enqueue(leader, "before");
  auto leased = cluster.Ask<queue::LeaseCall>(leader, LeaseOne());
  ASSERT_TRUE(leased && leased->ok() && leased->value.jobs_size() == 1);
  auto& disk = cluster.machine("n1").disk();
  disk.SetCapacity(disk.UsedBytes() + 1000);
  cluster.Run(1200ms);
  v1::EnqueueJobsRequest request;
  request.add_jobs();
  auto refused = cluster.Ask<queue::EnqueueCall>(leader, request);
  ASSERT_TRUE(refused && !refused->ok());
  EXPECT_EQ(refused->error.reason, "DISK_LOW");
  EXPECT_EQ(refused->error.code, absl::StatusCode::kResourceExhausted);
  v1::CompleteJobsRequest complete;
  auto* item = complete.add_items();
  item->set_id(id);
  *item->mutable_token() = leased->value.jobs(0).lease().token();
  auto completed = cluster.Ask<queue::CompleteCall>(leader, complete);
  ASSERT_TRUE(completed && completed->ok());
  EXPECT_EQ(completed->value.results(0).code(), 0);
  disk.SetCapacity(UINT64_MAX);
  cluster.Run(1200ms);
  EXPECT_NE(cluster.Enqueue(leader, "after"), "");
}

// Enqueues large jobs until one is refused; its reason. *ids: of the others.
std::string FillMemory(Cluster& cluster, const std::string& node, std::vector<std::string>* ids,
                       queue::Error* error = nullptr) {
  for (int i = 0; i < 200; ++i) {
    v1::EnqueueJobsRequest request;
    request.add_jobs()->set_payload(std::string(60000, 'x'));
    auto answer = cluster.Ask<queue::EnqueueCall>(node, request);
    if (!answer) return "no answer";
    if (!answer->ok()) {
      if (error != nullptr) *error = answer->error;
      return answer->error.reason;
    }
    ids->push_back(answer->value.results(0).id());
  }
  return "never";
}

NodeMetrics MetricsOf(Cluster& cluster, const std::string& name) {
  std::optional<NodeMetrics> out;
  cluster.node(name).RequestMetrics([&out](const NodeMetrics& metrics) { out = metrics; });
  cluster.Run(1ms);
  return out ? *out : NodeMetrics();
}

TEST(Node, WithLowMemoryJobsAreRefusedAndCompleted) {
  Cluster cluster(1);
  cluster.memory_limits["n1"] = 4 << 20;
  cluster.Crash("n1");
  ASSERT_TRUE(cluster.Start("n1").ok());
  cluster.WaitForLeader();
  std::vector<std::string> ids;
  queue::Error error;
  EXPECT_EQ(FillMemory(cluster, "n1", &ids, &error), "MEMORY_LOW");
  EXPECT_EQ(error.code, absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(error.metadata["limit"], "4194304");
  EXPECT_GT(ids.size(), 25u);
  EXPECT_LT(ids.size(), 45u);
  NodeMetrics metrics = MetricsOf(cluster, "n1");
  EXPECT_TRUE(metrics.view.raft.low_memory);
  EXPECT_EQ(metrics.memory.limit, 4u << 20);
  EXPECT_GT(metrics.memory.counted(), (4u << 20) * 55 / 100);
  EXPECT_LT(metrics.memory.counted(), (4u << 20) * 7 / 10);

  // The node starts with the same jobs within the same limit, and workers drain it.
  cluster.Crash("n1");
  ASSERT_TRUE(cluster.Start("n1").ok());
  cluster.WaitForLeader();
  std::vector<std::string> more;
  EXPECT_EQ(FillMemory(cluster, "n1", &more), "MEMORY_LOW");
  EXPECT_LE(more.size(), 3u);
  auto leased = cluster.Ask<queue::LeaseCall>("n1", LeaseOne());
  ASSERT_TRUE(leased && leased->ok() && leased->value.jobs_size() == 1);
  v1::CompleteJobsRequest complete;
  auto* item = complete.add_items();
  item->set_id(leased->value.jobs(0).id());
  *item->mutable_token() = leased->value.jobs(0).lease().token();
  auto completed = cluster.Ask<queue::CompleteCall>("n1", complete);
  ASSERT_TRUE(completed && completed->ok());
  EXPECT_EQ(completed->value.results(0).code(), 0);
  v1::DeleteJobsRequest remove;
  for (size_t i = 0; i < ids.size() / 2; ++i) remove.add_ids(ids[i]);
  ASSERT_TRUE(cluster.Ask<queue::DeleteCall>("n1", remove)->ok());
  EXPECT_NE(cluster.Enqueue("n1", "after"), "");
  EXPECT_FALSE(MetricsOf(cluster, "n1").view.raft.low_memory);
}

TEST(Node, FollowersThatAreNeededForAMajorityNeedMemoryToo) {
  Cluster cluster(3);
  const std::string leader = cluster.WaitForLeader();
  std::vector<std::string> followers;
  for (const std::string& name : cluster.names()) {
    if (name != leader) followers.push_back(name);
  }
  // One after the other: the leader keeps its majority, and stays the leader.
  const auto limit = [&](const std::string& name, uint64_t bytes) {
    cluster.memory_limits[name] = bytes;
    cluster.Crash(name);
    ASSERT_TRUE(cluster.Start(name).ok());
    cluster.Run(500ms);
    ASSERT_EQ(cluster.Leader(), leader);
  };
  limit(followers[0], 2 << 20);
  std::vector<std::string> ids;
  for (int i = 0; i < 40; ++i) ASSERT_NE(cluster.Enqueue(leader, std::string(60000, 'x')), "");
  limit(followers[1], 6 << 20);
  EXPECT_NE(cluster.Enqueue(leader, "x"), "") << "one of two followers has memory";
  queue::Error error;
  EXPECT_EQ(FillMemory(cluster, leader, &ids, &error), "MEMORY_LOW");
  EXPECT_EQ(error.message, "too few members have memory for new jobs; workers can go on");
  EXPECT_LT(ids.size(), 30u);
  limit(followers[0], 64 << 20);
  EXPECT_NE(cluster.Enqueue(leader, "after"), "");
}

TEST(Node, FreesItsStateBeforeItRestoresAnother) {
  Cluster cluster(3);
  ASSERT_NO_FATAL_FAILURE(TakeSnapshotsOften(&cluster));
  const std::string leader = cluster.WaitForLeader();
  const std::string late = leader == "n1" ? "n2" : "n1";
  ASSERT_TRUE(cluster.Ask<queue::CreateKeyCall>(leader, KeyOrder('a'))->ok());
  for (int i = 0; i < 5; ++i) ASSERT_NE(cluster.Enqueue(leader, "early"), "");
  cluster.Run(200ms);
  ASSERT_EQ(cluster.node(late).state().job_count(), 5u);
  KeyWatch watch;
  watch.Begin(cluster.node(late));
  cluster.machine(late).cut = true;
  for (int i = 0; i < 400; ++i) ASSERT_NE(cluster.Enqueue(leader, std::string(1000, 'x')), "");
  ASSERT_TRUE(cluster.RunUntil(
      [&] { return cluster.node(leader).raft().GetView().first_index > raft::Index(100); }));
  cluster.machine(late).cut = false;
  // The snapshot thread of the follower and its loop take turns, so that the loop installs the
  // snapshot while the other stands still.
  bool empty = false;
  for (int i = 0; i < 4000 && !empty; ++i) {
    cluster.machine(late).snapshot_steps = i % 2;
    cluster.Run(500us);
    empty = cluster.node(late).state().job_count() == 0;
  }
  ASSERT_TRUE(empty);
  cluster.machine(late).snapshot_steps = 0;
  const NodeMetrics metrics = MetricsOf(cluster, late);
  EXPECT_EQ(cluster.node(late).state().job_count(), 0u);
  EXPECT_EQ(metrics.queues.total.enqueued(), 5u) << "counters do not start anew";
  EXPECT_EQ(metrics.view.jobs, 5u);
  EXPECT_GT(metrics.view.applied_index, 5u);
  EXPECT_NE(watch.Find(KeyOrder('a').key.id), nullptr) << "keys stay valid";
  cluster.machine(late).snapshot_steps = INT_MAX;
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.node(late).state().job_count() == 405; }));
  EXPECT_EQ(MetricsOf(cluster, late).queues.total.enqueued(), 405u);
  for (const queue::KeyTablePtr& keys : watch.published) {
    EXPECT_NE(keys->Find(KeyOrder('a').key.id), nullptr);
  }
}

TEST(Node, ASnapshotThatNeedsTooMuchMemoryIsGivenUp) {
  Cluster cluster(1);
  cluster.snapshot_log_bytes = 7 << 20;
  cluster.Crash("n1");
  ASSERT_TRUE(cluster.Start("n1").ok());
  cluster.WaitForLeader();
  cluster.machine("n1").snapshot_steps = 0;
  std::vector<std::string> ids;
  for (int i = 0; i < 150; ++i) ids.push_back(cluster.Enqueue("n1", std::string(50000, 'x')));
  ASSERT_TRUE(cluster.node("n1").state().snapshot_running()) << "its pieces wait";
  // The jobs that are deleted now are copied.
  uint64_t most = 0;
  for (const std::string& id : ids) {
    v1::DeleteJobsRequest remove;
    remove.add_ids(id);
    ASSERT_TRUE(cluster.Ask<queue::DeleteCall>("n1", remove)->ok());
    most = std::max(most, cluster.node("n1").state().memory().image);
  }
  EXPECT_GT(most, 1000000u);
  EXPECT_LT(cluster.node("n1").state().memory().image, 100u);
  EXPECT_FALSE(cluster.node("n1").state().snapshot_running());
  // The next attempt needs no further growth of the log.
  cluster.machine("n1").snapshot_steps = INT_MAX;
  cluster.Run(11s);
  EXPECT_GT(MetricsOf(cluster, "n1").snapshots_written, 0u);
}

TEST(Node, DrainTransfersLeadership) {
  Cluster cluster(3);
  const std::string first = cluster.WaitForLeader();
  cluster.Run(200ms);
  bool drained = false;
  cluster.node(first).Drain([&] { drained = true; });
  ASSERT_TRUE(cluster.RunUntil([&] { return drained; }));
  const std::string second = cluster.WaitForLeader();
  EXPECT_NE(second, first);
  EXPECT_NE(cluster.Enqueue(second, "after"), "");
}

TEST(Node, JobAgesGrowInTheMetricsWhileTheLogIsIdle) {
  Cluster cluster(1);
  const std::string node = cluster.WaitForLeader();
  cluster.Enqueue(node, "x");
  cluster.Run(3s);  // no log entry in this time
  std::optional<NodeMetrics> metrics;
  cluster.node(node).RequestMetrics([&](const NodeMetrics& m) { metrics = m; });
  ASSERT_TRUE(cluster.RunUntil([&] { return metrics.has_value(); }));
  const queue::QueueFigures& figures = metrics->queues;
  ASSERT_EQ(figures.queues.size(), 1u);
  EXPECT_GE(figures.queues[0].oldest_ready_age().seconds(), 3);
  EXPECT_LE(figures.queues[0].oldest_ready_age().seconds(), 4);
  EXPECT_GE(figures.total.oldest_ready_age().seconds(), 3);
}

// Calls TransferLeadership. Returns the new leader, or the reason of the error.
std::string Transfer(Cluster* cluster, const std::string& node, const std::string& to) {
  std::string answer;
  cluster->node(node).TransferLeadership(to, [&](queue::Outcome<std::string> leader) {
    answer = leader.ok() ? leader.value : leader.error.reason;
  });
  cluster->RunUntil([&] { return !answer.empty(); });
  return answer;
}

TEST(Node, TransfersLeadershipToTheNamedVoter) {
  Cluster cluster(3);
  cluster.WaitForLeader();
  cluster.Run(200ms);
  for (const char* to : {"n1", "n2", "n3", "n1"}) {
    EXPECT_EQ(Transfer(&cluster, cluster.Leader(), to), to);
    EXPECT_EQ(cluster.WaitForLeader(), to);
    EXPECT_EQ(Transfer(&cluster, to, to), to) << "it leads already";
    EXPECT_NE(cluster.Enqueue(to, "after"), "");
  }
  const std::string next = Transfer(&cluster, "n1", "");
  EXPECT_TRUE(next == "n2" || next == "n3") << next;
  EXPECT_EQ(cluster.WaitForLeader(), next);
}

TEST(Node, RefusesTransfersThatCannotSucceed) {
  Cluster cluster(3);
  const std::string leader = cluster.WaitForLeader();
  cluster.Run(200ms);
  const std::string away = leader == "n1" ? "n2" : "n1";
  const std::string other = leader == "n3" ? "n2" : "n3";
  EXPECT_EQ(Transfer(&cluster, other, away), "NOT_LEADER");
  EXPECT_EQ(Transfer(&cluster, leader, "n9"), "NOT_A_VOTER");
  cluster.Crash(away);
  std::string first;
  cluster.node(leader).TransferLeadership(
      away, [&](queue::Outcome<std::string> outcome) { first = outcome.error.reason; });
  EXPECT_EQ(Transfer(&cluster, leader, other), "TRANSFER_FAILED")
      << "another transfer is in progress";
  EXPECT_EQ(first, "");
  EXPECT_TRUE(cluster.RunUntil([&] { return !first.empty(); }));
  EXPECT_EQ(first, "TRANSFER_FAILED");
  EXPECT_EQ(cluster.Leader(), leader);
  EXPECT_NE(cluster.Enqueue(leader, "still leader"), "");
  EXPECT_EQ(Transfer(&cluster, leader, other), other) << "the failed transfer has ended";

  Cluster alone(1);
  EXPECT_EQ(Transfer(&alone, alone.WaitForLeader(), ""), "NOT_A_VOTER");
}

TEST(Node, RefusesOptionsThatCannotWork) {
  Cluster cluster(1);
  Env env;
  storage::FaultFileSystem disk;
  env.fs = &disk;
  env.wall_ms = [] { return 0; };
  env.fatal = [](const absl::Status&) {};
  Options options = cluster.OptionsOf("n1");
  options.name = "";
  EXPECT_EQ(Node::Open(options, env, Time()).status().message(), "--id is required");
  options = cluster.OptionsOf("n1");
  options.raft.election_min = options.raft.heartbeat;
  EXPECT_EQ(Node::Open(options, env, Time()).status().code(), absl::StatusCode::kInvalidArgument);
  options = cluster.OptionsOf("n1");
  ASSERT_TRUE(Node::Open(options, env, Time()).ok());
  auto first = Node::Open(options, env, Time());
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(Node::Open(options, env, Time()).status().code(), absl::StatusCode::kFailedPrecondition)
      << "two nodes opened one data directory";
}

}  // namespace
}  // namespace dqueue::node
