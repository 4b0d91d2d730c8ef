// A key is revoked while its calls run: on three real nodes, over gRPC and HTTP, at the leader and
// at followers.
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "transport/http/http_facade.h"
#include "transport/keys/secret_key.h"
#include "transport/testing/cluster_fixture.h"
#include "transport/testing/raw_http1.h"

namespace dqueue::transport {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

using JobStub = v1::JobService::Stub;
using KeyStub = v1::KeyService::Stub;
using WorkerStub = v1::WorkerService::Stub;

// What is promised (docs/security.md), and a margin for a busy machine.
constexpr auto kEndsIn = 2s;

class RevocationTest : public ClusterTest {
 protected:
  void SetUp() override {
    key_ = MakeSecretKey(v1::KEY_TYPE_ADMIN).secret;
    ClusterTest::SetUp();
    for (int i = 0; i < kNodes; ++i) {
      auto facade = HttpFacade::Start("127.0.0.1:0", &machines_[i]->server());
      ASSERT_TRUE(facade.ok()) << facade.status();
      facades_.push_back(*std::move(facade));
    }
    leader_ = WaitForLeader();
    ASSERT_TRUE(Eventually([&] {
      return Call(leader_, &KeyStub::ListKeys, v1::ListKeysRequest()).status.ok();
    })) << "the first key";
  }
  void TearDown() override {
    facades_.clear();
    ClusterTest::TearDown();
  }
  ServerOptions OptionsOf(int) override {
    ServerOptions options;
    options.auth = true;
    options.first_keys.always = true;
    options.first_keys.keys.push_back(
        {.name = "first", .owner_id = "ops", .type = v1::KEY_TYPE_ADMIN, .secret = key_});
    return options;
  }

  template <class Condition>
  static bool Eventually(const Condition& condition) {
    const auto end = steady_clock::now() + 20s;
    while (!condition()) {
      if (steady_clock::now() > end) return false;
      std::this_thread::sleep_for(5ms);
    }
    return true;
  }
  // A key that every node knows.
  std::string MakeKey() {
    v1::CreateKeyRequest request;
    request.set_name("worker");
    request.set_owner_id("team");
    request.set_type(v1::KEY_TYPE_WORKER);
    const auto made = Call(leader_, &KeyStub::CreateKey, request);
    EXPECT_TRUE(made.status.ok()) << made.status.error_message();
    for (int i = 0; i < kNodes; ++i) {
      EXPECT_TRUE(Eventually([&] {
        return machines_[i]
                   ->server()
                   .authenticator()
                   ->Look({"Bearer " + made.response.secret(), ""}, queue::Scope::kJobsRead)
                   .standing == Authenticator::Standing::kAllowed;
      }));
    }
    return made.response.secret();
  }
  void Revoke(const std::string& key) {
    v1::RevokeKeyRequest request;
    request.set_id(key);
    const auto revoked = Call(leader_, &KeyStub::RevokeKey, request);
    ASSERT_TRUE(revoked.status.ok()) << revoked.status.error_message();
  }
  // A long poll with this key; the reason of its end, and whether it brought a job.
  std::future<std::string> LongPoll(int node, const std::string& key) {
    return std::async(std::launch::async, [this, node, key] {
      WorkerStub stub(channels_[node]);
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + 60s);
      context.AddMetadata("authorization", "Bearer " + key);
      v1::LeaseJobsResponse response;
      const grpc::Status status = stub.LeaseJobs(&context, Lease(1, 50), &response);
      if (response.jobs_size() > 0) return "got " + response.jobs(0).payload();
      return status.ok() ? "OK" : ReadRemoteError(status).reason;
    });
  }
  // The same over HTTP.
  std::future<std::string> HttpLongPoll(int node, const std::string& key) {
    return std::async(std::launch::async, [this, node, key] {
      RawClient client(facades_[node]->port());
      const std::string body = R"({"worker_id":"w","wait_ms":50000})";
      client.Send("POST /tasks/lease HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + key +
                  "\r\nContent-Type: application/json\r\nContent-Length: " +
                  std::to_string(body.size()) + "\r\n\r\n" + body);
      return client.ReadAnswer();
    });
  }
  size_t WaitingCalls() {
    std::promise<size_t> waiting;
    machines_[leader_]->server().RequestMetrics([&](const node::NodeMetrics& metrics) {
      waiting.set_value(metrics.view.broker.waiting_leases);
    });
    return waiting.get_future().get();
  }

