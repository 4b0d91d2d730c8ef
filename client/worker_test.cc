#include "client/worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <latch>
#include <set>
#include <thread>

#include "client/testing/fake_server.h"

namespace dqueue::client {
namespace {

using namespace std::chrono_literals;
using grpc::StatusCode;
using testing::UnorderedElementsAre;

ClientOptions OptionsFor(const FakeServer& server) {
  ClientOptions options;
  options.servers = {server.address()};
  return options;
}

// Leases out jobs "1", "2", … of these types, each once, up to max_jobs per call; then none.
class Supply {
 public:
  Supply(FakeServer* server, std::vector<std::string> types) : types_(std::move(types)) {
    server->lease.Always([this](grpc::ServerContext* context, const v1::LeaseJobsRequest& request,
                                v1::LeaseJobsResponse* response) {
      {
        const std::lock_guard lock(mutex_);
        while (next_ < types_.size() && response->jobs_size() < request.max_jobs()) {
          v1::Job* job = response->add_jobs();
          job->set_type(types_[next_]);
          job->set_id(std::to_string(++next_));
          job->mutable_lease()->mutable_token()->set_term(7);
          job->mutable_lease()->mutable_token()->set_sequence(next_);
          job->mutable_lease()->mutable_remaining()->set_seconds(1);
        }
      }
      if (response->jobs_size() > 0) return grpc::Status::OK;
      return FakeServer::NothingToLease(context, request, response);
    });
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> types_;
  size_t next_ = 0;
};

bool Eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

template <class Requests>
std::set<std::string> IdsOf(const Requests& requests) {
  std::set<std::string> ids;
  for (const auto& request : requests) {
    for (const auto& item : request.items()) ids.insert(item.id());
  }
  return ids;
}

TEST(WorkerTest, VerdictsBecomeCalls) {
  FakeServer server;
  Supply supply(&server, {"good", "bad", "hopeless", "later", "throws", "odd", "good"});
  Worker worker(OptionsFor(server), {.worker_id = "w1", .queues = {"q"}, .concurrency = 3});
  worker.Handle("good", [](JobContext& job) { return Complete("done " + job.job().id); });
  worker.Handle("bad", [](JobContext&) { return Fail("broken", 2500ms); });
  worker.Handle("hopeless", [](JobContext&) { return Reject("never"); });
  worker.Handle("later", [](JobContext&) { return Release(); });
  worker.Handle("throws", [](JobContext&) -> Verdict { throw std::runtime_error("oops"); });
  worker.Handle("odd", [](JobContext&) -> Verdict { throw 3; });
  worker.Start();
  ASSERT_TRUE(Eventually([&] {
    const WorkerStats stats = worker.stats();
    return stats.completed + stats.failed + stats.released == 7;
  }));
  worker.Drain();
  const WorkerStats stats = worker.stats();
  EXPECT_EQ(stats.leased, 7u);
  EXPECT_EQ(stats.completed, 2u);
  EXPECT_EQ(stats.failed, 4u);
  EXPECT_EQ(stats.released, 1u);
  EXPECT_EQ(stats.lost, 0u);
  EXPECT_THAT(IdsOf(server.complete.requests()), UnorderedElementsAre("1", "7"));
  EXPECT_THAT(IdsOf(server.release.requests()), UnorderedElementsAre("4"));
  for (const auto& request : server.complete.requests()) {
    for (const auto& item : request.items()) {
      EXPECT_EQ(item.result(), "done " + item.id());
      EXPECT_EQ(item.token().term(), 7u);
      EXPECT_EQ(std::to_string(item.token().sequence()), item.id());
    }
  }
  int failures = 0;
  for (const auto& request : server.fail.requests()) {
    for (const auto& item : request.items()) {
      ++failures;
      EXPECT_EQ(item.reject(), item.id() == "3");
      EXPECT_EQ(item.has_retry_delay(), item.id() == "2");
      const std::string expected = item.id() == "2"   ? "broken"
                                   : item.id() == "3" ? "never"
                                   : item.id() == "5" ? "exception: oops"
                                                      : "exception of an unknown type";
      EXPECT_EQ(item.error(), expected);
    }
  }
  EXPECT_EQ(failures, 4);
}

TEST(WorkerTest, LeasesOnlyWhatItCanStart) {
  FakeServer server;
  Supply supply(&server, {"slow", "slow"});
  std::latch go(1);
  Worker worker(OptionsFor(server),
                {.worker_id = "w1", .queues = {"a", "b"}, .concurrency = 5, .lease_duration = 7s});
  worker.Handle("slow", [&](JobContext&) {
    go.wait();
    return Complete();
  });
  worker.Start();
  ASSERT_TRUE(server.lease.WaitForCalls(2));
  const auto requests = server.lease.requests();
  EXPECT_EQ(requests[0].max_jobs(), 5);
  EXPECT_EQ(requests[1].max_jobs(), 3);
  EXPECT_EQ(requests[0].worker_id(), "w1");
  EXPECT_NE(requests[0].host(), "");
  EXPECT_EQ(requests[0].queues_size(), 2);
  ASSERT_EQ(requests[0].types_size(), 1);
  EXPECT_EQ(requests[0].types(0), "slow");
  EXPECT_EQ(requests[0].lease_duration().seconds(), 7);
  EXPECT_NE(requests[0].lease_request_id(), requests[1].lease_request_id());
  go.count_down();
}

TEST(WorkerTest, AHandlerForEveryTypeLeasesEveryType) {
  FakeServer server;
  Supply supply(&server, {"unheard-of"});
  Worker worker(OptionsFor(server), {});
  worker.Handle("known", [](JobContext&) { return Reject("wrong handler"); });
  worker.Handle("", [](JobContext& job) { return Complete(job.job().type); });
  worker.Start();
  ASSERT_TRUE(server.complete.WaitForCalls(1));
  EXPECT_EQ(server.lease.requests()[0].types_size(), 0);
  EXPECT_EQ(server.complete.requests()[0].items(0).result(), "unheard-of");
}

TEST(WorkerTest, AnUnknownOutcomeRepeatsTheSameLease) {
  FakeServer server;
  for (int i = 0; i < 40; ++i) {
    server.lease.NextError(grpc::Status(StatusCode::UNAVAILABLE, "Socket closed"));
  }
  ClientOptions options = OptionsFor(server);
  // The SDK's own retries must end while the server still fails. The wait of the long poll adds to
  // the timeout.
  options.timeout = 100ms;
  Worker worker(options, {});
  worker.Handle("", [](JobContext&) { return Complete(); });
  worker.Start();
  ASSERT_TRUE(server.lease.WaitForCalls(41));
  std::set<std::string> ids;
  for (const auto& request : server.lease.requests()) ids.insert(request.lease_request_id());
  EXPECT_EQ(ids.size(), 1u);
}

TEST(WorkerTest, ExtendsWhileAHandlerRuns) {
  FakeServer server;
  Supply supply(&server, {"long", "long"});
  Worker worker(OptionsFor(server), {.concurrency = 2, .lease_duration = 300ms});
  worker.Handle("long", [&](JobContext&) {
    return server.extend.WaitForCalls(3) ? Complete() : Fail("no extension");
  });
  worker.Start();
  ASSERT_TRUE(Eventually([&] { return worker.stats().completed == 2; }));
  const auto requests = server.extend.requests();
  ASSERT_FALSE(requests.empty());
  EXPECT_NE(requests[0].worker_id(), "");
  EXPECT_EQ(requests[0].items_size(), 2) << "one call for all leases";
  EXPECT_EQ(requests[0].lease_duration().nanos(), 300000000);
}

TEST(WorkerTest, ALostLeaseStopsTheHandler) {
  FakeServer server;
  Supply supply(&server, {"long", "long"});
  server.extend.Always(
      [](grpc::ServerContext*, const auto& request, v1::ExtendLeasesResponse* response) {
        for (const auto& item : request.items()) {
          auto* result = response->add_results();
          if (item.id() == "1") {
            *result = FakeStatus(StatusCode::FAILED_PRECONDITION, "LEASE_STALE");
          }
        }
        return grpc::Status::OK;
      });
  std::latch stopped(1);
  Worker worker(OptionsFor(server), {.concurrency = 2, .lease_duration = 300ms});
  worker.Handle("long", [&](JobContext& job) {
    if (job.job().id == "1") {
      EXPECT_TRUE(Eventually([&] { return job.stop().stop_requested(); }));
      stopped.count_down();
      return Complete("too late");
    }
    stopped.wait();
    EXPECT_FALSE(job.stop().stop_requested());
    return Complete("in time");
  });
  server.complete.Always(
      [](grpc::ServerContext*, const auto& request, v1::CompleteJobsResponse* response) {
        for (const auto& item : request.items()) {
          auto* result = response->add_results();
          if (item.result() == "too late") {
            *result = FakeStatus(StatusCode::FAILED_PRECONDITION, "LEASE_STALE");
          }
        }
        return grpc::Status::OK;
      });
  worker.Start();
  ASSERT_TRUE(Eventually([&] {
    const WorkerStats stats = worker.stats();
    return stats.completed == 1 && stats.lost == 1;
  }));
  EXPECT_THAT(IdsOf(server.complete.requests()), UnorderedElementsAre("1", "2"))
      << "the cluster decides whether a verdict comes too late";
}

TEST(WorkerTest, AVerdictOfALeaseThatSeemedLostMayCount) {
  FakeServer server;
  Supply supply(&server, {"long"});
  server.extend.Always(
      [](grpc::ServerContext*, const auto& request, v1::ExtendLeasesResponse* response) {
        for (int i = 0; i < request.items_size(); ++i) {
          *response->add_results() = FakeStatus(StatusCode::FAILED_PRECONDITION, "LEASE_STALE");
        }
        return grpc::Status::OK;
      });
  Worker worker(OptionsFor(server), {.concurrency = 1, .lease_duration = 300ms});
  worker.Handle("long", [&](JobContext& job) {
    EXPECT_TRUE(Eventually([&] { return job.stop().stop_requested(); }));
    return Complete("done all the same");
  });
  worker.Start();
  ASSERT_TRUE(Eventually([&] { return worker.stats().completed == 1; }));
  EXPECT_EQ(worker.stats().lost, 0u);
}

TEST(WorkerTest, VerdictsAreRepeatedUntilTheAnswerIsDefinite) {
  FakeServer server;
  Supply supply(&server, {"t", "t", "t"});
  for (int i = 0; i < 8; ++i) {
    server.complete.NextError(FakeError(StatusCode::UNAVAILABLE, "COMMIT_UNKNOWN"));
  }
  server.complete.Always(
      [](grpc::ServerContext*, const auto& request, v1::CompleteJobsResponse* response) {
        for (const auto& item : request.items()) {
          auto* result = response->add_results();
          if (item.id() == "2") {
            *result = FakeStatus(StatusCode::FAILED_PRECONDITION, "LEASE_STALE");
          } else if (item.id() == "3") {
            *result = FakeStatus(StatusCode::INVALID_ARGUMENT, "PAYLOAD_TOO_LARGE");
          }
        }
        return grpc::Status::OK;
      });
  ClientOptions options = OptionsFor(server);
  options.timeout = 100ms;  // the SDK gives up; the worker does not
  Worker worker(options, {.concurrency = 1});
  worker.Handle("t", [](JobContext&) { return Complete("r"); });
  worker.Start();
  ASSERT_TRUE(Eventually([&] {
    const WorkerStats stats = worker.stats();
    return stats.completed + stats.failed + stats.lost == 3;
  }));
  const WorkerStats stats = worker.stats();
  EXPECT_EQ(stats.completed, 1u);
  EXPECT_EQ(stats.lost, 1u);
  EXPECT_EQ(stats.failed, 1u) << "a result that is refused fails the job";
  EXPECT_EQ(server.fail.requests()[0].items(0).error(),
            "the result was refused: fake PAYLOAD_TOO_LARGE");
}

TEST(WorkerTest, DrainEndsTheLongPollAndReleasesUnstartedJobs) {
  FakeServer server;
  std::latch begun(1);
  std::latch go(1);
  // The server returns more jobs than requested; all but the first wait for a handler.
  server.lease.Next([](grpc::ServerContext*, const auto&, v1::LeaseJobsResponse* response) {
    for (const char* id : {"1", "2", "3"}) {
      v1::Job* job = response->add_jobs();
      job->set_id(id);
      job->mutable_lease()->mutable_token()->set_term(1);
      job->mutable_lease()->mutable_token()->set_sequence(id[0]);
    }
    return grpc::Status::OK;
  });
  Worker worker(OptionsFor(server), {.concurrency = 1});
  worker.Handle("", [&](JobContext&) {
    begun.count_down();
    go.wait();
    return Complete();
  });
  worker.Start();
  begun.wait();
  std::thread drain([&] { worker.Drain(); });
  ASSERT_TRUE(server.release.WaitForCalls(1));
  go.count_down();
  drain.join();
  EXPECT_THAT(IdsOf(server.release.requests()), UnorderedElementsAre("2", "3"));
  EXPECT_THAT(IdsOf(server.complete.requests()), UnorderedElementsAre("1"));
}

TEST(WorkerTest, DrainDoesNotWaitForTheLongPoll) {
  FakeServer server;
  Worker worker(OptionsFor(server), {});
  worker.Handle("", [](JobContext&) { return Complete(); });
  worker.Start();
  ASSERT_TRUE(server.lease.WaitForCalls(1));
  const auto begin = std::chrono::steady_clock::now();
  worker.Drain();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  worker.Drain();  // a second call does nothing
}

TEST(WorkerTest, DrainAsksHandlersToStopAfterItsLimit) {
  FakeServer server;
  Supply supply(&server, {"stubborn"});
  std::latch begun(1);
  Worker worker(OptionsFor(server), {.concurrency = 1, .drain_limit = 50ms});
  worker.Handle("stubborn", [&](JobContext& job) {
    begun.count_down();
    EXPECT_TRUE(Eventually([&] { return job.stop().stop_requested(); }));
    return Release();
  });
  worker.Start();
  begun.wait();
  worker.Drain();
  EXPECT_EQ(worker.stats().released, 1u);
}

TEST(WorkerTest, LogsProblems) {
  FakeServer server;
  server.lease.Always([](grpc::ServerContext*, const auto&, v1::LeaseJobsResponse*) {
    return FakeError(StatusCode::INVALID_ARGUMENT, "INVALID_FIELD");
  });
  std::mutex mutex;
  std::vector<std::string> lines;
  WorkerOptions options;
  options.log_line = [&](const std::string& line) {
    const std::lock_guard lock(mutex);
    lines.push_back(line);
  };
  Worker worker(OptionsFor(server), options);
  worker.Handle("", [](JobContext&) { return Complete(); });
  worker.Start();
  ASSERT_TRUE(Eventually([&] {
    const std::lock_guard lock(mutex);
    return !lines.empty();
  }));
  worker.Drain();
  EXPECT_EQ(lines[0],
            "calls fail and are retried: INVALID_ARGUMENT INVALID_FIELD fake INVALID_FIELD");
  EXPECT_EQ(lines.size(), 1u) << "told once";
}

// Collects what the worker tells about failing calls.
class Told {
 public:
  std::function<void(const Status&)> sink() {
    return [this](const Status& status) {
      const std::lock_guard lock(mutex_);
      told_.push_back(status);
    };
  }
  std::vector<Status> all() const {
    const std::lock_guard lock(mutex_);
    return told_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Status> told_;
};

TEST(WorkerTest, TellsThatNothingListensAndThatItIsOver) {
  FakeServer server;
  const std::string address = server.address();
  server.Stop();
  Told told;
  Worker worker(OptionsFor(server), {.on_trouble = told.sink()});
  worker.Handle("", [](JobContext&) { return Complete(); });
  worker.Start();
  ASSERT_TRUE(Eventually([&] { return told.all().size() == 1; }));
  EXPECT_EQ(told.all()[0].code, Code::kUnavailable);
  EXPECT_EQ(told.all()[0].reason, "CONNECTION_REFUSED");
  EXPECT_EQ(told.all()[0].message, address + ": connection refused: no program listens there");
  server.lease.Next([](grpc::ServerContext*, const auto& request, v1::LeaseJobsResponse*) {
    EXPECT_EQ(request.wait().seconds(), 0) << "the answer must show at once that it is over";
    return grpc::Status::OK;
  });
  server.Restart();
  ASSERT_TRUE(Eventually([&] { return told.all().size() == 2; }));
  EXPECT_TRUE(told.all()[1].ok());
  EXPECT_THAT(told.all()[1].message, testing::StartsWith("the servers answer again, after "));
  ASSERT_TRUE(server.lease.WaitForCalls(2));
  EXPECT_EQ(server.lease.requests()[1].wait().seconds(), 20);
  worker.Drain();
}

TEST(WorkerTest, DrainKeepsItsLimitWithoutServers) {
  FakeServer server;
  Supply supply(&server, {"quick"});
  Worker worker(OptionsFor(server), {.concurrency = 1, .drain_limit = 300ms});
  std::latch begun(1);
  std::latch go(1);
  worker.Handle("quick", [&](JobContext&) {
    begun.count_down();
    go.wait();
    return Complete();
  });
  worker.Start();
  begun.wait();
  server.Stop();
  go.count_down();
  const auto begin = std::chrono::steady_clock::now();
  worker.Drain();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 300ms + 1s);
  EXPECT_EQ(worker.stats().lost, 1u);
}

TEST(WorkerTest, AJobsOwnLeaseDurationIsKept) {
  FakeServer server;
  server.lease.Next([](grpc::ServerContext*, const auto& request, v1::LeaseJobsResponse* response) {
    EXPECT_FALSE(request.has_lease_duration());
    for (int i = 1; i <= 2; ++i) {
      v1::Job* job = response->add_jobs();
      job->set_id(std::to_string(i));
      job->mutable_lease()->mutable_token()->set_term(1);
      job->mutable_lease()->mutable_token()->set_sequence(static_cast<uint64_t>(i));
      job->mutable_lease()->mutable_remaining()->set_nanos(600'000'000);
    }
    // The second job has no duration of its own.
    response->mutable_jobs(0)->mutable_lease_duration()->set_nanos(600'000'000);
    return grpc::Status::OK;
  });
  Worker worker(OptionsFor(server), {.concurrency = 2});
  worker.Handle("", [&](JobContext&) {
    return server.extend.WaitForCalls(4) ? Complete() : Fail("no extension");
  });
  worker.Start();
  ASSERT_TRUE(Eventually([&] { return worker.stats().completed == 2; }));
  for (const auto& request : server.extend.requests()) {
    ASSERT_EQ(request.items_size(), 1);
    EXPECT_EQ(request.has_lease_duration(), request.items(0).id() == "1");
    if (request.has_lease_duration()) {
      EXPECT_EQ(request.lease_duration().nanos(), 600'000'000);
    }
  }
}

// Runs in a child process, because signals concern the whole process.
// Threads of gRPC exist before RunUntilSignal(), and have no signal blocked.
TEST(WorkerDeathTest, ASignalDrains) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto run = [] {
    FakeServer server;
    Worker worker(OptionsFor(server), {});
    worker.Handle("", [](JobContext&) { return Complete(); });
    std::thread killer([&] {
      server.lease.WaitForCalls(1);
      kill(getpid(), SIGTERM);
    });
    const Status status = worker.RunUntilSignal();
    killer.join();
    _exit(status.ok() ? 3 : 4);
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(3), "");
}

TEST(WorkerDeathTest, ABlockedSignalThatCameEarlierDrains) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto run = [] {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGQUIT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    kill(getpid(), SIGQUIT);
    FakeServer server;
    Worker worker(OptionsFor(server), {});
    worker.Handle("", [](JobContext&) { return Complete(); });
    _exit(worker.RunUntilSignal().ok() ? 3 : 4);
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(3), "");
}

TEST(WorkerTest, ALastingRefusalEndsTheRun) {
  FakeServer server;
  server.lease.Always([](grpc::ServerContext*, const auto&, v1::LeaseJobsResponse*) {
    return FakeError(StatusCode::UNAUTHENTICATED, "KEY_INVALID");
  });
  Told told;
  Worker worker(OptionsFor(server), {.refusal_limit = 100ms, .on_trouble = told.sink()});
  worker.Handle("", [](JobContext&) { return Complete(); });
  const Status status = worker.RunUntilSignal();
  EXPECT_EQ(status.code, Code::kPermissionDenied);
  EXPECT_EQ(status.reason, "KEY_INVALID");
  EXPECT_EQ(told.all().size(), 1u);
}

TEST(WorkerDeathTest, ASecondSignalEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto run = [] {
    FakeServer server;
    Supply supply(&server, {"stubborn"});
    Worker worker(OptionsFor(server), {.log_line = [](const std::string&) {
                    // Draining has begun, so the first signal was handled.
                    kill(getpid(), SIGINT);
                  }});
    worker.Handle("", [&](JobContext&) -> Verdict {
      kill(getpid(), SIGTERM);
      std::this_thread::sleep_for(1h);
      return Complete();
    });
    worker.RunUntilSignal();
    _exit(3);
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(128 + SIGINT), "");
}

}  // namespace
}  // namespace dqueue::client
