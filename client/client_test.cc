#include "client/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <set>
#include <thread>

#include "client/convert.h"
#include "client/testing/fake_server.h"

namespace dqueue::client {
namespace {

using namespace std::chrono_literals;
using grpc::StatusCode;
using testing::ElementsAre;

ClientOptions OptionsFor(std::vector<std::string> servers) {
  ClientOptions options;
  options.servers = std::move(servers);
  options.timeout = 10s;
  return options;
}

JobSpec Spec(const std::string& payload = "{}") {
  JobSpec spec;
  spec.queue = "q";
  spec.payload = payload;
  return spec;
}

grpc::Status NotLeader(const std::string& address) {
  return FakeError(StatusCode::UNAVAILABLE, "NOT_LEADER",
                   {{"leader_id", "n"}, {"leader_address", address}});
}

// Returns an address that refuses connections.
std::string DeadAddress() {
  FakeServer server;
  return server.address();
}

TEST(ClientTest, EnqueueReturnsTheIdItMade) {
  FakeServer server;
  Client client(OptionsFor({server.address()}));
  const Result<Enqueued> result = client.Enqueue(Spec());
  ASSERT_TRUE(result.ok()) << result.status.message;
  EXPECT_TRUE(result.value.created);
  const auto requests = server.enqueue.requests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].jobs(0).id(), result.value.id);
  EXPECT_EQ(result.value.id.size(), 36u);
  EXPECT_FALSE(requests[0].request_id().empty());
}

TEST(ClientTest, RetriesKeepTheIds) {
  FakeServer server;
  server.enqueue.NextError(FakeError(StatusCode::UNAVAILABLE, "NO_LEADER"));
  server.enqueue.NextError(FakeError(StatusCode::UNAVAILABLE, "COMMIT_UNKNOWN"));
  server.enqueue.NextError(FakeError(StatusCode::DEADLINE_EXCEEDED, "DEADLINE_PASSED"));
  server.enqueue.NextError(
      FakeError(StatusCode::RESOURCE_EXHAUSTED, "OVERLOADED", {}, /*retry_after_ms=*/5));
  server.enqueue.NextError(grpc::Status(StatusCode::UNKNOWN, "Stream removed"));
  Client client(OptionsFor({server.address()}));
  const Result<Enqueued> result = client.Enqueue(Spec());
  ASSERT_TRUE(result.ok()) << result.status.message;
  const auto requests = server.enqueue.requests();
  ASSERT_EQ(requests.size(), 6u);
  for (const auto& request : requests) {
    EXPECT_EQ(request.SerializeAsString(), requests[0].SerializeAsString());
    EXPECT_EQ(request.jobs(0).id(), result.value.id);
  }
}

TEST(ClientTest, SynchronousCallsRetryTheSameRequest) {
  FakeServer server;
  server.complete.NextError(FakeError(StatusCode::UNAVAILABLE, "COMMIT_UNKNOWN"));
  server.complete.NextError(FakeError(StatusCode::UNAVAILABLE, "NO_LEADER"));
  Client client(OptionsFor({server.address()}));
  const auto result = client.Complete({{.id = "a"}, {.id = "b"}});
  ASSERT_TRUE(result.ok()) << result.status.message;
  EXPECT_EQ(result.value.size(), 2u);
  EXPECT_EQ(server.complete.requests().size(), 3u);
}

// The SDK repeats a call after an unknown outcome exactly if a repetition has no further effect.
TEST(ClientTest, RepeatsAfterAnUnknownOutcomeOnlyWhatHasTheEffectOfOnce) {
  FakeServer server;
  Client client(OptionsFor({server.address()}));
  const grpc::Status unknown = FakeError(StatusCode::UNAVAILABLE, "COMMIT_UNKNOWN");
  const std::vector<std::string> ids = {"a"};
  const auto attempts = [&](auto& method, const auto& call) {
    const size_t before = method.requests().size();
    method.NextError(unknown);
    const Status status = call();
    const size_t made = method.requests().size() - before;
    EXPECT_EQ(status.code, made == 1 ? Code::kUnknownOutcome : Code::kOk) << status.message;
    return made;
  };
  EXPECT_EQ(attempts(server.cancel, [&] { return client.Cancel(ids).status; }), 1u);
  EXPECT_EQ(attempts(server.retry, [&] { return client.Retry(ids).status; }), 1u);
  EXPECT_EQ(attempts(server.remove, [&] { return client.DeleteJobs(ids).status; }), 1u);
  EXPECT_EQ(attempts(server.purge, [&] { return client.PurgeQueue({.queue = "q"}).status; }), 1u);
  EXPECT_EQ(attempts(server.redrive, [&] { return client.RedriveJobs({}).status; }), 1u);
  EXPECT_EQ(attempts(server.transfer, [&] { return client.TransferLeadership().status; }), 1u);
  EXPECT_EQ(attempts(server.transfer, [&] { return client.TransferLeadership("n2").status; }), 2u);
  EXPECT_EQ(attempts(server.enqueue, [&] { return client.Enqueue(Spec()).status; }), 2u);
  EXPECT_EQ(attempts(server.pause, [&] { return client.PauseQueue("q").status; }), 2u);
  EXPECT_EQ(attempts(server.resume, [&] { return client.ResumeQueue("q").status; }), 2u);
  EXPECT_EQ(attempts(server.complete, [&] { return client.Complete({{.id = "a"}}).status; }), 2u);
  EXPECT_EQ(attempts(server.fail, [&] { return client.Fail({{.id = "a"}}).status; }), 2u);
  EXPECT_EQ(attempts(server.extend, [&] { return client.Extend({{.id = "a"}}).status; }), 2u);
  EXPECT_EQ(attempts(server.release, [&] { return client.Release({{.id = "a"}}).status; }), 2u);
}

