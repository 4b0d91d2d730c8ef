// Access through both ports over TLS, with fake nodes.
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <optional>
#include <thread>

#include "dqueue/v1/peer.grpc.pb.h"
#include "dqueue/v1/service.grpc.pb.h"
#include "node/peer_codec.h"
#include "transport/calls/rpc_error.h"
#include "transport/peers/peer_links.h"
#include "transport/server/server.h"
#include "transport/testing/fake_node.h"
#include "transport/testing/test_certificates.h"

namespace dqueue::transport {
namespace {

using namespace std::chrono_literals;
using grpc::StatusCode;
using testing::HasSubstr;

raft::Member MemberOf(const std::string& name, const std::string& address = "127.0.0.1:1") {
  raft::Member member;
  member.id = raft::NodeIdOf(name);
  member.name = name;
  member.address = address;
  return member;
}

// Servers of the members "a" and "b" of one cluster, over fake nodes. The tests examine "b".
class TlsPortsTest : public testing::Test {
 protected:
  void TearDown() override {
    if (links_ != nullptr) links_->Stop();
  }

  std::shared_ptr<TlsStore> Store(const TlsFiles& files) {
    auto store = TlsStore::Open(files);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }
  // `says`: the name in the metadata, independent of the certificate.
  void StartB(const std::string& name = "b", bool client_port = false,
              const std::string& says = "") {
    ServerOptions options;
    options.listen = "127.0.0.1:0";
    if (client_port) options.client_listen = "127.0.0.1:0";
    options.node_name = says.empty() ? name : says;
    store_ = Store(disk_.WriteNode(ca_, name));
    options.tls = store_;
    b_.SetMembers({MemberOf("a"), MemberOf("b")});
    auto server = Server::Start(options, &b_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    // The members have reached the server by then, too.
    Learn("a");
  }
  // Waits until the server knows a leader.
  void Learn(const std::string& leader, const std::string& address = "127.0.0.1:1") {
    b_.SetLeader(leader, address);
    for (int i = 0; i < 4000 && !server_->NotReadyReason().empty(); ++i) {
      std::this_thread::sleep_for(5ms);
    }
    ASSERT_EQ(server_->NotReadyReason(), "");
  }
  // With no certificate: like a client.
  std::shared_ptr<grpc::Channel> Channel(int port,
                                         const std::optional<TestCertificate>& shown = {}) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = ca_.cert();
    if (shown) {
      options.pem_cert_chain = shown->cert;
      options.pem_private_key = shown->key;
    }
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port),
                                     grpc::SslCredentials(options), args);
  }
  // The status of a peer stream that claims to come from `name`. OK: admitted, and its message was
  // read.
  grpc::Status Connect(const std::shared_ptr<grpc::Channel>& channel, const std::string& name) {
    const auto stub = peer::v1::PeerService::NewStub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 20s);
    context.AddMetadata("dqueue-node", name);
    const auto stream = stub->Connect(&context);
    stream->WaitForInitialMetadata();
    const bool admitted = context.GetServerInitialMetadata().contains("dqueue-node");
    if (admitted) {
      peer::v1::Frame frame;
      node::EncodeMessage(Heartbeat(7), frame.add_messages());
      stream->Write(frame);
      EXPECT_TRUE(b_.WaitForReceived(1));
      stream->WritesDone();
    }
    const grpc::Status status = stream->Finish();
    EXPECT_EQ(admitted, status.ok());
    return status;
  }
  // A call that the leader b would answer; the node answers if it gets there.
  grpc::Status GetJob(const std::shared_ptr<grpc::Channel>& channel, bool forwarded,
                      bool* leader_named = nullptr) {
    v1::JobService::Stub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 20s);
    if (forwarded) context.AddMetadata("dqueue-forwarded", "1");
    v1::GetJobRequest request;
    request.set_id("x");
    v1::GetJobResponse response;
    std::thread answer([&] {
      for (int i = 0; i < 4000 && b_.waiting() == 0 && !ended_; ++i) {
        std::this_thread::sleep_for(1ms);
      }
      if (b_.waiting() > 0) b_.Take<queue::GetCall>().done(v1::GetJobResponse());
    });
    const grpc::Status status = stub.GetJob(&context, request, &response);
    ended_ = true;
    answer.join();
    ended_ = false;
    if (leader_named != nullptr) {
      *leader_named = context.GetServerInitialMetadata().contains("dqueue-leader-address");
    }
    return status;
  }

  const TestCa ca_;
  const TestFiles disk_;
  FakeNode a_;
  FakeNode b_;
  std::shared_ptr<TlsStore> store_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<PeerLinks> links_;
  std::atomic<bool> ended_{false};
};

