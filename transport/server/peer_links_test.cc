#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <thread>

#include "dqueue/v1/peer.grpc.pb.h"
#include "node/peer_codec.h"
#include "transport/listeners/listen_socket.h"
#include "transport/peers/peer_links.h"
#include "transport/server/server.h"
#include "transport/testing/fake_node.h"

namespace dqueue::transport {
namespace {

using namespace std::chrono_literals;

raft::Message Append(size_t bytes) {
  raft::Message message = Heartbeat(0);
  raft::AppendRequest append;
  append.prev_index = raft::Index(4);
  append.prev_term = raft::Term(3);
  append.entries.push_back({raft::Index(5), raft::Term(3), raft::EntryKind::kCommand,
                            std::make_shared<const std::string>(bytes, 'x')});
  message.body = append;
  return message;
}

// Of the messages with that body.
template <class Body>
std::vector<uint64_t> IndexesOf(const std::vector<raft::Message>& messages,
                                raft::Index Body::*field) {
  std::vector<uint64_t> indexes;
  for (const raft::Message& message : messages) {
    if (const auto* body = std::get_if<Body>(&message.body)) {
      indexes.push_back((body->*field).value());
    }
  }
  return indexes;
}
std::vector<uint64_t> CommitsOf(const std::vector<raft::Message>& messages) {
  return IndexesOf(messages, &raft::HeartbeatRequest::commit);
}
std::vector<uint64_t> MatchesOf(const std::vector<raft::Message>& messages) {
  return IndexesOf(messages, &raft::AppendResponse::match);
}

raft::Message FromB(const std::string& to, raft::MessageBody body) {
  raft::Message message = Heartbeat(0);
  message.from = raft::NodeIdOf("b");
  message.to = raft::NodeIdOf(to);
  message.body = std::move(body);
  return message;
}

raft::AppendResponse Matches(uint64_t index) {
  raft::AppendResponse response;
  response.success = true;
  response.match = raft::Index(index);
  return response;
}

// Node "a" sends to node "b".
class PeerLinksTest : public testing::Test {
 protected:
  void SetUp() override {
    links_->Attach(&a_);
    StartB("127.0.0.1:0", "b");
    PointTo("127.0.0.1:" + std::to_string(b_server_->port()));
  }
  void TearDown() override { links_->Stop(); }

  void StartB(const std::string& listen, const std::string& name) {
    ServerOptions options;
    options.listen = listen;
    options.node_name = name;
    auto server = Server::Start(options, &b_);
    ASSERT_TRUE(server.ok()) << server.status();
    b_server_ = *std::move(server);
  }
  void PointTo(const std::string& address) {
    raft::Member b;
    b.id = raft::NodeIdOf("b");
    b.name = "b";
    b.address = address;
    links_->SetPeers({b});
  }
  // Sends heartbeats, as raft does, until one arrives; returns how many have arrived.
  bool Connected() {
    const size_t before = b_.received().size();
    for (int i = 0; i < 2000; ++i) {
      links_->Send(raft::NodeIdOf("b"), {Heartbeat(1000000)});
      if (b_.received().size() > before) return true;
      std::this_thread::sleep_for(5ms);
    }
    return false;
  }

  FakeNode a_;
  FakeNode b_;
  std::unique_ptr<PeerLinks> links_ = PeerLinks::Create("a");
  std::unique_ptr<Server> b_server_;
};

TEST_F(PeerLinksTest, MessagesArriveInOrder) {
  ASSERT_TRUE(Connected());
  const size_t before = b_.received().size();
  constexpr uint64_t kCount = 5000;
  std::vector<raft::Message> batch;
  for (uint64_t i = 0; i < kCount; ++i) {
    batch.push_back(Heartbeat(i));
    if (batch.size() == i % 7 + 1) links_->Send(raft::NodeIdOf("b"), std::exchange(batch, {}));
  }
  links_->Send(raft::NodeIdOf("b"), std::move(batch));
  ASSERT_TRUE(b_.WaitForReceived(before + kCount));
  std::vector<uint64_t> expected;
  for (uint64_t i = 0; i < kCount; ++i) expected.push_back(i);
  std::vector<uint64_t> commits = CommitsOf(b_.received());
  commits.erase(std::remove(commits.begin(), commits.end(), 1000000), commits.end());
  EXPECT_EQ(commits, expected);
}

TEST_F(PeerLinksTest, LargeEntriesArriveWhole) {
  ASSERT_TRUE(Connected());
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{1} << 20, size_t{20} << 20}) {
    const raft::Message sent = Append(bytes);
    links_->Send(raft::NodeIdOf("b"), {sent});
    ASSERT_TRUE(b_.WaitForReceived([&](const std::vector<raft::Message>& received) {
      for (const raft::Message& message : received) {
        const auto* append = std::get_if<raft::AppendRequest>(&message.body);
        if (append != nullptr && append->entries.size() == 1 &&
            *append->entries[0].payload == std::string(bytes, 'x')) {
          return true;
        }
      }
      return false;
    })) << bytes;
  }
}