TEST(ClientTest, DefiniteErrorsAreNotRetried) {
  struct Row {
    StatusCode code;
    const char* reason;
    Code expected;
  };
  for (const Row& row : {
           Row{StatusCode::INVALID_ARGUMENT, "INVALID_FIELD", Code::kInvalidArgument},
           Row{StatusCode::RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", Code::kResourceExhausted},
           Row{StatusCode::PERMISSION_DENIED, "SCOPE_MISSING", Code::kPermissionDenied},
           Row{StatusCode::UNIMPLEMENTED, "NOT_HERE", Code::kInternal},
       }) {
    FakeServer server;
    server.enqueue.NextError(FakeError(row.code, row.reason));
    Client client(OptionsFor({server.address()}));
    const Result<Enqueued> result = client.Enqueue(Spec());
    EXPECT_EQ(result.status.code, row.expected) << row.reason;
    EXPECT_EQ(result.status.reason, row.reason);
    EXPECT_EQ(server.enqueue.requests().size(), 1u) << row.reason;
  }
}

TEST(ClientTest, ErrorsBelongToSingleJobs) {
  FakeServer server;
  server.enqueue.Next([](grpc::ServerContext*, const v1::EnqueueJobsRequest& request,
                         v1::EnqueueJobsResponse* response) {
    for (const auto& job : request.jobs()) {
      auto* result = response->add_results();
      result->set_id(job.id());
      if (job.payload() == "bad") {
        *result->mutable_error() = FakeStatus(StatusCode::INVALID_ARGUMENT, "INVALID_FIELD");
      } else {
        result->set_created(true);
      }
    }
    return grpc::Status::OK;
  });
  Client client(OptionsFor({server.address()}));
  const auto result = client.EnqueueMany({Spec("good"), Spec("bad"), Spec("good")});
  EXPECT_EQ(result.status.reason, "INVALID_FIELD") << "a refusal is never hidden";
  EXPECT_EQ(result.status.message.find("1 of 3 items were refused; the first is item 1: "), 0u)
      << result.status.message;
  ASSERT_EQ(result.value.size(), 3u);
  EXPECT_TRUE(result.value[0].ok());
  EXPECT_EQ(result.value[1].status.reason, "INVALID_FIELD");
  EXPECT_TRUE(result.value[2].ok());
}

TEST(ClientTest, TimeoutDistinguishesUnknownOutcomes) {
  for (const auto& [reason, code] : {std::pair{"NO_LEADER", Code::kUnavailable},
                                     std::pair{"COMMIT_UNKNOWN", Code::kUnknownOutcome}}) {
    FakeServer server;
    server.enqueue.Always([reason = reason](grpc::ServerContext*, const v1::EnqueueJobsRequest&,
                                            v1::EnqueueJobsResponse*) {
      return FakeError(StatusCode::UNAVAILABLE, reason);
    });
    ClientOptions options = OptionsFor({server.address()});
    options.timeout = 200ms;
    Client client(options);
    // The time limit can also end an attempt, whose outcome is then unknown.
    const auto comes = [code = code](const auto& call) {
      Code got = call();
      for (int i = 0; i < 20 && got == Code::kUnknownOutcome && got != code; ++i) got = call();
      return got;
    };
    EXPECT_EQ(comes([&] { return client.Enqueue(Spec()).status.code; }), code) << reason;
    EXPECT_EQ(comes([&] { return client.EnqueueMany({Spec()}).status.code; }), code) << reason;
    EXPECT_GT(server.enqueue.requests().size(), 4u) << "it kept trying";
  }
}

TEST(ClientTest, NoServerReachable) {
  ClientOptions options = OptionsFor({DeadAddress(), DeadAddress()});
  options.timeout = 200ms;
  Client client(options);
  EXPECT_EQ(client.Enqueue(Spec()).status.code, Code::kUnavailable);
  EXPECT_EQ(client.Get("x").status.code, Code::kUnavailable);
  Client nowhere(OptionsFor({}));
  EXPECT_EQ(nowhere.Enqueue(Spec()).status.reason, "NO_SERVERS");
  EXPECT_EQ(nowhere.Get("x").status.reason, "NO_SERVERS");
}

TEST(ClientTest, AnUnreachableServerIsSkippedWithoutWaiting) {
  FakeServer live;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 4; ++i) {
    Client client(OptionsFor({DeadAddress(), live.address(), DeadAddress()}));
    ASSERT_TRUE(client.Enqueue(Spec()).ok());
    ASSERT_TRUE(client.Get("x").ok());
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s);
}