TEST_F(TlsPortsTest, OnlyMembersArePeers) {
  StartB();
  const int port = server_->port();
  const TestCa other("another CA");
  struct Case {
    std::optional<TestCertificate> shown;
    std::string says;  // who it is
    StatusCode code;
    std::string problem;
  };
  const Case cases[] = {
      {{}, "a", StatusCode::UNAUTHENTICATED, "there is none here"},
      {ca_.IssueNode("x"), "x", StatusCode::PERMISSION_DENIED,
       "names x, localhost; none of these is a member of this cluster"},
      {ca_.IssueNode("x"), "a", StatusCode::PERMISSION_DENIED, "but the caller says that it is a "},
      {ca_.IssueNode("a"), "b", StatusCode::PERMISSION_DENIED, "but the caller says that it is b "},
      {ca_.IssueNode("a"), "", StatusCode::PERMISSION_DENIED, "but the caller says that it is ? "},
      {ca_.Issue({.names = "URI:a,email:a,IP:127.0.0.1"}), "a", StatusCode::UNAUTHENTICATED,
       "there is none here"},
      {ca_.Issue({.names = "DNS:*"}), "a", StatusCode::PERMISSION_DENIED,
       "but the caller says that it is a "},
      // These fail before a call begins.
      {other.IssueNode("a"), "a", StatusCode::UNAVAILABLE, ""},
      {ca_.Issue({.names = "DNS:a", .begins_in_s = -7200, .ends_in_s = -3600}), "a",
       StatusCode::UNAVAILABLE, ""},
      {ca_.Issue({.names = "DNS:a", .usage = "serverAuth"}), "a", StatusCode::UNAVAILABLE, ""},
  };
  for (const Case& c : cases) {
    const grpc::Status status = Connect(Channel(port, c.shown), c.says);
    EXPECT_EQ(status.error_code(), c.code) << c.says << ": " << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(c.problem));
  }
  EXPECT_TRUE(b_.received().empty());
  const grpc::Status member = Connect(Channel(port, ca_.IssueNode("a")), "a");
  EXPECT_TRUE(member.ok()) << member.error_message();
  EXPECT_EQ(b_.received().size(), 1u);
}

TEST_F(TlsPortsTest, AMemberSendsOnlyItsOwnMessages) {
  StartB();
  b_.SetMembers({MemberOf("a"), MemberOf("b"), MemberOf("c")});
  Learn("c");
  const auto stub = peer::v1::PeerService::NewStub(Channel(server_->port(), ca_.IssueNode("c")));
  std::unique_ptr<grpc::ClientContext> context;
  std::unique_ptr<grpc::ClientReaderWriter<peer::v1::Frame, peer::v1::Frame>> stream;
  // Until the server knows the new member.
  for (int i = 0; i < 2000; ++i) {
    context = std::make_unique<grpc::ClientContext>();
    context->AddMetadata("dqueue-node", "c");
    stream = stub->Connect(context.get());
    stream->WaitForInitialMetadata();
    if (context->GetServerInitialMetadata().contains("dqueue-node")) break;
    stream->Finish();
  }
  raft::Message own = Heartbeat(2);
  own.from = raft::NodeIdOf("c");
  peer::v1::Frame frame;
  node::EncodeMessage(Heartbeat(1), frame.add_messages());  // from "a"
  node::EncodeMessage(own, frame.add_messages());
  ASSERT_TRUE(stream->Write(frame));
  ASSERT_TRUE(b_.WaitForReceived(1));
  // After it leaves the cluster its messages are refused, and the stream ends.
  b_.SetMembers({MemberOf("a"), MemberOf("b")});
  while (stream->Write(frame)) std::this_thread::sleep_for(5ms);
  EXPECT_EQ(stream->Finish().error_code(), StatusCode::PERMISSION_DENIED);
  for (const raft::Message& message : b_.received()) {
    EXPECT_EQ(message.from, raft::NodeIdOf("c"));
  }
}