  int leader_ = 0;
  std::vector<std::unique_ptr<HttpFacade>> facades_;
};

TEST_F(RevocationTest, LongPollsEndOnEveryNode) {
  const std::string key = MakeKey();
  std::vector<std::future<std::string>> polls;
  std::vector<std::future<std::string>> http_polls;
  for (int node = 0; node < kNodes; ++node) {
    polls.push_back(LongPoll(node, key));
    http_polls.push_back(HttpLongPoll(node, key));
  }
  ASSERT_TRUE(Eventually([&] { return WaitingCalls() == 2 * kNodes; }));
  Revoke(key);
  const auto by = steady_clock::now() + kEndsIn;
  for (auto& poll : polls) {
    ASSERT_EQ(poll.wait_until(by), std::future_status::ready) << "still running";
    EXPECT_EQ(poll.get(), "KEY_REVOKED");
  }
  for (auto& poll : http_polls) {
    ASSERT_EQ(poll.wait_until(by), std::future_status::ready) << "still running";
    const std::string answer = poll.get();
    EXPECT_EQ(answer.substr(9, 3), "401") << answer;
    EXPECT_NE(answer.find("KEY_REVOKED"), std::string::npos) << answer;
  }
  // A job that comes now is not lost to one of them.
  ASSERT_TRUE(Call(leader_, &JobStub::EnqueueJobs, Jobs("job", 1)).status.ok());
  const auto leased = Call(leader_, &WorkerStub::LeaseJobs, Lease(1, 10));
  EXPECT_EQ(leased.response.jobs_size(), 1) << leased.status.error_message();
}

// A job that is ready in the very moment of the revocation: after RevokeKey has been answered, no
// poll brings it.
TEST_F(RevocationTest, NoPayloadAfterTheAnswerOfTheRevocation) {
  for (int round = 0; round < 20; ++round) {
    const std::string key = MakeKey();
    std::vector<std::future<std::string>> polls;
    for (int node = 0; node < kNodes; ++node) polls.push_back(LongPoll(node, key));
    ASSERT_TRUE(Eventually([&] { return WaitingCalls() == kNodes; }));
    Revoke(key);
    ASSERT_TRUE(
        Call(leader_, &JobStub::EnqueueJobs, Jobs("job" + std::to_string(round) + "-", kNodes))
            .status.ok());
    for (auto& poll : polls) EXPECT_EQ(poll.get(), "KEY_REVOKED");
    const auto leased = Call(leader_, &WorkerStub::LeaseJobs, Lease(kNodes, 10));
    EXPECT_GE(leased.response.jobs_size(), 1);
    v1::CompleteJobsRequest complete;
    for (const v1::Job& job : leased.response.jobs()) {
      auto* item = complete.add_items();
      item->set_id(job.id());
      *item->mutable_token() = job.lease().token();
    }
    Call(leader_, &WorkerStub::CompleteJobs, complete);
  }
}

TEST_F(RevocationTest, EventStreamsEndOnEveryNode) {
  const std::string key = MakeKey();
  std::vector<std::unique_ptr<RawClient>> streams;
  for (int node = 0; node < kNodes; ++node) {
    auto& client = streams.emplace_back(std::make_unique<RawClient>(facades_[node]->port()));
    client->Send("GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + key +
                 "\r\n\r\n");
    ASSERT_NE(client->ReadUntil("event: ").find("200"), std::string::npos);
  }
  std::vector<std::future<void>> ends;
  for (auto& stream : streams) {
    ends.push_back(std::async(std::launch::async, [&stream] { stream->ReadUntil("0\r\n\r\n"); }));
  }
  Revoke(key);
  const auto by = steady_clock::now() + kEndsIn;
  for (auto& end : ends) EXPECT_EQ(end.wait_until(by), std::future_status::ready);
}

}  // namespace
}  // namespace dqueue::transport