TEST(ClientTest, FollowsTheLeaderThatAnErrorNames) {
  FakeServer follower;
  FakeServer leader;
  const auto not_me = [&](grpc::ServerContext*, const auto&, auto*) {
    return NotLeader(leader.address());
  };
  follower.enqueue.Always(not_me);
  follower.get.Always(not_me);
  Client client(OptionsFor({"http://" + follower.address() + "/"}));
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(client.Enqueue(Spec()).ok());
    ASSERT_TRUE(client.Get("x").ok());
  }
  EXPECT_EQ(follower.enqueue.requests().size() + follower.get.requests().size(), 1u);
  EXPECT_EQ(leader.enqueue.requests().size(), 5u);
}

TEST(ClientTest, FollowsTheLeaderThatAForwardedAnswerNames) {
  FakeServer follower;
  FakeServer leader;
  follower.get.Always([&](grpc::ServerContext* context, const v1::GetJobRequest& request,
                          v1::GetJobResponse* response) {
    context->AddInitialMetadata("dqueue-leader-address", leader.address());
    response->mutable_job()->set_id(request.id());
    return grpc::Status::OK;
  });
  Client client(OptionsFor({follower.address()}));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(client.Get("x").ok());
  EXPECT_EQ(follower.get.requests().size(), 1u);
  EXPECT_EQ(leader.get.requests().size(), 2u);
}

TEST(ClientTest, AnUnreachableLeaderIsReachedByForwarding) {
  FakeServer follower;
  const std::string dead = DeadAddress();
  follower.get.Always([&](grpc::ServerContext* context, const v1::GetJobRequest& request,
                          v1::GetJobResponse* response) {
    context->AddInitialMetadata("dqueue-leader-address", dead);
    response->mutable_job()->set_id(request.id());
    return grpc::Status::OK;
  });
  Client client(OptionsFor({follower.address()}));
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(client.Get("x").ok());
  EXPECT_EQ(follower.get.requests().size(), 10u);
}

TEST(ClientTest, WhenTheLeaderDiesAnotherServerIsAskedAtOnce) {
  FakeServer first;
  FakeServer second;
  Client client(OptionsFor({first.address(), second.address()}));
  ASSERT_TRUE(client.Enqueue(Spec()).ok());
  FakeServer& leader = first.enqueue.requests().empty() ? second : first;
  FakeServer& other = &leader == &first ? second : first;
  leader.enqueue.Always(FakeServer::Hang<v1::EnqueueJobsRequest, v1::EnqueueJobsResponse>);
  std::future<Result<Enqueued>> pending = client.EnqueueAsync(Spec());
  ASSERT_TRUE(leader.enqueue.WaitForCalls(2));
  const auto begin = std::chrono::steady_clock::now();
  leader.Stop();
  const Result<Enqueued> result = pending.get();
  ASSERT_TRUE(result.ok()) << result.status.message;
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 1s);
  EXPECT_EQ(other.enqueue.requests().back().jobs(0).id(),
            leader.enqueue.requests().back().jobs(0).id());
}

// Two servers; the leader stops answering.
class HangTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(client_.Get("x").ok());
    leader_ = first_.get.requests().empty() ? &second_ : &first_;
    leader_->get.Always(FakeServer::Hang<v1::GetJobRequest, v1::GetJobResponse>);
    leader_->enqueue.Always(FakeServer::Hang<v1::EnqueueJobsRequest, v1::EnqueueJobsResponse>);
  }

  FakeServer first_;
  FakeServer second_;
  Client client_{OptionsFor({first_.address(), second_.address()})};
  FakeServer* leader_ = nullptr;
};

TEST_F(HangTest, ASilentServerIsAbandonedSoon) {
  leader_->cluster.Always(FakeServer::Hang<v1::GetClusterRequest, v1::GetClusterResponse>);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(client_.Get("x").ok());
  EXPECT_TRUE(client_.Enqueue(Spec()).ok());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 1800ms) << "less than one attempt";
}

TEST_F(HangTest, ALongPollAbandonsItToo) {
  leader_->cluster.Always(FakeServer::Hang<v1::GetClusterRequest, v1::GetClusterResponse>);
  FakeServer& other = leader_ == &first_ ? second_ : first_;
  other.lease.Next([](grpc::ServerContext*, const auto&, v1::LeaseJobsResponse* response) {
    response->add_jobs()->set_id("a");
    return grpc::Status::OK;
  });
  LeaseOptions lease;
  lease.wait = 30s;
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(client_.Lease(lease).value.size(), 1u);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
}