TEST_F(TlsPortsTest, OnlyMembersForward) {
  StartB();
  Learn("b");
  const int port = server_->port();
  struct Case {
    std::optional<TestCertificate> shown;
    StatusCode code;
  };
  for (const Case& c : {Case{{}, StatusCode::UNAUTHENTICATED},
                        Case{ca_.IssueNode("x"), StatusCode::PERMISSION_DENIED},
                        Case{TestCa("another CA").IssueNode("a"), StatusCode::UNAVAILABLE},
                        Case{ca_.IssueNode("a"), StatusCode::OK}}) {
    const grpc::Status status = GetJob(Channel(port, c.shown), true);
    EXPECT_EQ(status.error_code(), c.code) << status.error_message();
    if (c.code == StatusCode::UNAUTHENTICATED || c.code == StatusCode::PERMISSION_DENIED) {
      EXPECT_EQ(ReadRemoteError(status).reason, "NOT_A_PEER");
    }
  }
}

TEST_F(TlsPortsTest, ClientsNeedNoCertificate) {
  StartB("b");
  // A leader that is this node: nothing is forwarded.
  b_.SetLeader("b", "127.0.0.1:1");
  for (int i = 0; i < 2000; ++i) {
    const grpc::Status status = GetJob(Channel(server_->port()), false);
    if (status.ok()) return;
  }
  FAIL() << "no call came through";
}

TEST_F(TlsPortsTest, PlainTextIsRefused) {
  StartB();
  const auto channel = grpc::CreateChannel("127.0.0.1:" + std::to_string(server_->port()),
                                           grpc::InsecureChannelCredentials());
  EXPECT_EQ(GetJob(channel, false).error_code(), StatusCode::UNAVAILABLE);
}

