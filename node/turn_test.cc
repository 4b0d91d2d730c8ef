// No turn of the loop does more than a bounded amount of work, whatever callers send and whatever
// the state holds. Lengths are estimates (WorkBudget), so that these tests do not depend on the
// machine; metrics and the load tests measure real ones.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "node/node.h"
#include "storage/testing/fault_file_system.h"

namespace dqueue::node {
namespace {

using namespace std::chrono_literals;

constexpr Duration kTurnMax = 5ms;

// The outcome of a call.
template <class C>
struct Reply {
  std::optional<queue::Outcome<typename C::ResponseType>> outcome;
  bool ok() const { return outcome && outcome->ok(); }
};
template <class C>
using ReplyPtr = std::shared_ptr<Reply<C>>;

// A node alone, which commits what it proposes when its log is polled.
class TurnTest : public testing::Test {
 protected:
  void SetUp() override { Start(); }

  void Start() {
    Options options;
    options.name = "n1";
    options.data_dir = "/data";
    options.bootstrap = true;
    options.log.segment_bytes = 64 << 20;
    options.snapshot_log_bytes = uint64_t{4} << 30;
    options.reserve_bytes = 1 << 20;
    options.seed = 7;
    Env env;
    env.fs = &disk_;
    env.wall_ms = [this] { return 1'700'000'000'000 + now_.time_since_epoch().count() / 1000; };
    env.fatal = [](const absl::Status& status) { FAIL() << status; };
    env.wake_answers = [] {};
    auto node = Node::Open(options, env, now_);
    ASSERT_TRUE(node.ok()) << node.status();
    node_ = *std::move(node);
  }
  void Restart() {
    node_.reset();
    Start();
  }

  // One turn; true: more work.
  bool Turn() {
    now_ += 100us;
    const bool more = node_->Poll(now_);
    longest_ = std::max(longest_, node_->TurnCost());
    ++turns_;
    return more;
  }
  // Runs turns, and the other actors, until done() is true.
  template <class F>
  bool RunUntil(F done) {
    for (int i = 0; i < 200'000 && !done(); ++i) {
      Turn();
      while (node_->PollLog()) {
      }
      while (node_->PollSnapshots()) {
      }
      while (node_->PollAnswers()) {
      }
    }
    return done();
  }
  void Lead() {
    ASSERT_TRUE(RunUntil([&] { return node_->raft().status().serving; }));
  }

  template <class C>
  ReplyPtr<C> Submit(typename C::RequestType request, queue::QueueAccessPtr access = nullptr) {
    auto reply = std::make_shared<Reply<C>>();
    C call;
    call.request = std::move(request);
    call.access = std::move(access);
    call.done = [reply](queue::Outcome<typename C::ResponseType> outcome) {
      EXPECT_FALSE(reply->outcome) << "answered once";
      reply->outcome = std::move(outcome);
    };
    node_->Submit(std::move(call));
    return reply;
  }
  template <class C>
  typename C::ResponseType Ask(typename C::RequestType request) {
    const auto reply = Submit<C>(std::move(request));
    EXPECT_TRUE(RunUntil([&] { return reply->outcome.has_value(); }));
    EXPECT_TRUE(reply->ok()) << reply->outcome->error.reason << ": "
                             << reply->outcome->error.message;
    return reply->ok() ? reply->outcome->value : typename C::ResponseType();
  }
  static v1::EnqueueJobsRequest Jobs(int count, size_t payload_bytes, int headers = 0) {
    v1::EnqueueJobsRequest request;
    for (int i = 0; i < count; ++i) {
      v1::JobSpec* job = request.add_jobs();
      job->set_payload(std::string(payload_bytes, 'x'));
      for (int h = 0; h < headers; ++h) (*job->mutable_headers())["h" + std::to_string(h)] = "v";
    }
    return request;
  }
  // Begins to measure.
  void Measure() {
    longest_ = {};
    turns_ = 0;
  }