TEST_F(HangTest, ASlowServerKeepsItsCall) {
  // It answers the probe, so the call continues until the limit of the attempt.
  EXPECT_TRUE(client_.Get("x").ok());
  EXPECT_GE(leader_->cluster.requests().size(), 1u);
  EXPECT_EQ(leader_->get.requests().size(), 2u);
}

TEST(ClientTest, GathersJobsWhileACallIsInFlight) {
  FakeServer server;
  std::latch release(1);
  const auto succeed = [](const v1::EnqueueJobsRequest& request,
                          v1::EnqueueJobsResponse* response) {
    for (const auto& job : request.jobs()) {
      auto* result = response->add_results();
      result->set_id(job.id());
      result->set_created(true);
    }
    return grpc::Status::OK;
  };
  server.enqueue.Next([&](grpc::ServerContext*, const auto& request, auto* response) {
    release.wait();
    return succeed(request, response);
  });
  ClientOptions options = OptionsFor({server.address()});
  options.max_batches_in_flight = 1;
  Client client(options);
  std::vector<std::future<Result<Enqueued>>> results;
  results.push_back(client.EnqueueAsync(Spec("0")));
  ASSERT_TRUE(server.enqueue.WaitForCalls(1));
  for (int i = 1; i < 100; ++i) results.push_back(client.EnqueueAsync(Spec(std::to_string(i))));
  release.count_down();
  std::set<std::string> ids;
  for (auto& result : results) {
    const Result<Enqueued> one = result.get();
    ASSERT_TRUE(one.ok());
    ids.insert(one.value.id);
  }
  EXPECT_EQ(ids.size(), 100u);
  const auto requests = server.enqueue.requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].jobs_size(), 1);
  ASSERT_EQ(requests[1].jobs_size(), 99);
  for (int i = 0; i < 99; ++i) EXPECT_EQ(requests[1].jobs(i).payload(), std::to_string(i + 1));
}

TEST(ClientTest, BatchesKeepTheirLimits) {
  struct Row {
    int max_jobs;
    size_t max_bytes;
    size_t payload;
    std::vector<int> sizes;  // of the batches after the first
  };
  for (const Row& row : {Row{4, 1 << 20, 10, {4, 4, 1}}, Row{100, 3000, 800, {3, 3, 3}},
                         Row{100, 100, 500, {1, 1, 1, 1, 1, 1, 1, 1, 1}}}) {
    FakeServer server;
    std::latch release(1);
    server.enqueue.Next([&](grpc::ServerContext*, const auto& request, auto* response) {
      release.wait();
      response->add_results()->set_id(request.jobs(0).id());
      return grpc::Status::OK;
    });
    ClientOptions options = OptionsFor({server.address()});
    options.max_batches_in_flight = 1;
    options.max_batch_jobs = row.max_jobs;
    options.max_batch_bytes = row.max_bytes;
    Client client(options);
    std::vector<std::future<Result<Enqueued>>> results;
    results.push_back(client.EnqueueAsync(Spec()));
    ASSERT_TRUE(server.enqueue.WaitForCalls(1));
    for (int i = 0; i < 9; ++i) {
      results.push_back(client.EnqueueAsync(Spec(std::string(row.payload, 'x'))));
    }
    release.count_down();
    for (auto& result : results) ASSERT_TRUE(result.get().ok());
    std::vector<int> sizes;
    for (const auto& request : server.enqueue.requests()) sizes.push_back(request.jobs_size());
    sizes.erase(sizes.begin());
    EXPECT_EQ(sizes, row.sizes);
  }
}

TEST(ClientTest, ManyCallersShareBatches) {
  FakeServer server;
  Client client(OptionsFor({server.address()}));
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) good += client.Enqueue(Spec()).ok() ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good.load(), 3200);
  size_t jobs = 0;
  const auto requests = server.enqueue.requests();
  for (const auto& request : requests) jobs += request.jobs_size();
  EXPECT_EQ(jobs, 3200u);
  EXPECT_LT(requests.size(), 1600u);
}

TEST(ClientTest, ExistingJobWithAnIdMadeHereCountsAsCreated) {
  const auto existed = [](grpc::ServerContext*, const v1::EnqueueJobsRequest& request,
                          v1::EnqueueJobsResponse* response) {
    for (const auto& job : request.jobs()) response->add_results()->set_id(job.id());
    return grpc::Status::OK;
  };
  FakeServer server;
  server.enqueue.Always(existed);
  Client client(OptionsFor({server.address()}));
  EXPECT_TRUE(client.Enqueue(Spec()).value.created);
  EXPECT_TRUE(client.EnqueueMany({Spec()}).value[0].value.created);
  JobSpec own = Spec();
  own.id = "mine";
  EXPECT_FALSE(client.Enqueue(own).value.created);
  EXPECT_FALSE(client.EnqueueMany({own}).value[0].value.created);
  server.enqueue.Always(
      [](grpc::ServerContext*, const v1::EnqueueJobsRequest&, v1::EnqueueJobsResponse* response) {
        response->add_results()->set_id("found-by-idempotency-key");
        return grpc::Status::OK;
      });
  const Result<Enqueued> found = client.Enqueue(Spec());
  EXPECT_FALSE(found.value.created);
  EXPECT_EQ(found.value.id, "found-by-idempotency-key");
}

