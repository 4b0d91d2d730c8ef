// Calls without a server that could be reached.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "client/client.h"
#include "client/testing/fake_server.h"

namespace dqueue::client {
namespace {

using namespace std::chrono_literals;

class UnreachableTest : public testing::Test {
 protected:
  void SetUp() override {
    server_.Stop();
    options_.servers = {server_.address()};
    options_.timeout = 60s;
    options_.unreachable_limit = 200ms;
  }

  // Far below the time limit of the call.
  void ExpectRefusedSoon(const std::function<Status()>& call) {
    const auto begin = std::chrono::steady_clock::now();
    const Status status = call();
    const auto took = std::chrono::steady_clock::now() - begin;
    EXPECT_EQ(status.code, Code::kUnavailable);
    EXPECT_EQ(status.reason, "CONNECTION_REFUSED");
    EXPECT_THAT(status.message, testing::StartsWith(server_.address() + ": connection refused"));
    EXPECT_GE(took, 200ms);
    EXPECT_LT(took, 10s);
  }

  FakeServer server_;
  ClientOptions options_;
};

TEST_F(UnreachableTest, CallsFailSoon) {
  ExpectRefusedSoon([&] { return Client(options_).Get("id").status; });
  ExpectRefusedSoon([&] { return Client(options_).Enqueue({}).status; });
  ExpectRefusedSoon([&] { return Client(options_).EnqueueMany({{}, {}}).status; });
  ExpectRefusedSoon([&] { return Client(options_).WaitForCompletion("id", 60s).status; });
}

TEST_F(UnreachableTest, WithoutALimitARestartIsWaitedFor) {
  options_.unreachable_limit.reset();
  Client client(options_);
  std::jthread restart([&] {
    std::this_thread::sleep_for(400ms);
    server_.Restart();
  });
  EXPECT_TRUE(client.Get("id").ok());
}

TEST_F(UnreachableTest, OneServerIsEnough) {
  FakeServer other;
  options_.servers.push_back(other.address());
  options_.unreachable_limit = 0ms;
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(Client(options_).Get("id").ok());
}

TEST_F(UnreachableTest, ACallToOneServerHasTheCause) {
  const Status status = Client(options_).GetCluster(server_.address()).status;
  EXPECT_EQ(status.reason, "CONNECTION_REFUSED");
}

}  // namespace
}  // namespace dqueue::client
