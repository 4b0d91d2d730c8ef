// Three whole nodes in one process: real threads, files and loopback connections.
#include "transport/server/server.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <future>
#include <thread>

#include "dqueue/v1/service.grpc.pb.h"
#include "transport/calls/rpc_error.h"
#include "transport/testing/cluster_fixture.h"
#include "transport/testing/raw_http2.h"

namespace dqueue::transport {
namespace {

using namespace std::chrono_literals;
using grpc::StatusCode;
using std::chrono::steady_clock;

class ServerTest : public ClusterTest {};

using JobStub = v1::JobService::Stub;
using WorkerStub = v1::WorkerService::Stub;

TEST_F(ServerTest, EveryNodeServesEveryCall) {
  const int leader = WaitForLeader();
  for (int node = 0; node < kNodes; ++node) {
    const std::string prefix = "n" + std::to_string(node) + "-";
    const auto enqueued = Call(node, &JobStub::EnqueueJobs, Jobs(prefix, 3));
    ASSERT_TRUE(enqueued.status.ok()) << enqueued.status.error_message();
    ASSERT_EQ(enqueued.response.results_size(), 3);
    for (const auto& result : enqueued.response.results()) EXPECT_TRUE(result.created());
    EXPECT_EQ(enqueued.leader_address, node == leader ? "" : addresses_[leader]);

    const auto leased = Call(node, &WorkerStub::LeaseJobs, Lease(10));
    ASSERT_TRUE(leased.status.ok()) << leased.status.error_message();
    ASSERT_EQ(leased.response.jobs_size(), 3);
    v1::CompleteJobsRequest complete;
    v1::ReleaseJobsRequest release;
    v1::ExtendLeasesRequest extend;
    for (const v1::Job& job : leased.response.jobs()) {
      auto* item = job.id() == prefix + "2" ? nullptr : complete.add_items();
      if (item != nullptr) {
        item->set_id(job.id());
        *item->mutable_token() = job.lease().token();
        item->set_result("done");
      } else {
        auto* extended = extend.add_items();
        extended->set_id(job.id());
        *extended->mutable_token() = job.lease().token();
        auto* released = release.add_items();
        released->set_id(job.id());
        *released->mutable_token() = job.lease().token();
      }
    }
    const auto completed = Call(node, &WorkerStub::CompleteJobs, complete);
    ASSERT_TRUE(completed.status.ok());
    for (const auto& result : completed.response.results()) EXPECT_EQ(result.code(), 0);
    const auto extended = Call(node, &WorkerStub::ExtendLeases, extend);
    ASSERT_EQ(extended.response.results_size(), 1);
    EXPECT_EQ(extended.response.results(0).code(), 0);
    const auto released = Call(node, &WorkerStub::ReleaseJobs, release);
    ASSERT_EQ(released.response.results_size(), 1);
    EXPECT_EQ(released.response.results(0).code(), 0);

    v1::GetJobRequest get;
    get.set_id(prefix + "0");
    const auto job = Call(node, &JobStub::GetJob, get);
    EXPECT_EQ(job.response.job().state(), v1::JOB_STATE_SUCCEEDED);
    EXPECT_EQ(job.response.job().result(), "done");
    v1::CancelJobsRequest cancel;
    cancel.add_ids(prefix + "2");
    EXPECT_EQ(Call(node, &JobStub::CancelJobs, cancel).response.results(0).code(), 0);
  }
  const auto stats = Call(0, &JobStub::GetStats, v1::GetStatsRequest());
  EXPECT_EQ(stats.response.total().succeeded(), 6u);
  EXPECT_EQ(stats.response.total().cancelled(), 3u);
  v1::ListJobsRequest list;
  EXPECT_EQ(Call(1, &JobStub::ListJobs, list).response.jobs_size(), 9);
}

TEST_F(ServerTest, AnyNodeOperatesOnQueues) {
  WaitForLeader();
  for (int node = 0; node < kNodes; ++node) {
    const std::string prefix = "n" + std::to_string(node) + "-";
    v1::EnqueueJobsRequest jobs = Jobs(prefix, 3);
    const std::string queue = "ops" + std::to_string(node);
    for (v1::JobSpec& job : *jobs.mutable_jobs()) job.set_queue(queue);
    ASSERT_TRUE(Call(node, &JobStub::EnqueueJobs, jobs).status.ok());
    v1::PauseQueueRequest pause;
    pause.set_queue(queue);
    pause.set_refuse_enqueues(true);
    const auto paused = Call(node, &JobStub::PauseQueue, pause);
    ASSERT_TRUE(paused.status.ok()) << paused.status.error_message();
    EXPECT_TRUE(paused.response.stats().paused());
    EXPECT_EQ(paused.response.stats().ready(), 3u);
    jobs.mutable_jobs(0)->set_id(prefix + "new");
    const auto refused = Call(node, &JobStub::EnqueueJobs, jobs);
    EXPECT_EQ(refused.response.results(0).error().code(), StatusCode::FAILED_PRECONDITION);
    v1::ResumeQueueRequest resume;
    resume.set_queue(queue);
    EXPECT_FALSE(Call(node, &JobStub::ResumeQueue, resume).response.stats().paused());
    v1::DeleteJobsRequest remove;
    remove.add_ids(prefix + "0");
    remove.add_ids(prefix + "none");
    const auto removed = Call(node, &JobStub::DeleteJobs, remove);
    ASSERT_EQ(removed.response.results_size(), 2);
    EXPECT_EQ(removed.response.results(0).code(), 0);
    EXPECT_EQ(removed.response.results(1).code(), StatusCode::NOT_FOUND);
    v1::PurgeQueueRequest purge;
    purge.set_queue(queue);
    const auto purged = Call(node, &JobStub::PurgeQueue, purge);
    EXPECT_EQ(purged.response.purged(), 2);
    EXPECT_FALSE(purged.response.more());
    v1::RedriveJobsRequest redrive;
    redrive.set_queue(queue);
    const auto redriven = Call(node, &JobStub::RedriveJobs, redrive);
    EXPECT_TRUE(redriven.status.ok());
    EXPECT_EQ(redriven.response.redriven(), 0);
    v1::GroupDeadJobsRequest group;
    group.set_queue(queue);
    const auto groups = Call(node, &JobStub::GroupDeadJobs, group);
    EXPECT_TRUE(groups.status.ok()) << groups.status.error_message();
    EXPECT_EQ(groups.response.groups_size(), 0);
    group.set_queue("unheard-of");
    EXPECT_EQ(Call(node, &JobStub::GroupDeadJobs, group).reason(), "QUEUE_NOT_FOUND");
    resume.set_queue("unheard-of");
    EXPECT_EQ(Call(node, &JobStub::ResumeQueue, resume).reason(), "QUEUE_NOT_FOUND");
  }
}

TEST_F(ServerTest, ForwardedErrorsKeepTheirDetails) {
  for (int node = 0; node < kNodes; ++node) {
    v1::GetJobRequest get;
    get.set_id("unheard-of");
    const auto missing = Call(node, &JobStub::GetJob, get);
    EXPECT_EQ(missing.status.error_code(), StatusCode::NOT_FOUND);
    EXPECT_EQ(missing.reason(), "JOB_NOT_FOUND");
    const auto empty = Call(node, &JobStub::EnqueueJobs, v1::EnqueueJobsRequest());
    EXPECT_EQ(empty.status.error_code(), StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(empty.reason(), "INVALID_FIELD");
  }
}

TEST_F(ServerTest, EveryNodeKnowsTheCluster) {
  const int leader = WaitForLeader();
  for (int node = 0; node < kNodes; ++node) {
    const v1::GetClusterResponse view = View(node);
    EXPECT_EQ(view.node_id(), machines_[node]->name());
    EXPECT_EQ(view.role(), node == leader ? "leader" : "follower");
    EXPECT_EQ(view.leader_id(), machines_[leader]->name());
    EXPECT_EQ(view.leader_address(), addresses_[leader]);
    EXPECT_EQ(view.cluster_id().size(), 32u);
    EXPECT_FALSE(view.version().empty());
    EXPECT_GT(view.term(), 0u);
    ASSERT_EQ(view.members_size(), kNodes);
    for (const auto& member : view.members()) {
      EXPECT_TRUE(member.voter());
      EXPECT_EQ(member.leader(), member.id() == view.leader_id());
      if (node == leader) {
        EXPECT_TRUE(member.reachable()) << member.id();
      }
    }
  }
}

TEST_F(ServerTest, ALongPollIsWokenByAJob) {
  const int leader = WaitForLeader();
  const int follower = (leader + 1) % kNodes;
  auto leased = std::async(std::launch::async, [&] {
    return Call(follower, &WorkerStub::LeaseJobs, Lease(1, 30), 60s);
  });
  // Whether it waits already or not: the job must find it.
  ASSERT_TRUE(Call(leader, &JobStub::EnqueueJobs, Jobs("late", 1)).status.ok());
  const auto begin = steady_clock::now();
  const auto answer = leased.get();
  EXPECT_LT(steady_clock::now() - begin, 10s);
  ASSERT_EQ(answer.response.jobs_size(), 1) << answer.status.error_message();
  EXPECT_EQ(answer.response.jobs(0).id(), "late0");

  const auto nothing = Call(follower, &WorkerStub::LeaseJobs, Lease(1, 30), 500ms);
  EXPECT_TRUE(nothing.status.ok()) << nothing.status.error_message();
  EXPECT_EQ(nothing.response.jobs_size(), 0);
}

// A connection that grants the server no room for data: its answers never arrive.
class DeafConnection {
 public:
  explicit DeafConnection(const std::string& address)
      : raw_(std::stoi(address.substr(address.rfind(':') + 1)), /*preface=*/false) {
    const std::string no_window("\x00\x04\x00\x00\x00\x00", 6);  // INITIAL_WINDOW_SIZE: 0
    raw_.Send(kHttp2Preface + FrameOf(Frame::kSettings, 0, 0, no_window));
  }
  void Lease(uint32_t stream, const v1::LeaseJobsRequest& request) {
    const std::string message = request.SerializeAsString();
    std::string prefix(1, '\0');  // not compressed
    for (const int shift : {24, 16, 8, 0}) {
      prefix += static_cast<char>(message.size() >> shift & 255);
    }
    raw_.Send(FrameOf(Frame::kHeaders, kEndHeaders, stream,
                      CallHeader("/dqueue.v1.WorkerService/LeaseJobs")) +
              FrameOf(Frame::kData, kEndStream, stream, prefix + message));
  }
  void Break() { raw_.Abort(); }

 private:
  RawHttp2 raw_;
};

TEST_F(ServerTest, ABrokenConnectionGivesBackOnlyWhatNoRepetitionHolds) {
  const int leader = WaitForLeader();
  const auto lease = [](const std::string& request_id, const std::string& queue) {
    v1::LeaseJobsRequest request = Lease(1);
    request.set_lease_request_id(request_id);
    request.add_queues(queue);
    return request;
  };
  for (const int node : {leader, (leader + 1) % kNodes}) {
    const std::string name = "n" + std::to_string(node);
    v1::EnqueueJobsRequest jobs = Jobs(name + "-", 2);
    for (int i = 0; i < 2; ++i) jobs.mutable_jobs(i)->set_queue(name + "-q" + std::to_string(i));
    ASSERT_TRUE(Call(node, &JobStub::EnqueueJobs, jobs).status.ok());
    const std::string repeated = name + "-0";
    const std::string lost = name + "-1";
    const auto state = [&](const std::string& id) {
      v1::GetJobRequest request;
      request.set_id(id);
      return Call(leader, &JobStub::GetJob, request).response.job().state();
    };
    const auto becomes = [&](const std::string& id, v1::JobState wanted) {
      const auto end = steady_clock::now() + 20s;
      while (state(id) != wanted && steady_clock::now() < end) std::this_thread::sleep_for(5ms);
      return state(id) == wanted;
    };
    DeafConnection deaf(addresses_[node]);
    deaf.Lease(1, lease(name + "-r0", name + "-q0"));
    deaf.Lease(3, lease(name + "-r1", name + "-q1"));
    ASSERT_TRUE(becomes(repeated, v1::JOB_STATE_LEASED));
    ASSERT_TRUE(becomes(lost, v1::JOB_STATE_LEASED));
    const auto again = Call(node, &WorkerStub::LeaseJobs, lease(name + "-r0", name + "-q0"));
    ASSERT_EQ(again.response.jobs_size(), 1) << again.status.error_message();
    EXPECT_EQ(again.response.jobs(0).id(), repeated);
    deaf.Break();
    EXPECT_TRUE(becomes(lost, v1::JOB_STATE_READY)) << "nobody has its answer";
    for (int i = 0; i < 20; ++i) {
      ASSERT_EQ(state(repeated), v1::JOB_STATE_LEASED) << "its holder lives, node " << node;
      std::this_thread::sleep_for(5ms);
    }
    v1::CompleteJobsRequest complete;
    auto* item = complete.add_items();
    item->set_id(repeated);
    *item->mutable_token() = again.response.jobs(0).lease().token();
    const auto done = Call(node, &WorkerStub::CompleteJobs, complete);
    ASSERT_EQ(done.response.results_size(), 1) << done.status.error_message();
    EXPECT_EQ(done.response.results(0).code(), 0) << done.response.results(0).message();
  }
}

TEST_F(ServerTest, ALostLeaderOnlyDelaysCallersOfOtherNodes) {
  const int leader = WaitForLeader();
  const int follower = (leader + 1) % kNodes;
  ASSERT_TRUE(Call(follower, &JobStub::EnqueueJobs, Jobs("before", 5)).status.ok());
  std::promise<void> running;
  std::atomic<bool> stop{false};
  auto load = std::async(std::launch::async, [&] {
    int failed = 0;
    for (int i = 0; !stop.load(); ++i) {
      const auto answer =
          Call(follower, &JobStub::EnqueueJobs, Jobs("load" + std::to_string(i) + "-", 2));
      if (!answer.status.ok()) ++failed;
      if (i == 20) running.set_value();
    }
    return failed;
  });
  running.get_future().wait();
  machines_[leader]->Stop();
  const auto begin = steady_clock::now();
  const auto after = Call(follower, &JobStub::EnqueueJobs, Jobs("after", 5));
  const auto gap = steady_clock::now() - begin;
  ASSERT_TRUE(after.status.ok()) << after.status.error_message();
  EXPECT_LT(gap, 5s);
  stop.store(true);
  EXPECT_EQ(load.get(), 0) << "a request with ids is repeated by the node";
  const int next = WaitForLeader();
  EXPECT_NE(next, leader);
  for (const char* id : {"before0", "before4", "after0", "after4", "load0-1"}) {
    v1::GetJobRequest get;
    get.set_id(id);
    EXPECT_TRUE(Call(follower, &JobStub::GetJob, get).status.ok()) << id;
  }
  // It comes back and takes part.
  machines_[leader]->Start(addresses_[leader]);
  WaitForLeader();
  EXPECT_TRUE(Call(leader, &JobStub::EnqueueJobs, Jobs("again", 1)).status.ok());
}

TEST_F(ServerTest, ADrainedLeaderHandsOverWithoutAFailedCall) {
  const int leader = WaitForLeader();
  std::promise<void> running;
  std::atomic<bool> stop{false};
  auto load = std::async(std::launch::async, [&] {
    std::vector<std::string> failed;
    for (int i = 0; !stop.load(); ++i) {
      // No ids: nothing here may be repeated behind the caller's back.
      v1::EnqueueJobsRequest request;
      request.add_jobs()->set_payload("{}");
      const auto answer = Call(leader, &JobStub::EnqueueJobs, request);
      if (!answer.status.ok()) failed.push_back(answer.reason());
      if (i == 20) running.set_value();
    }
    return failed;
  });
  running.get_future().wait();
  machines_[leader]->Drain();
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(Call((leader + 1) % kNodes, &JobStub::EnqueueJobs, Jobs("x" + std::to_string(i), 1))
                    .status.ok());
  }
  stop.store(true);
  EXPECT_EQ(load.get(), std::vector<std::string>());
  EXPECT_NE(WaitForLeader(), leader);
}

TEST_F(ServerTest, LeadershipMovesUnderLoadWithoutAFailedCall) {
  std::atomic<bool> stop{false};
  std::promise<void> running;
  auto load = std::async(std::launch::async, [&] {
    std::vector<std::string> failed;
    for (int i = 0; !stop.load(); ++i) {
      v1::EnqueueJobsRequest request;
      request.add_jobs()->set_payload("{}");
      const auto answer = Call(i % kNodes, &JobStub::EnqueueJobs, request);
      if (!answer.status.ok()) failed.push_back(answer.reason());
      if (i == 20) running.set_value();
    }
    return failed;
  });
  running.get_future().wait();
  const auto transfer = [&](int node, const std::string& to) {
    v1::TransferLeadershipRequest request;
    request.set_to(to);
    return Call(node, &v1::ClusterService::Stub::TransferLeadership, request);
  };
  for (int i = 0; i < 10; ++i) {
    // Each node is asked, and each is named.
    const std::string to = "n" + std::to_string(i % kNodes + 1);
    const auto answer = transfer(i / kNodes % kNodes, to);
    EXPECT_TRUE(answer.status.ok()) << i << ": " << answer.status.error_message();
    EXPECT_EQ(answer.response.leader_id(), to) << i;
  }
  stop.store(true);
  EXPECT_EQ(load.get(), std::vector<std::string>());
  const std::string leader = machines_[WaitForLeader()]->name();
  for (int i = 0; i < kNodes; ++i) EXPECT_EQ(transfer(i, "n9").reason(), "NOT_A_VOTER");
  EXPECT_NE(transfer(0, "").response.leader_id(), leader);
}

TEST_F(ServerTest, WithoutAMajorityNothingIsAcknowledged) {
  const int leader = WaitForLeader();
  machines_[(leader + 1) % kNodes]->Stop();
  machines_[(leader + 2) % kNodes]->Stop();
  const auto answer = Call(leader, &JobStub::EnqueueJobs, Jobs("lost", 1), 15s);
  EXPECT_EQ(answer.status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_TRUE(answer.reason() == "COMMIT_UNKNOWN" || answer.reason() == "NO_LEADER")
      << answer.reason();
  const auto end = steady_clock::now() + 20s;
  while (machines_[leader]->server().NotReadyReason().empty() && steady_clock::now() < end) {
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_NE(machines_[leader]->server().NotReadyReason(), "");
}

}  // namespace
}  // namespace dqueue::transport