TEST(ClientTest, EnqueueManySplitsAtTheServersLimits) {
  FakeServer server;
  // On a slow machine a call can be retried with its request id, which is not a new batch.
  const auto requests_of = [&server] {
    auto requests = server.enqueue.requests();
    const auto repeated = [](const auto& a, const auto& b) {
      return a.request_id() == b.request_id();
    };
    requests.erase(std::unique(requests.begin(), requests.end(), repeated), requests.end());
    return requests;
  };
  Client client(OptionsFor({server.address()}));
  const auto many = client.EnqueueMany(std::vector<JobSpec>(10001, Spec()));
  ASSERT_TRUE(many.ok());
  EXPECT_EQ(many.value.size(), 10001u);
  auto requests = requests_of();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].jobs_size(), 10000);
  EXPECT_EQ(requests[1].jobs_size(), 1);
  const auto large = client.EnqueueMany(std::vector<JobSpec>(20, Spec(std::string(1 << 20, 'x'))));
  ASSERT_TRUE(large.ok());
  requests = requests_of();
  ASSERT_EQ(requests.size(), 4u);
  EXPECT_EQ(requests[2].jobs_size() + requests[3].jobs_size(), 20);
  EXPECT_LT(requests[2].ByteSizeLong(), 16u << 20);
  const auto atomic = client.EnqueueMany(std::vector<JobSpec>(10001, Spec()), true);
  ASSERT_TRUE(atomic.ok());
  requests = requests_of();
  ASSERT_EQ(requests.size(), 5u);
  EXPECT_TRUE(requests[4].all_or_nothing());
}

TEST(ClientTest, WrongNumberOfResultsIsAnError) {
  FakeServer server;
  const auto empty = [](grpc::ServerContext*, const auto&, auto*) { return grpc::Status::OK; };
  server.enqueue.Always(empty);
  server.complete.Always(empty);
  Client client(OptionsFor({server.address()}));
  EXPECT_EQ(client.Enqueue(Spec()).status.code, Code::kInternal);
  EXPECT_EQ(client.EnqueueMany({Spec()}).value[0].status.code, Code::kInternal);
  EXPECT_EQ(client.Complete({{"a", {1, 1}, ""}}).value[0].code, Code::kInternal);
}

TEST(ClientTest, TextThatIsNotUtf8IsRefused) {
  FakeServer server;
  Client client(OptionsFor({server.address()}));
  JobSpec bad = Spec();
  bad.type = "\xff";
  EXPECT_EQ(client.Enqueue(bad).status.message, "type: not valid UTF-8");
  EXPECT_EQ(client.EnqueueMany({Spec(), bad}).status.message, "jobs[1].type: not valid UTF-8");
  EXPECT_TRUE(server.enqueue.requests().empty());
}

TEST(ClientTest, DestructionAnswersAllCalls) {
  FakeServer server;
  server.enqueue.Always(FakeServer::Hang<v1::EnqueueJobsRequest, v1::EnqueueJobsResponse>);
  ClientOptions options = OptionsFor({server.address()});
  options.max_batches_in_flight = 1;
  auto client = std::make_unique<Client>(options);
  std::future<Result<Enqueued>> sent = client->EnqueueAsync(Spec());
  ASSERT_TRUE(server.enqueue.WaitForCalls(1));
  std::future<Result<Enqueued>> waiting = client->EnqueueAsync(Spec());
  client.reset();
  EXPECT_EQ(sent.get().status.code, Code::kUnknownOutcome);
  EXPECT_EQ(waiting.get().status.code, Code::kUnavailable);
}

TEST(ClientTest, WaitForCompletionPollsUntilFinished) {
  FakeServer server;
  const auto in_state = [](v1::JobState state) {
    return [state](grpc::ServerContext*, const v1::GetJobRequest& request,
                   v1::GetJobResponse* response) {
      response->mutable_job()->set_id(request.id());
      response->mutable_job()->set_state(state);
      return grpc::Status::OK;
    };
  };
  server.get.Next(in_state(v1::JOB_STATE_READY));
  server.get.Next(in_state(v1::JOB_STATE_LEASED));
  server.get.Next(in_state(v1::JOB_STATE_SUCCEEDED));
  Client client(OptionsFor({server.address()}));
  const Result<Job> done = client.WaitForCompletion("x", 10s);
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(done.value.state, JobState::kSucceeded);
  server.get.Always(in_state(v1::JOB_STATE_READY));
  const Result<Job> late = client.WaitForCompletion("x", 500ms);
  EXPECT_EQ(late.status.code, Code::kDeadlineExceeded);
  EXPECT_EQ(late.value.state, JobState::kReady);
  server.get.NextError(FakeError(StatusCode::NOT_FOUND, "JOB_NOT_FOUND"));
  EXPECT_EQ(client.WaitForCompletion("x", 10s).status.code, Code::kNotFound);
}