TEST_F(TlsPortsTest, PeersAndClientsHavePortsOfTheirOwn) {
  StartB("b", true);
  ASSERT_NE(server_->port(), server_->client_port());
  const auto member = Channel(server_->port(), ca_.IssueNode("a"));
  const auto stranger = Channel(server_->port());
  const auto client = Channel(server_->client_port());

  // A peer's port.
  EXPECT_TRUE(Connect(member, "a").ok());
  EXPECT_TRUE(GetJob(member, true).ok());
  for (const auto& channel : {member, stranger}) {
    const grpc::Status status = GetJob(channel, false);
    EXPECT_EQ(status.error_code(), StatusCode::UNIMPLEMENTED);
    EXPECT_EQ(ReadRemoteError(status).reason, "PEERS_ONLY");
    v1::GetClusterResponse response;
    grpc::ClientContext context;
    EXPECT_EQ(v1::ClusterService::Stub(channel).GetCluster(&context, {}, &response).error_code(),
              StatusCode::UNIMPLEMENTED);
  }
  EXPECT_EQ(GetJob(stranger, true).error_code(), StatusCode::UNAUTHENTICATED);

  // A client's port.
  EXPECT_EQ(GetJob(client, true).error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(Connect(client, "a").error_code(), StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(Connect(Channel(server_->client_port(), ca_.IssueNode("a")), "a").error_code(),
            StatusCode::UNIMPLEMENTED);
  v1::GetClusterResponse view;
  grpc::ClientContext context;
  ASSERT_TRUE(v1::ClusterService::Stub(client).GetCluster(&context, {}, &view).ok());
  EXPECT_EQ(view.leader_id(), "a");
  EXPECT_EQ(view.leader_address(), "");
  ASSERT_EQ(view.members_size(), 2);
  EXPECT_EQ(view.members(0).address(), "");
}

// A call at the follower b, forwarded to the leader a; also after both have new certificates of
// another CA, and the connection between them has ended.
TEST_F(TlsPortsTest, CallsAreForwardedToTheExpectedMember) {
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  options.node_name = "a";
  const std::shared_ptr<TlsStore> a_store = Store(disk_.WriteNode(ca_, "a"));
  options.tls = a_store;
  a_.SetMembers({MemberOf("a"), MemberOf("b")});
  a_.SetLeader("a", "127.0.0.1:1");
  auto a = Server::Start(options, &a_);
  ASSERT_TRUE(a.ok()) << a.status();
  const std::string address = "127.0.0.1:" + std::to_string((*a)->port());

  StartB("b", true);
  b_.SetLeader("a", address);
  // Until b knows the new address; no server is at the old one.
  const auto forward = [&](const std::shared_ptr<grpc::Channel>& channel) {
    std::thread answer([&] { a_.Take<queue::GetCall>().done(v1::GetJobResponse()); });
    grpc::Status status(StatusCode::UNKNOWN, "");
    bool leader_named = true;
    for (int i = 0; i < 100 && !status.ok(); ++i) status = GetJob(channel, false, &leader_named);
    answer.join();
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_FALSE(leader_named);
  };
  const auto client = Channel(server_->client_port());
  forward(client);

  const TestCa next("the next CA");
  disk_.WriteNode(next, "a");
  disk_.WriteNode(next, "b");
  a_store->Look();
  store_->Look();
  ASSERT_EQ(a_store->current()->ca, next.cert());
  ASSERT_EQ(store_->current()->ca, next.cert());
  a->reset();
  options.listen = address;
  a = Server::Start(options, &a_);
  ASSERT_TRUE(a.ok()) << a.status();
  forward(client);
}

TEST_F(TlsPortsTest, LinksReachOnlyTheExpectedMember) {
  // With b's certificate it says that it is c.
  StartB("b", false, "c");
  links_ = PeerLinks::Create("a", Store(disk_.WriteNode(ca_, "a")));
  links_->Attach(&a_);
  std::string address = "127.0.0.1:" + std::to_string(server_->port());
  const auto arrives = [&](int tries) {
    const size_t before = b_.received().size();
    for (int i = 0; i < tries; ++i) {
      links_->Send(raft::NodeIdOf("b"), {Heartbeat(1)});
      links_->Send(raft::NodeIdOf("c"), {Heartbeat(1)});
      if (b_.received().size() > before) return true;
      std::this_thread::sleep_for(5ms);
    }
    return false;
  };
  links_->SetPeers({MemberOf("c", address)});
  EXPECT_FALSE(arrives(60));
  server_.reset();
  StartB();
  address = "127.0.0.1:" + std::to_string(server_->port());
  links_->SetPeers({MemberOf("b", address)});
  EXPECT_TRUE(arrives(2000));
}

TEST_F(TlsPortsTest, ANodeIsToldThatAPeerRefusesIt) {
  StartB();
  links_ = PeerLinks::Create("x", Store(disk_.WriteNode(ca_, "x")));
  links_->Attach(&a_);
  links_->SetPeers({MemberOf("b", "127.0.0.1:" + std::to_string(server_->port()))});
  for (int i = 0; i < 2000 && a_.refusals().empty(); ++i) std::this_thread::sleep_for(5ms);
  ASSERT_FALSE(a_.refusals().empty());
  EXPECT_NE(a_.refusals().front().find("none of these is a member of this cluster"),
            std::string::npos)
      << a_.refusals().front();
}

TEST_F(TlsPortsTest, NewConnectionsGetTheNewCertificate) {
  StartB();
  // A new CA: only callers that trust it are admitted, and its members are the peers.
  const auto old_channel = Channel(server_->port(), ca_.IssueNode("a"));
  EXPECT_TRUE(Connect(old_channel, "a").ok());
  const TestCa next("the next CA");
  const TlsFiles files = disk_.WriteNode(next, "b");
  store_->Look();
  ASSERT_EQ(store_->current()->ca, next.cert());
  EXPECT_TRUE(Connect(old_channel, "a").ok()) << "an old connection goes on";
  EXPECT_EQ(Connect(Channel(server_->port(), ca_.IssueNode("a")), "a").error_code(),
            StatusCode::UNAVAILABLE);
  grpc::SslCredentialsOptions options;
  const TestCertificate shown = next.IssueNode("a");
  options.pem_root_certs = next.cert();
  options.pem_cert_chain = shown.cert;
  options.pem_private_key = shown.key;
  const auto channel = grpc::CreateChannel("127.0.0.1:" + std::to_string(server_->port()),
                                           grpc::SslCredentials(options));
  EXPECT_TRUE(Connect(channel, "a").ok());
}

}  // namespace
}  // namespace dqueue::transport
