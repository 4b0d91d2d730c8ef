#include "transport/listeners/poller_reserve.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <thread>

#include "dqueue/v1/service.grpc.pb.h"
#include "transport/peers/peer_links.h"
#include "transport/server/server.h"
#include "transport/testing/fake_node.h"

namespace dqueue::transport {
namespace {

using namespace std::chrono_literals;

// A thread that received a message waits for a stalled disk. Meanwhile all other calls are served,
// repeatedly.
TEST(PollerReserve, IsLetOutWhileAPollerIsStuck) {
  FakeNode a;
  FakeNode b;
  b.SetLeader("b", "here:1");
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  options.node_name = "b";
  options.keep_poller_in_reserve = true;
  auto server = Server::Start(options, &b);
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string address = "127.0.0.1:" + std::to_string((*server)->port());

  const std::unique_ptr<PeerLinks> links = PeerLinks::Create("a");
  links->Attach(&a);
  raft::Member member;
  member.id = raft::NodeIdOf("b");
  member.name = "b";
  member.address = address;
  links->SetPeers({member});
  const auto stub =
      v1::ClusterService::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  const auto ask = [&] {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 10s);
    v1::GetClusterResponse response;
    return stub->GetCluster(&context, v1::GetClusterRequest(), &response);
  };

  for (int round = 0; round < 3; ++round) {
    EXPECT_TRUE(ask().ok());
    b.Stall(true);
    bool stuck = false;
    for (int i = 0; i < 200 && !stuck; ++i) {
      links->Send(member.id, {Heartbeat(1)});
      std::this_thread::sleep_for(10ms);
      stuck = b.stuck();
    }
    ASSERT_TRUE(stuck);
    const grpc::Status status = ask();
    EXPECT_TRUE(status.ok()) << status.error_message();
    // The stream is read on: a leader's heartbeats are heard.
    links->Send(member.id, {Heartbeat(1000 + round)});
    EXPECT_TRUE(b.WaitForReceived([&](const std::vector<raft::Message>& received) {
      const auto* last = std::get_if<raft::HeartbeatRequest>(&received.back().body);
      return last != nullptr && last->commit == raft::Index(1000 + round);
    }));
    b.Stall(false);
  }
  links->Stop();
}

}  // namespace
}  // namespace dqueue::transport
