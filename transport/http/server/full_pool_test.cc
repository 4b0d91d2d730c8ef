// The HTTP server with handlers in a pool: a connection's work does not delay another connection.
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "transport/http/server/http_server.h"
#include "transport/http/server/router.h"
#include "transport/testing/raw_http1.h"

namespace dqueue::transport {
namespace {

HttpResponse Text(const std::string& body) {
  HttpResponse response;
  response.content_type = "text/plain";
  response.body = body;
  return response;
}

std::string Get(const std::string& target) {
  return "GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n";
}
std::string Post(const std::string& target, size_t bytes) {
  return "POST " + target + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(bytes) +
         "\r\n\r\n" + std::string(bytes, 'b');
}

constexpr size_t kLargeBody = kSmallWorkBytes + 1;

class FullPoolTest : public testing::Test {
 protected:
  FullPoolTest() {
    const auto add = [this](const char* method, const char* pattern, Runs runs, auto handle) {
      router_.Add({method, pattern, handle, pattern, queue::Scope::kNone, 1 << 20,
                   /*is_call=*/false, runs});
    };
    const auto ok = [](const HttpCall& call, const HttpReply& reply) {
      reply.Send(
          Text(call.request.target.path[0] + " " + std::to_string(call.request.body.size())));
    };
    add("GET", "/health", Runs::kHere, ok);
    add("GET", "/metrics", Runs::kWatch, ok);
    add("POST", "/small", Runs::kInPool, ok);
    // Keeps its thread until the test ends.
    add("POST", "/block", Runs::kInPool, [this](const HttpCall&, const HttpReply& reply) {
      ++blocked_;
      open_.wait();
      reply.Send(Text("unblocked"));
    });
    add("GET", "/full", Runs::kHere, [](const HttpCall&, const HttpReply& reply) {
      reply.Send(Text(reply.server_full() ? "full" : "free"));
    });
    add("GET", "/big", Runs::kHere, [](const HttpCall&, const HttpReply& reply) {
      reply.Send(Text(std::string(32 << 20, 'b')));
    });
    HttpLimits limits;
    limits.all_answer_bytes = 1 << 20;
    auto server = HttpServer::Start("127.0.0.1:0", &router_, limits);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  ~FullPoolTest() override {
    Open();
    server_.reset();
    pool_.Stop();
  }
  void Open() {
    if (!std::exchange(opened_, true)) unblock_.set_value();
  }
  void WaitForBlocked(int threads) const {
    while (blocked_ < threads) std::this_thread::yield();
  }
  std::unique_ptr<RawClient> Send(const std::string& bytes) const {
    auto client = std::make_unique<RawClient>(server_->port());
    client->Send(bytes);
    return client;
  }
  std::string Ask(const std::string& bytes) const { return Send(bytes)->ReadAnswer(); }

  std::promise<void> unblock_;
  const std::shared_future<void> open_ = unblock_.get_future().share();
  bool opened_ = false;
  std::atomic<int> blocked_{0};
  WorkPool pool_{{.threads = {1, 2, 1}, .pieces_max = 3, .bytes_max = 1 << 20}};
  Router router_{std::make_shared<Authenticator>(false), &pool_};
  std::unique_ptr<HttpServer> server_;
};

TEST_F(FullPoolTest, LargeBodiesDelayNoSmallCall) {
  const auto large = Send(Post("/block", kLargeBody));
  WaitForBlocked(1);
  EXPECT_EQ(Body(Ask(Post("/small", 3))), "small 3");
  EXPECT_EQ(Body(Ask(Get("/metrics"))), "metrics 0");
  EXPECT_EQ(Body(Ask(Get("/health"))), "health 0");
}

TEST_F(FullPoolTest, HealthAndMetricsAnswerWhileAllThreadsAreBusy) {
  std::vector<std::unique_ptr<RawClient>> busy;
  busy.push_back(Send(Post("/block", kLargeBody)));
  for (int i = 0; i < 2; ++i) busy.push_back(Send(Post("/block", 1)));
  WaitForBlocked(3);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(Body(Ask(Get("/health"))), "health 0");
    EXPECT_EQ(Body(Ask(Get("/metrics"))), "metrics 0");
  }
  Open();
  for (const auto& client : busy) EXPECT_EQ(Body(client->ReadAnswer()), "unblocked");
}

TEST_F(FullPoolTest, AFullLaneRefusesAndSaysWhenToComeBack) {
  std::vector<std::unique_ptr<RawClient>> busy;
  for (int i = 0; i < 2; ++i) busy.push_back(Send(Post("/block", 1)));
  WaitForBlocked(2);
  busy.push_back(Send(Post("/small", 1)));
  while (pool_.counts().pieces[1] < 3) std::this_thread::yield();
  const std::string refused = Ask(Post("/small", 1));
  EXPECT_EQ(FirstLine(refused), "HTTP/1.1 503 Service Unavailable");
  EXPECT_NE(refused.find("\r\nRetry-After: 1\r\n"), std::string::npos) << refused;
  EXPECT_NE(refused.find("\"reason\":\"OVERLOADED\""), std::string::npos) << refused;
  Open();
  EXPECT_EQ(Body(busy.back()->ReadAnswer()), "small 1");
}

TEST_F(FullPoolTest, PipelinedRequestsAreAnsweredInOrder) {
  const auto client = Send(Post("/small", kLargeBody) + Post("/small", 1) + Get("/health") +
                           Get("/metrics") + Post("/small", 2));
  for (const std::string& want :
       {"small " + std::to_string(kLargeBody), std::string("small 1"), std::string("health 0"),
        std::string("metrics 0"), std::string("small 2")}) {
    EXPECT_EQ(Body(client->ReadAnswer()), want);
  }
}

TEST_F(FullPoolTest, AnswersThatNobodyReadsStopFurtherWork) {
  EXPECT_EQ(Body(Ask(Get("/full"))), "free");
  auto slow = Send(Get("/big"));
  while (Body(Ask(Get("/full"))) != "full") std::this_thread::yield();
  EXPECT_EQ(FirstLine(Ask(Post("/small", 1))), "HTTP/1.1 503 Service Unavailable");
  EXPECT_EQ(Body(Ask(Get("/health"))), "health 0");
  EXPECT_EQ(Body(Ask(Get("/metrics"))), "metrics 0");
  slow.reset();
  while (Body(Ask(Get("/full"))) != "free") std::this_thread::yield();
  EXPECT_EQ(Body(Ask(Post("/small", 1))), "small 1");
}

}  // namespace
}  // namespace dqueue::transport