TEST_F(PeerLinksTest, ABrokenConnectionIsReportedAndMadeAgain) {
  ASSERT_TRUE(Connected());
  EXPECT_TRUE(a_.disconnected().empty());
  const std::string address = "127.0.0.1:" + std::to_string(b_server_->port());
  b_server_.reset();
  ASSERT_TRUE(a_.WaitForDisconnected(1));
  EXPECT_EQ(a_.disconnected()[0], raft::NodeIdOf("b"));
  StartB(address, "b");
  EXPECT_TRUE(Connected());
  EXPECT_EQ(a_.disconnected().size(), 1u) << "attempts that failed are no disconnections";
}

TEST_F(PeerLinksTest, ANewAddressIsFollowed) {
  ASSERT_TRUE(Connected());
  StartB("127.0.0.1:0", "b");
  PointTo("127.0.0.1:" + std::to_string(b_server_->port()));
  EXPECT_TRUE(Connected());
}

TEST_F(PeerLinksTest, AnotherNodeAtTheAddressGetsNothing) {
  ASSERT_TRUE(Connected());
  const std::string address = "127.0.0.1:" + std::to_string(b_server_->port());
  b_server_.reset();
  ASSERT_TRUE(a_.WaitForDisconnected(1));
  StartB(address, "c");
  const size_t before = b_.received().size();
  for (int i = 0; i < 100; ++i) {
    links_->Send(raft::NodeIdOf("b"), {Heartbeat(1)});
    std::this_thread::sleep_for(3ms);
  }
  EXPECT_EQ(b_.received().size(), before);
  b_server_.reset();
  StartB(address, "b");
  EXPECT_TRUE(Connected());
}

TEST_F(PeerLinksTest, ARemovedPeerGetsNothing) {
  ASSERT_TRUE(Connected());
  links_->SetPeers({});
  links_->Send(raft::NodeIdOf("b"), {Heartbeat(77)});
  PointTo("127.0.0.1:" + std::to_string(b_server_->port()));
  ASSERT_TRUE(Connected());
  const std::vector<uint64_t> commits = CommitsOf(b_.received());
  EXPECT_EQ(std::count(commits.begin(), commits.end(), 77), 0);
}

TEST_F(PeerLinksTest, StopsWhileConnecting) {
  PointTo("192.0.2.1:1");  // never answers
  links_->Send(raft::NodeIdOf("b"), {Heartbeat(1)});
  const auto begin = std::chrono::steady_clock::now();
  links_->Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
}

// b has no connection of its own to a.
class PeerAnswersTest : public PeerLinksTest {
 protected:
  void SetUp() override {
    PeerLinksTest::SetUp();
    b_links_->Attach(&b_);
    // Answers each heartbeat with its commit as the match; other messages do not go to a's stream.
    b_.OnReceive([this](const std::vector<raft::Message>& messages) {
      for (const uint64_t commit : CommitsOf(messages)) {
        b_links_->Send(raft::NodeIdOf("c"), {FromB("c", Matches(1))});
        const raft::Message entries = FromB("a", Append(3).body);
        raft::Message forged = FromB("a", Matches(2));
        forged.from = raft::NodeIdOf("c");
        b_links_->Send(raft::NodeIdOf("a"),
                       {entries, FromB("a", Matches(commit)), forged, entries});
      }
    });
    ASSERT_TRUE(Connected());
  }
  void TearDown() override {
    a_.Stall(false);
    b_links_->Stop();
    PeerLinksTest::TearDown();
  }
  bool Arrives(uint64_t match) {
    return a_.WaitForReceived([match](const std::vector<raft::Message>& received) {
      const std::vector<uint64_t> matches = MatchesOf(received);
      return std::count(matches.begin(), matches.end(), match) > 0;
    });
  }

  std::unique_ptr<PeerLinks> b_links_ = PeerLinks::Create("b");
};