  storage::FaultFileSystem disk_;
  std::unique_ptr<Node> node_;
  Time now_{1h};
  Duration longest_{};
  int turns_ = 0;
};

TEST_F(TurnTest, ALogIsReplayedInParts) {
  Lead();
  for (int i = 0; i < 6; ++i) Ask<queue::EnqueueCall>(Jobs(5000, 64));
  const uint64_t digest = node_->state().Digest();
  const raft::Index applied = node_->state().applied_index();
  Restart();
  Measure();
  size_t before = 0;
  size_t largest_step = 0;
  ASSERT_TRUE(RunUntil([&] {
    const size_t jobs = node_->state().job_count();
    largest_step = std::max(largest_step, jobs - before);
    before = jobs;
    return jobs == 30'000;
  }));
  EXPECT_LE(largest_step, 2000u) << "jobs in one turn";
  EXPECT_LE(longest_, kTurnMax);
  ASSERT_TRUE(RunUntil([&] { return node_->state().applied_index() >= applied; }));
  Lead();
  v1::GetStatsRequest all;
  EXPECT_EQ(Ask<queue::StatsCall>(all).total().ready(), 30'000u);
  EXPECT_NE(digest, 0u);
}

// Fault: such a call held the loop for 313 ms.
TEST_F(TurnTest, ACallOfManyJobsWithManyHeaders) {
  Lead();
  Measure();
  const auto response = Ask<queue::EnqueueCall>(Jobs(9500, 1, /*headers=*/60));
  EXPECT_EQ(response.results_size(), 9500);
  EXPECT_GT(turns_, 5);
  EXPECT_LE(longest_, kTurnMax);
  EXPECT_EQ(node_->state().job_count(), 9500u);
}

TEST_F(TurnTest, ACallOfManyJobsThatIsAllOrNothing) {
  Lead();
  Measure();
  v1::EnqueueJobsRequest request = Jobs(9500, 1, /*headers=*/20);
  request.set_all_or_nothing(true);
  request.set_return_jobs(true);
  const auto response = Ask<queue::EnqueueCall>(request);
  ASSERT_EQ(response.results_size(), 9500);
  EXPECT_EQ(response.results(0).job().headers_size(), 20);
  EXPECT_LE(longest_, kTurnMax);
  EXPECT_EQ(node_->state().job_count(), 9500u);
}

TEST_F(TurnTest, MalformedJobsAreRefusedOnTheSubmittingThread) {
  Lead();
  v1::EnqueueJobsRequest request = Jobs(2, 1);
  request.mutable_jobs(1)->set_priority(-1);
  request.set_all_or_nothing(true);
  const auto refused = Submit<queue::EnqueueCall>(request);
  ASSERT_TRUE(refused->outcome) << "before any turn";
  EXPECT_EQ(refused->outcome->error.reason, "INVALID_FIELD");
  request.set_all_or_nothing(false);
  const auto response = Ask<queue::EnqueueCall>(request);
  EXPECT_FALSE(response.results(0).has_error());
  EXPECT_TRUE(response.results(1).has_error());
}

// Fault: 100 such calls in parallel deposed the leader.
TEST_F(TurnTest, ManyLargePages) {
  Lead();
  Ask<queue::EnqueueCall>(Jobs(3000, 1, /*headers=*/30));
  Measure();
  v1::ListJobsRequest list;
  list.set_page_size(1000);
  list.set_full(true);
  std::vector<ReplyPtr<queue::ListCall>> replies;
  for (int i = 0; i < 100; ++i) replies.push_back(Submit<queue::ListCall>(list));
  ASSERT_TRUE(RunUntil([&] {
    return std::all_of(replies.begin(), replies.end(), [](const auto& r) { return r->ok(); });
  }));
  EXPECT_GE(turns_, 100) << "a page in each turn";
  EXPECT_LE(longest_, kTurnMax);
  EXPECT_EQ(replies[99]->outcome->value.jobs_size(), 1000);
  EXPECT_EQ(replies[99]->outcome->value.jobs(0).headers_size(), 30);
}

TEST_F(TurnTest, AnEnqueueIsAnsweredBetweenPages) {
  Lead();
  Ask<queue::EnqueueCall>(Jobs(3000, 1));
  v1::ListJobsRequest list;
  list.set_page_size(1000);
  list.set_full(true);
  std::vector<ReplyPtr<queue::ListCall>> replies;
  for (int i = 0; i < 100; ++i) replies.push_back(Submit<queue::ListCall>(list));
  Measure();
  Ask<queue::EnqueueCall>(Jobs(1, 1));
  EXPECT_LT(turns_, 10) << "it waited for all pages";
}

TEST_F(TurnTest, ManyItems) {
  Lead();
  Ask<queue::EnqueueCall>(Jobs(10'000, 1));
  v1::CompleteJobsRequest complete;
  for (int i = 0; i < 10; ++i) {
    v1::LeaseJobsRequest lease;
    lease.set_worker_id("w");
    lease.set_max_jobs(1000);
    const v1::LeaseJobsResponse leased = Ask<queue::LeaseCall>(lease);
    for (const v1::Job& job : leased.jobs()) {
      auto* item = complete.add_items();
      item->set_id(job.id());
      *item->mutable_token() = job.lease().token();
    }
  }
  ASSERT_EQ(complete.items_size(), 10'000);
  EXPECT_LE(longest_, kTurnMax);
  v1::ExtendLeasesRequest extend;
  for (const auto& item : complete.items()) {
    auto* out = extend.add_items();
    out->set_id(item.id());
    *out->mutable_token() = item.token();
  }
  extend.set_worker_id("w");
  Measure();
  EXPECT_EQ(Ask<queue::ExtendCall>(extend).results(9999).code(), 0);
  EXPECT_GT(turns_, 3);
  EXPECT_EQ(Ask<queue::CompleteCall>(complete).results(9999).code(), 0);
  EXPECT_LE(longest_, kTurnMax);
}

// Fault: retention's worst turn took 21 ms.
TEST_F(TurnTest, ManyJobsAreForgottenAtOnce) {
  Lead();
  for (int i = 0; i < 2; ++i) {
    v1::EnqueueJobsRequest jobs = Jobs(5000, 1);
    for (auto& job : *jobs.mutable_jobs()) job.mutable_retention()->set_seconds(1);
    v1::CancelJobsRequest cancel;
    const v1::EnqueueJobsResponse enqueued = Ask<queue::EnqueueCall>(jobs);
    for (const auto& result : enqueued.results()) cancel.add_ids(result.id());
    Ask<queue::CancelCall>(cancel);
  }
  Measure();
  now_ += 5s;
  ASSERT_TRUE(RunUntil([&] { return node_->state().job_count() == 0; }));
  EXPECT_GT(turns_, 8);
  EXPECT_LE(longest_, kTurnMax);
}

// Fault: the waits of a call for 100 queues × 100 types cost 3.3 ms each.
TEST_F(TurnTest, ManyLongPollsForManyNames) {
  Lead();
  v1::LeaseJobsRequest lease;
  lease.set_worker_id("w");
  lease.set_max_jobs(1);
  lease.mutable_wait()->set_seconds(30);
  for (int i = 0; i < 100; ++i) {
    lease.add_queues("q" + std::to_string(i));
    lease.add_types("t" + std::to_string(i));
  }
  Measure();
  std::vector<ReplyPtr<queue::LeaseCall>> replies;
  for (int i = 0; i < 20; ++i) replies.push_back(Submit<queue::LeaseCall>(lease));
  for (int i = 0; i < 200; ++i) RunUntil([n = 0]() mutable { return n++ > 1; });
  EXPECT_LE(longest_, kTurnMax);
  // All of them end at the same time.
  now_ += 31s;
  ASSERT_TRUE(RunUntil([&] {
    return std::all_of(replies.begin(), replies.end(), [](const auto& r) { return r->ok(); });
  }));
  EXPECT_LE(longest_, kTurnMax);
}

TEST_F(TurnTest, VeryManyCallsAtOnce) {
  Lead();
  Measure();
  std::vector<ReplyPtr<queue::GetCall>> replies;
  v1::GetJobRequest get;
  get.set_id("none");
  for (int i = 0; i < 20'000; ++i) replies.push_back(Submit<queue::GetCall>(get));
  ASSERT_TRUE(RunUntil([&] {
    return std::all_of(replies.begin(), replies.end(),
                       [](const auto& r) { return r->outcome.has_value(); });
  }));
  EXPECT_GT(turns_, 20);
  EXPECT_LE(longest_, kTurnMax);
}

}  // namespace
}  // namespace dqueue::node