// A call's time limit can be shorter than the client's shortest poll.
TEST(ClientTest, WaitForCompletionWithAShortTimeout) {
  ClientOptions options = OptionsFor({DeadAddress()});
  options.timeout = 1ms;
  Client client(options);
  EXPECT_EQ(client.WaitForCompletion("x", 20ms).status.code, Code::kUnavailable);
}

TEST(ClientTest, TransferLeadershipNamesTheNewLeader) {
  FakeServer server;
  Client client(OptionsFor({server.address()}));
  EXPECT_EQ(client.TransferLeadership("n2").value, "n2");
  EXPECT_EQ(client.TransferLeadership().value, "furthest");
  server.transfer.NextError(FakeError(StatusCode::FAILED_PRECONDITION, "NOT_A_VOTER"));
  const Result<std::string> refused = client.TransferLeadership("n9");
  EXPECT_EQ(refused.status.code, Code::kFailedPrecondition);
  EXPECT_EQ(refused.status.reason, "NOT_A_VOTER");
  server.transfer.NextError(FakeError(StatusCode::ABORTED, "TRANSFER_FAILED"));
  EXPECT_EQ(client.TransferLeadership().status.reason, "TRANSFER_FAILED");
  EXPECT_EQ(server.transfer.requests().size(), 4u) << "neither is repeated";
}

TEST(ClientTest, GetClusterOfOneServerAsksOnlyThatOne) {
  FakeServer first;
  FakeServer second;
  Client client(OptionsFor({first.address()}));
  ASSERT_TRUE(client.GetCluster(second.address()).ok());
  EXPECT_EQ(second.cluster.requests().size(), 1u);
  EXPECT_EQ(client.GetCluster(DeadAddress()).status.code, Code::kUnavailable);
  ASSERT_TRUE(client.GetCluster().ok());
  EXPECT_EQ(first.cluster.requests().size(), 1u);
}

TEST(ClientTest, ALeaseIsRepeatedWithTheSameRequestId) {
  FakeServer server;
  server.lease.NextError(grpc::Status(StatusCode::UNAVAILABLE, "Socket closed"));
  server.lease.Next([](grpc::ServerContext*, const auto&, v1::LeaseJobsResponse* response) {
    response->add_jobs()->set_id("a");
    return grpc::Status::OK;
  });
  Client client(OptionsFor({server.address()}));
  LeaseOptions lease;
  lease.worker_id = "w";
  lease.max_jobs = 2;
  const auto leased = client.Lease(lease);
  ASSERT_TRUE(leased.ok()) << leased.status.message;
  ASSERT_EQ(leased.value.size(), 1u);
  const auto requests = server.lease.requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_FALSE(requests[0].lease_request_id().empty());
  EXPECT_EQ(requests[0].lease_request_id(), requests[1].lease_request_id());
}

TEST(ClientTest, ItemsCarryTokensAndTexts) {
  FakeServer server;
  server.fail.Next([](grpc::ServerContext*, const auto&, v1::FailJobsResponse* response) {
    response->add_results();
    *response->add_results() = FakeStatus(StatusCode::FAILED_PRECONDITION, "LEASE_STALE");
    return grpc::Status::OK;
  });
  Client client(OptionsFor({server.address()}));
  const auto failed = client.Fail({{"a", {1, 2}, "bad \xff byte", false, 1500ms},
                                   {"b", {3, 4}, std::string(10000, 'e'), true, {}}});
  EXPECT_EQ(failed.status.reason, "LEASE_STALE");
  EXPECT_TRUE(failed.value[0].ok());
  EXPECT_EQ(failed.value[1].reason, "LEASE_STALE");
  const auto request = server.fail.requests().at(0);
  EXPECT_EQ(request.items(0).token().term(), 1u);
  EXPECT_EQ(request.items(0).token().sequence(), 2u);
  EXPECT_EQ(request.items(0).error(), "bad ? byte");
  EXPECT_EQ(request.items(0).retry_delay().nanos(), 500000000);
  // The begin and the end are kept. The mark between them can be shorter than its room.
  EXPECT_LE(request.items(1).error().size(), 4096u);
  EXPECT_GE(request.items(1).error().size(), 4090u);
  EXPECT_TRUE(request.items(1).error().starts_with("eee"));
  EXPECT_TRUE(request.items(1).error().ends_with("eee"));
  EXPECT_TRUE(request.items(1).reject());
  EXPECT_FALSE(request.items(1).has_retry_delay());
}

