#include "client/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "client/testing/fake_server.h"

namespace dqueue::client {
namespace {

using testing::HasSubstr;

ClientOptions With(std::vector<std::string> servers, std::optional<TlsOptions> tls = {},
                   std::string api_key = "") {
  ClientOptions options;
  options.servers = std::move(servers);
  options.tls = std::move(tls);
  options.api_key = std::move(api_key);
  return options;
}

class AccessTest : public testing::Test {
 protected:
  void SetUp() override { Write("-----BEGIN CERTIFICATE-----\n"); }
  void TearDown() override { std::remove(file_.c_str()); }
  void Write(const std::string& text) { std::ofstream(file_) << text; }

  const std::string file_ = testing::TempDir() + "/access_test_" + std::to_string(getpid());
};

TEST_F(AccessTest, SchemeOrOptionsTurnTlsOn) {
  const TlsOptions tls{.ca_file = file_};
  EXPECT_FALSE(Access::From(With({"h:1"})).tls);
  EXPECT_FALSE(Access::From(With({"http://h:1", "i:1"})).tls);
  EXPECT_TRUE(Access::From(With({"h:1"}, tls)).tls);
  EXPECT_TRUE(Access::From(With({"https://h:1", "i:1"}, tls)).tls);
  // The system's CA file exists or is reported as missing.
  const Access system = Access::From(With({"https://h:1"}));
  EXPECT_TRUE(system.tls);
  if (!system.problem.ok()) {
    EXPECT_THAT(system.problem.message, HasSubstr("/etc/ssl/certs"));
  }
}

TEST_F(AccessTest, BadOptions) {
  struct Case {
    ClientOptions options;
    std::string message;
  };
  const Case cases[] = {
      {With({"http://h:1", "https://i:1"}),
       "a server with http:// requires plain text, but another option requires TLS"},
      {With({"http://h:1"}, TlsOptions{.ca_file = file_}),
       "a server with http:// requires plain text, but another option requires TLS"},
      {With({"h:1"}, TlsOptions{.ca_file = "/nowhere/ca"}),
       "tls.ca_file /nowhere/ca: No such file or directory"},
      {With({"h:1"}, TlsOptions{.ca_file = "/dev/null"}),
       "tls.ca_file /dev/null: the file has no PEM block"},
      {With({"h:1"}, TlsOptions{.ca_file = file_, .cert_file = file_}),
       "tls.cert_file and tls.key_file must be set together"},
      {With({"h:1"}, TlsOptions{.ca_file = file_, .key_file = file_}),
       "tls.cert_file and tls.key_file must be set together"},
      {With({"h:1"}, TlsOptions{.ca_file = file_, .cert_file = file_, .key_file = "/nowhere/key"}),
       "tls.key_file /nowhere/key: No such file or directory"},
      {With({"h:1"}, {}, "two words"), "the API key must be 1 to 4096 visible ASCII characters"},
      {With({"h:1"}, {}, "line\n"), "the API key must be 1 to 4096 visible ASCII characters"},
      {With({"h:1"}, {}, std::string(4097, 'k')),
       "the API key must be 1 to 4096 visible ASCII characters"},
  };
  for (const Case& c : cases) {
    const Access access = Access::From(c.options);
    EXPECT_EQ(access.problem.code, Code::kInvalidArgument) << c.message;
    EXPECT_EQ(access.problem.message, c.message);
    // Every kind of call returns the problem.
    Client client(c.options);
    EXPECT_EQ(client.Get("x").status.message, c.message);
    EXPECT_EQ(client.GetCluster("h:1").status.message, c.message);
    EXPECT_EQ(client.Enqueue({}).status.message, c.message);
  }
}

TEST_F(AccessTest, EachCallCarriesTheKey) {
  FakeServer server;
  std::atomic<int> with_key{0};
  const auto look = [&](grpc::ServerContext* context) {
    const auto it = context->client_metadata().find("authorization");
    if (it == context->client_metadata().end()) return;
    if (std::string(it->second.data(), it->second.size()) == "Bearer key-1") ++with_key;
  };
  server.enqueue.Always([&](grpc::ServerContext* context, const v1::EnqueueJobsRequest& request,
                            v1::EnqueueJobsResponse* response) {
    look(context);
    for (const auto& job : request.jobs()) response->add_results()->set_id(job.id());
    return grpc::Status::OK;
  });
  server.cluster.Always(
      [&](grpc::ServerContext* context, const v1::GetClusterRequest&, v1::GetClusterResponse*) {
        look(context);
        return grpc::Status::OK;
      });
  Client client(With({server.address()}, {}, "key-1"));
  EXPECT_TRUE(client.Enqueue({}).ok());
  EXPECT_TRUE(client.GetCluster(server.address()).ok());
  EXPECT_TRUE(client.GetCluster().ok());
  EXPECT_EQ(with_key, 3);
}

}  // namespace
}  // namespace dqueue::client
