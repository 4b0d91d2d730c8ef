#include "transport/http/server/router.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace dqueue::transport {
namespace {

class Answer final : public HttpReply::Exchange {
 public:
  void Send(HttpResponse response) override { response_ = std::move(response); }
  bool BeginStream(HttpResponse) override { return false; }
  void Write(HttpChunk) override {}
  void EndStream() override {}
  void OnGone(std::function<void()>) override {}
  bool gone() const override { return gone_; }
  const Credentials& credentials() const override { return credentials_; }
  HttpResponse response_;
  bool gone_ = false;
  Credentials credentials_;
};

class RouterTest : public testing::Test {
 protected:
  RouterTest() {
    Add("GET", "/jobs/{id}", 0);
    Add("POST", "/jobs", 10);
    Add("POST", "/jobs/lease", 20);
    Add("POST", "/jobs/{id}/ack", 30);
    Add("POST", "/v1/jobs:cancel", 40);
    Add("POST", "/v1/queues/{queue}:pause", 50);
    Add("POST", "/v1/queues/{queue}", 60);
    Add("POST", "/v1/queues/main:pause", 70);
    Add("GET", "/", 0);
  }
  void Add(const std::string& method, const std::string& pattern, size_t body) {
    router_.Add({method, pattern,
                 [pattern](const HttpCall& call, const HttpReply& reply) {
                   HttpResponse response;
                   response.body = pattern;
                   for (const auto& [name, value] : call.path) {
                     response.body += " " + name + "=" + value;
                   }
                   reply.Send(std::move(response));
                 },
                 pattern, queue::Scope::kNone, body});
  }
  static HttpRequest Request(const std::string& method, const std::string& target) {
    HttpRequest request;
    request.method = method;
    request.target = *ParseTarget(target);
    return request;
  }
  HttpResponse Ask(const std::string& method, const std::string& target) {
    auto answer = std::make_shared<Answer>();
    router_.Handle(Request(method, target), HttpReply(answer));
    return answer->response_;
  }