TEST_F(PeerAnswersTest, ResponsesComeBackOnTheStreamOfTheRequest) {
  // With pauses after which a does not listen, and without pauses.
  for (uint64_t i = 10; i < 40; ++i) {
    links_->Send(raft::NodeIdOf("b"), {Heartbeat(i)});
    if (i < 20) {
      ASSERT_TRUE(Arrives(i)) << i;
    }
  }
  ASSERT_TRUE(Arrives(39));
  std::vector<uint64_t> expected;
  for (uint64_t i = 10; i < 40; ++i) expected.push_back(i);
  std::vector<uint64_t> matches = MatchesOf(a_.received());
  matches.erase(std::remove(matches.begin(), matches.end(), 1000000), matches.end());
  std::sort(matches.begin(), matches.end());
  EXPECT_EQ(matches, expected) << "nothing for c, nothing forged";
  EXPECT_EQ(a_.received().size(), MatchesOf(a_.received()).size()) << "entries take their own way";
}

TEST_F(PeerAnswersTest, ABreakIsNoticedOnAnIdleStream) {
  links_->Send(raft::NodeIdOf("b"), {Heartbeat(10)});
  ASSERT_TRUE(Arrives(10));
  b_server_.reset();
  ASSERT_TRUE(a_.WaitForDisconnected(1));
}

TEST_F(PeerAnswersTest, StreamsAreReadWhileTheDiskStalls) {
  a_.Stall(true);
  links_->Send(raft::NodeIdOf("b"), {Heartbeat(10)});
  ASSERT_TRUE(Arrives(10));
  for (int i = 0; i < 2000 && !a_.stuck(); ++i) std::this_thread::sleep_for(5ms);
  ASSERT_TRUE(a_.stuck());
  links_->Send(raft::NodeIdOf("b"), {Heartbeat(11)});
  EXPECT_TRUE(Arrives(11));
  links_->Send(raft::NodeIdOf("b"), {Heartbeat(12)});
  EXPECT_TRUE(Arrives(12));
  a_.Stall(false);
  links_->Send(raft::NodeIdOf("b"), {Heartbeat(13)});
  EXPECT_TRUE(Arrives(13));
}

TEST_F(PeerAnswersTest, EachFrameIsAnsweredIfTheOpenerReadsAnswers) {
  const auto stub = peer::v1::PeerService::NewStub(grpc::CreateChannel(
      "127.0.0.1:" + std::to_string(b_server_->port()), grpc::InsecureChannelCredentials()));
  peer::v1::Frame heartbeat;
  node::EncodeMessage(Heartbeat(10), heartbeat.add_messages());
  const peer::v1::Frame empty;
  {
    grpc::ClientContext context;
    context.AddMetadata("dqueue-node", "a");
    context.AddMetadata("dqueue-takes-answers", "1");
    const auto stream = stub->Connect(&context);
    uint32_t answered = 0;
    size_t messages = 0;
    for (const auto& frame : {heartbeat, empty, heartbeat}) ASSERT_TRUE(stream->Write(frame));
    peer::v1::Frame answer;
    while (answered < 3 && stream->Read(&answer)) {
      EXPECT_GE(answer.answered(), 1u);
      answered += answer.answered();
      messages += answer.messages_size();
    }
    EXPECT_EQ(answered, 3u);
    EXPECT_EQ(messages, 4u) << "two responses to each heartbeat, one of them forged";
    stream->WritesDone();
    EXPECT_FALSE(stream->Read(&answer));
    EXPECT_TRUE(stream->Finish().ok());
  }
  {
    grpc::ClientContext context;
    context.AddMetadata("dqueue-node", "a");
    const auto stream = stub->Connect(&context);
    ASSERT_TRUE(stream->Write(heartbeat));
    stream->WritesDone();
    peer::v1::Frame answer;
    EXPECT_FALSE(stream->Read(&answer)) << "an older version, which would not hear it";
    EXPECT_TRUE(stream->Finish().ok());
  }
}

TEST_F(PeerLinksTest, BadMessagesAreDroppedAndTheRestIsTaken) {
  const auto channel = grpc::CreateChannel("127.0.0.1:" + std::to_string(b_server_->port()),
                                           grpc::InsecureChannelCredentials());
  const auto stub = peer::v1::PeerService::NewStub(channel);
  grpc::ClientContext context;
  context.AddMetadata("dqueue-node", "evil");
  const auto stream = stub->Connect(&context);
  peer::v1::Frame frame;
  frame.add_messages();  // no body
  node::EncodeMessage(Heartbeat(5), frame.add_messages());
  peer::v1::Message* gap = frame.add_messages();
  node::EncodeMessage(Append(1), gap);
  gap->mutable_append_request()->mutable_entries(0)->set_index(9);
  node::EncodeMessage(Heartbeat(6), frame.add_messages());
  ASSERT_TRUE(stream->Write(frame));
  ASSERT_TRUE(b_.WaitForReceived(2));
  EXPECT_EQ(CommitsOf(b_.received()), (std::vector<uint64_t>{5, 6}));
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(b_.received().size(), 2u);
}

}  // namespace
}  // namespace dqueue::transport