TEST(ClientTest, OperationsOnQueues) {
  FakeServer server;
  Client client(OptionsFor({server.address()}));
  server.pause.Next([](grpc::ServerContext*, const auto&, v1::PauseQueueResponse* response) {
    response->mutable_stats()->set_queue("mail");
    response->mutable_stats()->set_ready(7);
    response->mutable_stats()->set_paused(true);
    response->mutable_stats()->set_refuses_enqueues(true);
    return grpc::Status::OK;
  });
  const Result<QueueStats> paused = client.PauseQueue("mail", true);
  ASSERT_TRUE(paused.ok());
  EXPECT_EQ(paused.value.queue, "mail");
  EXPECT_EQ(paused.value.ready, 7u);
  EXPECT_TRUE(paused.value.paused);
  EXPECT_TRUE(paused.value.refuses_enqueues);
  EXPECT_EQ(server.pause.requests()[0].queue(), "mail");
  EXPECT_TRUE(server.pause.requests()[0].refuse_enqueues());

  server.resume.NextError(FakeError(StatusCode::NOT_FOUND, "QUEUE_NOT_FOUND"));
  EXPECT_EQ(client.ResumeQueue("mail").status.reason, "QUEUE_NOT_FOUND");
  EXPECT_FALSE(client.ResumeQueue("mail").value.paused);

  server.remove.Next([](grpc::ServerContext*, const auto&, v1::DeleteJobsResponse* response) {
    response->add_results();
    *response->add_results() = FakeStatus(StatusCode::FAILED_PRECONDITION, "INVALID_STATE");
    return grpc::Status::OK;
  });
  const Result<std::vector<Status>> deleted = client.DeleteJobs({"a", "b"});
  EXPECT_EQ(deleted.status.reason, "INVALID_STATE");
  EXPECT_TRUE(deleted.value[0].ok());
  EXPECT_EQ(deleted.value[1].reason, "INVALID_STATE");
  EXPECT_THAT(server.remove.requests()[0].ids(), ElementsAre("a", "b"));
}

TEST(ClientTest, SweepsReturnCountAndMore) {
  FakeServer server;
  Client client(OptionsFor({server.address()}));
  server.purge.NextError(FakeError(StatusCode::UNAVAILABLE, "NO_LEADER"));
  server.purge.Always([](grpc::ServerContext*, const auto&, v1::PurgeQueueResponse* response) {
    response->set_purged(5);
    response->set_more(true);
    return grpc::Status::OK;
  });
  const Result<SweepResult> purged =
      client.PurgeQueue({.queue = "q", .states = {JobState::kDead}, .max_jobs = 5});
  ASSERT_TRUE(purged.ok());
  EXPECT_EQ(purged.value.jobs, 5u);
  EXPECT_TRUE(purged.value.more);
  ASSERT_EQ(server.purge.requests().size(), 2u) << "repeated";
  EXPECT_EQ(server.purge.requests()[1].queue(), "q");
  EXPECT_EQ(server.purge.requests()[1].max_jobs(), 5);
  EXPECT_THAT(server.purge.requests()[1].states(), ElementsAre(v1::JOB_STATE_DEAD));

  server.redrive.Next([](grpc::ServerContext*, const auto&, v1::RedriveJobsResponse* response) {
    response->set_redriven(2);
    return grpc::Status::OK;
  });
  const Result<SweepResult> redriven =
      client.RedriveJobs({.queue = "q", .type = "t", .error_contains = "why", .max_jobs = 9});
  ASSERT_TRUE(redriven.ok());
  EXPECT_EQ(redriven.value.jobs, 2u);
  EXPECT_FALSE(redriven.value.more);
  const v1::RedriveJobsRequest request = server.redrive.requests()[0];
  EXPECT_EQ(request.queue() + "/" + request.type() + "/" + request.error_contains(), "q/t/why");
  EXPECT_EQ(request.max_jobs(), 9);
  ASSERT_TRUE(client.RedriveJobs({.error_fingerprint = "0123456789abcdef"}).ok());
  EXPECT_EQ(server.redrive.requests()[1].error_fingerprint(), "0123456789abcdef");
}

TEST(ClientTest, GroupsOfDeadJobs) {
  FakeServer server;
  Client client(OptionsFor({server.address()}));
  server.group.NextError(FakeError(StatusCode::UNAVAILABLE, "NOT_LEADER"));
  server.group.Always([](grpc::ServerContext*, const auto&, v1::GroupDeadJobsResponse* response) {
    auto* group = response->add_groups();
    group->set_queue("q");
    group->set_type("t");
    group->set_reason(v1::DEAD_REASON_REJECTED);
    group->set_error_fingerprint("0123456789abcdef");
    group->set_error("why");
    group->set_jobs(7);
    group->mutable_first_time()->set_seconds(10);
    group->mutable_last_time()->set_seconds(20);
    group->add_sample_ids("a");
    response->set_more(true);
    return grpc::Status::OK;
  });
  const Result<DeadGroups> result = client.GroupDeadJobs("q", "t");
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(server.group.requests().size(), 2u) << "repeated";
  EXPECT_EQ(server.group.requests()[1].queue() + server.group.requests()[1].type(), "qt");
  EXPECT_TRUE(result.value.more);
  ASSERT_EQ(result.value.groups.size(), 1u);
  const DeadGroup& group = result.value.groups[0];
  EXPECT_EQ(group.queue + "/" + group.type + " " + group.reason + " " + group.error,
            "q/t REJECTED why");
  EXPECT_EQ(group.error_fingerprint, "0123456789abcdef");
  EXPECT_EQ(group.jobs, 7u);
  EXPECT_EQ(*group.last_time - *group.first_time, std::chrono::seconds(10));
  EXPECT_THAT(group.sample_ids, ElementsAre("a"));
}