  Router router_{std::make_shared<Authenticator>(false)};
};

TEST_F(RouterTest, ANameMayHaveASuffix) {
  EXPECT_EQ(Ask("POST", "/v1/queues/mail:pause").body, "/v1/queues/{queue}:pause queue=mail");
  EXPECT_EQ(Ask("POST", "/v1/queues/a:b:pause").body, "/v1/queues/{queue}:pause queue=a:b");
  EXPECT_EQ(Ask("POST", "/v1/queues/mail:stop").body, "/v1/queues/{queue} queue=mail:stop");
  EXPECT_EQ(Ask("POST", "/v1/queues/:pause").body, "/v1/queues/{queue} queue=:pause");
  EXPECT_EQ(Ask("POST", "/v1/queues/main:pause").body, "/v1/queues/main:pause");
  EXPECT_EQ(router_.BodyBytesMax(Request("POST", "/v1/queues/mail:pause")), 50u);
}

TEST_F(RouterTest, ReadOnlyRefusesAllButGet) {
  router_.SetReadOnly();
  EXPECT_EQ(Ask("GET", "/jobs/a").body, "/jobs/{id} id=a");
  EXPECT_EQ(Ask("HEAD", "/jobs/a").body, "/jobs/{id} id=a");
  const HttpResponse refused = Ask("POST", "/v1/jobs:cancel");
  EXPECT_EQ(refused.status, 403);
  EXPECT_NE(refused.body.find("\"reason\":\"READ_ONLY\""), std::string::npos) << refused.body;
  EXPECT_EQ(Ask("POST", "/nothing").status, 404);
  EXPECT_EQ(Ask("OPTIONS", "/jobs").status, 204);
}

std::string Allow(const HttpResponse& response) {
  return response.headers.empty() ? ""
                                  : response.headers[0].first + ": " + response.headers[0].second;
}

TEST_F(RouterTest, FindsTheRoute) {
  for (const auto& [method, target, body] : std::vector<std::array<std::string, 3>>{
           {"GET", "/jobs/a", "/jobs/{id} id=a"},
           {"HEAD", "/jobs/a", "/jobs/{id} id=a"},
           {"GET", "/jobs/a%2Fb", "/jobs/{id} id=a/b"},
           {"GET", "/jobs/lease", "/jobs/{id} id=lease"},
           {"POST", "/jobs/lease", "/jobs/lease"},
           {"POST", "/jobs/lease/ack", "/jobs/{id}/ack id=lease"},
           {"POST", "/jobs?x=1", "/jobs"},
           {"POST", "/v1/jobs:cancel", "/v1/jobs:cancel"},
           {"POST", "/v1/jobs%3Acancel", "/v1/jobs:cancel"},
           {"GET", "/", "/"},
       }) {
    const HttpResponse response = Ask(method, target);
    EXPECT_EQ(response.status, 200) << method << target;
    EXPECT_EQ(response.body, body) << method << target;
  }
}

TEST_F(RouterTest, UnknownPathsAndMethodsAreRefused) {
  for (const char* target :
       {"/job", "/jobs/", "/jobs//ack", "/jobs/a/", "//jobs", "/Jobs/a", "/jobs/a/ack/b"}) {
    const HttpResponse response = Ask("GET", target);
    EXPECT_EQ(response.status, 404) << target;
    EXPECT_NE(response.body.find("\"reason\":\"NOT_FOUND\""), std::string::npos) << target;
    EXPECT_EQ(Allow(response), "") << target;
  }
}

TEST_F(RouterTest, AllowListsTheMethods) {
  for (const auto& [method, target, allow] : std::vector<std::array<std::string, 3>>{
           {"POST", "/jobs/a", "GET, HEAD, OPTIONS"},
           {"BREW", "/jobs", "OPTIONS, POST"},
           {"TRACE", "/jobs/lease", "GET, HEAD, OPTIONS, POST"},
           {"GET", "*", "GET, HEAD, OPTIONS, POST"},
       }) {
    const HttpResponse response = Ask(method, target);
    EXPECT_EQ(response.status, 405) << method << target;
    EXPECT_EQ(Allow(response), "Allow: " + allow) << method << target;
  }
  EXPECT_EQ(Ask("OPTIONS", "/jobs").status, 204);
  EXPECT_EQ(Allow(Ask("OPTIONS", "/jobs")), "Allow: OPTIONS, POST");
  EXPECT_EQ(Allow(Ask("OPTIONS", "*")), "Allow: GET, HEAD, OPTIONS, POST");
  EXPECT_EQ(Ask("OPTIONS", "/none").status, 404);
}

TEST_F(RouterTest, KnowsTheBodyLimitOfARoute) {
  EXPECT_EQ(router_.BodyBytesMax(Request("POST", "/jobs")), 10u);
  EXPECT_EQ(router_.BodyBytesMax(Request("POST", "/jobs/a/ack")), 30u);
  EXPECT_EQ(router_.BodyBytesMax(Request("GET", "/jobs/a")), 0u);
  EXPECT_EQ(router_.BodyBytesMax(Request("POST", "/none")), 0u);
}

TEST(RouterPool, ARequestWhoseClientHasGoneIsDropped) {
  WorkPool pool({.threads = {1, 1, 1}});
  Router router(std::make_shared<Authenticator>(false), &pool);
  std::promise<void> open;
  std::atomic<int> handled{0};
  router.Add({"POST", "/jobs",
              [&](const HttpCall&, const HttpReply&) {
                if (++handled == 1) open.get_future().wait();
              },
              "jobs"});
  const auto ask = [&router](bool gone) {
    auto answer = std::make_shared<Answer>();
    answer->gone_ = gone;
    HttpRequest request;
    request.method = "POST";
    request.target = *ParseTarget("/jobs");
    router.Handle(std::move(request), HttpReply(answer));
  };
  ask(false);
  while (handled == 0) std::this_thread::yield();
  ask(true);
  ask(false);
  open.set_value();
  while (pool.counts().pieces[1] > 0) std::this_thread::yield();
  EXPECT_EQ(handled, 2);
}

TEST_F(RouterTest, APlainRouteRefusesParameters) {
  router_.Add({"POST", "/plain", [](HttpCall, const HttpReply& reply) { reply.Send({}); }, "plain",
               queue::Scope::kNone, 0, true, Runs::kInPool, /*plain=*/true});
  EXPECT_EQ(Ask("POST", "/plain").status, 200);
  const HttpResponse refused = Ask("POST", "/plain?colour=red");
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.body.find("\"field\":\"\\\"colour\\\"\""), std::string::npos) << refused.body;
}

TEST_F(RouterTest, RoutesCanBeListed) {
  ASSERT_EQ(router_.routes().size(), 9u);
  EXPECT_EQ(router_.routes()[3].pattern, "/jobs/{id}/ack");
}

}  // namespace
}  // namespace dqueue::transport