TEST(ClientTest, Workers) {
  FakeServer server;
  Client client(OptionsFor({server.address()}));
  server.workers.Always([](grpc::ServerContext*, const auto&, v1::ListWorkersResponse* response) {
    auto* worker = response->add_workers();
    worker->set_id("w1");
    worker->set_host("h1");
    worker->mutable_last_time()->set_seconds(20);
    worker->set_waiting(true);
    worker->set_leased(1);
    worker->set_delivered(2);
    worker->set_completed(3);
    worker->set_failed(4);
    worker->set_expired(5);
    worker->add_queues("q");
    worker->add_types("t");
    return grpc::Status::OK;
  });
  const Result<std::vector<WorkerInfo>> result = client.ListWorkers();
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(result.value.size(), 1u);
  const WorkerInfo& worker = result.value[0];
  EXPECT_EQ(worker.id + " " + worker.host, "w1 h1");
  EXPECT_FALSE(worker.first_time);
  EXPECT_EQ(worker.last_time, WallTime(std::chrono::seconds(20)));
  EXPECT_TRUE(worker.waiting);
  EXPECT_EQ(worker.leased, 1);
  EXPECT_EQ(worker.delivered, 2u);
  EXPECT_EQ(worker.completed, 3u);
  EXPECT_EQ(worker.failed, 4u);
  EXPECT_EQ(worker.expired, 5u);
  EXPECT_THAT(worker.queues, ElementsAre("q"));
  EXPECT_THAT(worker.types, ElementsAre("t"));
}

TEST(ClientTest, ListingsAreReadPageByPage) {
  FakeServer server;
  Client client(OptionsFor({server.address()}));
  server.workers.Always([](grpc::ServerContext*, const v1::ListWorkersRequest& request,
                           v1::ListWorkersResponse* response) {
    response->add_workers()->set_id("w" + request.page_token());
    if (request.page_token().size() < 2) response->set_next_page_token(request.page_token() + "x");
    return grpc::Status::OK;
  });
  const Result<std::vector<WorkerInfo>> workers = client.ListWorkers();
  ASSERT_TRUE(workers.ok());
  ASSERT_EQ(workers.value.size(), 3u);
  EXPECT_EQ(workers.value[2].id, "wxx");
}

TEST(ClientTest, StatsAddUpOnlyWhereAPageHasItsOwnTotal) {
  const auto page = [](const std::string& queue, uint64_t total, int32_t total_size) {
    v1::GetStatsResponse response;
    response.add_queues()->set_queue(queue);
    response.mutable_total()->set_ready(total);
    response.set_total_size(total_size);
    return response;
  };
  Stats all;
  AddPage(page("a", 5, 2), true, &all);
  AddPage(page("b", 5, 2), false, &all);
  EXPECT_EQ(all.total.ready, 5u) << "of all queues, on each page";
  EXPECT_EQ(all.queues.size(), 2u);
  Stats limited;
  AddPage(page("a", 2, 0), true, &limited);
  AddPage(page("b", 3, 0), false, &limited);
  EXPECT_EQ(limited.total.ready, 5u) << "of the queues of each page";
}

TEST(ClientTest, AJobHasItsAttempts) {
  FakeServer server;
  Client client(OptionsFor({server.address()}));
  server.get.Next([](grpc::ServerContext*, const auto&, v1::GetJobResponse* response) {
    for (const auto end :
         {v1::Attempt::END_FAILED, v1::Attempt::END_REJECTED, v1::Attempt::END_EXPIRED}) {
      v1::Attempt* attempt = response->mutable_job()->add_attempts();
      attempt->set_number(1 + response->job().attempts_size());
      attempt->set_end(end);
      attempt->set_worker_id("w");
      attempt->mutable_end_time()->set_seconds(9);
      if (end == v1::Attempt::END_FAILED) attempt->mutable_held()->set_seconds(3);
      attempt->set_error("why");
    }
    return grpc::Status::OK;
  });
  const Result<Job> job = client.Get("a");
  ASSERT_TRUE(job.ok());
  ASSERT_EQ(job.value.attempts.size(), 3u);
  const Attempt& first = job.value.attempts[0];
  EXPECT_EQ(first.number, 2);
  EXPECT_EQ(first.end + " " + first.worker_id + " " + first.error, "FAILED w why");
  EXPECT_EQ(first.end_time, WallTime(std::chrono::seconds(9)));
  EXPECT_EQ(first.held, Duration(3000));
  EXPECT_EQ(job.value.attempts[1].end, "REJECTED");
  EXPECT_EQ(job.value.attempts[2].end, "EXPIRED");
  EXPECT_FALSE(job.value.attempts[2].held);
}

}  // namespace
}  // namespace dqueue::client
