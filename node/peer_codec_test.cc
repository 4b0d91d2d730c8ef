#include "node/peer_codec.h"

#include <gtest/gtest.h>

#include <functional>

namespace dqueue::node {
namespace {

using raft::Index;
using raft::Message;
using raft::MessageBody;
using raft::NodeId;
using raft::ReadId;
using raft::Term;

raft::Entry MakeEntry(uint64_t index, uint64_t term, const std::string& payload) {
  return {Index(index), Term(term), raft::EntryKind::kCommand,
          std::make_shared<const std::string>(payload)};
}

const raft::KnownBoot kKnown = {raft::Incarnation(31), {51, 52}, Term(6), {41, 42}};

Message Envelope(MessageBody body) {
  Message message;
  message.cluster = {11, 12};
  message.from = NodeId(21);
  message.from_incarnation = raft::Incarnation(31);
  message.from_boot = {41, 42};
  message.to = NodeId(22);
  message.term = Term(7);
  message.wall_ms = 1'800'000'000'123;
  message.cluster_ms = 1'800'000'000'456;
  message.body = std::move(body);
  message.state_level = 3;
  return message;
}

void ExpectSameEnvelope(const Message& a, const Message& b) {
  EXPECT_EQ(a.cluster, b.cluster);
  EXPECT_EQ(a.from, b.from);
  EXPECT_EQ(a.from_incarnation, b.from_incarnation);
  EXPECT_EQ(a.from_boot, b.from_boot);
  EXPECT_EQ(a.to, b.to);
  EXPECT_EQ(a.term, b.term);
  EXPECT_EQ(a.wall_ms, b.wall_ms);
  EXPECT_EQ(a.cluster_ms, b.cluster_ms);
  EXPECT_EQ(a.state_level, b.state_level);
}

TEST(PeerCodec, DecodesEachEncodedMessage) {
  const std::vector<MessageBody> bodies = {
      raft::PreVoteRequest{Term(8), Index(5), Term(6)},
      raft::PreVoteResponse{Term(8), true},
      raft::VoteRequest{Index(5), Term(6), true},
      raft::VoteResponse{true},
      raft::AppendResponse{true, Index(4), Index(3), Index(2), Term(1), true, false},
      raft::AppendResponse{true, Index(4), Index(3), Index(2), Term(1), false, true},
      raft::HeartbeatRequest{Index(4), ReadId(9)},
      raft::HeartbeatResponse{ReadId(9), true},
      raft::SnapshotRequest{{Index(4), Term(3), "config"}, "manifest", {2, 77}, "data", 99},
      raft::SnapshotResponse{Index(4), Term(3), {2, 77}, true, true},
      raft::TimeoutNow{},
      raft::PreVoteRequest{Term(8), Index(5), Term(6), kKnown},
      raft::PreVoteResponse{Term(8), true, kKnown, Index(5)},
      raft::VoteRequest{Index(5), Term(6), true, kKnown},
      raft::Refusal{raft::Refusal::Reason::kOtherCluster},
      raft::Refusal{raft::Refusal::Reason::kWentBack, raft::Incarnation(5), kKnown},
  };
  std::vector<Message> messages;
  for (const MessageBody& body : bodies) messages.push_back(Envelope(body));
  auto decoded = DecodeFrame(EncodeFrame(messages));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  ASSERT_EQ(decoded->size(), messages.size());
  for (size_t i = 0; i < messages.size(); ++i) {
    ExpectSameEnvelope((*decoded)[i], messages[i]);
    ASSERT_EQ((*decoded)[i].body.index(), messages[i].body.index());
    std::visit(
        [&](const auto& body) {
          using Body = std::decay_t<decltype(body)>;
          if constexpr (!std::is_same_v<Body, raft::AppendRequest>) {
            EXPECT_EQ(std::get<Body>((*decoded)[i].body), body) << "message " << i;
          }
        },
        messages[i].body);
  }
}

TEST(PeerCodec, AppendRequestKeepsItsEntries) {
  raft::AppendRequest append{Index(4), Term(2), Index(3), ReadId(5), {}};
  append.entries = {MakeEntry(5, 2, "five"), MakeEntry(6, 7, std::string("\0six", 4))};
  auto decoded = DecodeFrame(EncodeFrame({Envelope(append)}));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  const auto& out = std::get<raft::AppendRequest>((*decoded)[0].body);
  EXPECT_EQ(out.prev_index, Index(4));
  EXPECT_EQ(out.prev_term, Term(2));
  EXPECT_EQ(out.commit, Index(3));
  EXPECT_EQ(out.read_id, ReadId(5));
  ASSERT_EQ(out.entries.size(), 2u);
  EXPECT_EQ(out.entries[1].index, Index(6));
  EXPECT_EQ(out.entries[1].term, Term(7));
  EXPECT_EQ(out.entries[1].kind, raft::EntryKind::kCommand);
  EXPECT_EQ(*out.entries[1].payload, std::string("\0six", 4));
}

struct BadCase {
  std::string name;
  std::function<void(peer::v1::Message*)> damage;
  std::string message;
};

TEST(PeerCodec, RefusesWhatNoMemberCouldHaveSent) {
  raft::AppendRequest append{Index(4), Term(2), Index(3), ReadId(5), {}};
  append.entries = {MakeEntry(5, 2, "five"), MakeEntry(6, 2, "six")};
  const std::vector<BadCase> cases = {
      {"no sender", [](auto* m) { m->set_from(0); }, "peer message: from is 0; must not be 0"},
      {"no receiver", [](auto* m) { m->set_to(0); }, "peer message: to is 0; must not be 0"},
      {"no body", [](auto* m) { m->clear_body(); },
       "peer message: body is not set or of an unknown kind"},
      {"gap", [](auto* m) { m->mutable_append_request()->mutable_entries(1)->set_index(7); },
       "peer message: entries.index is 7; must be 6"},
      {"first entry not after prev",
       [](auto* m) { m->mutable_append_request()->set_prev_index(9); },
       "peer message: entries.index is 5; must be 10"},
      {"index overflow",
       [](auto* m) {
         m->mutable_append_request()->set_prev_index(UINT64_MAX);
         m->mutable_append_request()->mutable_entries(0)->set_index(0);
       },
       "peer message: entries.index is 0; must be 0"},
      {"term decreases",
       [](auto* m) { m->mutable_append_request()->mutable_entries(1)->set_term(1); },
       "peer message: entries.term is 1; must be at least 2 and not 0"},
      {"unknown kind",
       [](auto* m) { m->mutable_append_request()->mutable_entries(0)->set_kind(4); },
       "peer message: entries.kind is 4; must be 1, 2 or 3"},
      {"refusal without a reason", [](auto* m) { m->mutable_refusal(); },
       "peer message: refusal.reason is 0; must be 1 to 4"},
      {"snapshot at index 0", [](auto* m) { m->mutable_snapshot_request()->set_index(0); },
       "peer message: snapshot.index is 0; must not be 0"},
  };
  for (const BadCase& c : cases) {
    peer::v1::Message wire;
    EncodeMessage(Envelope(append), &wire);
    c.damage(&wire);
    auto decoded = DecodeMessage(std::move(wire));
    ASSERT_FALSE(decoded.ok()) << c.name;
    EXPECT_EQ(decoded.status().message(), c.message) << c.name;
  }
}

TEST(PeerCodec, DamagedFramesDoNotCrash) {
  raft::AppendRequest append{Index(4), Term(2), Index(3), ReadId(5), {MakeEntry(5, 2, "five")}};
  const std::string good = EncodeFrame({Envelope(append)});
  for (size_t length = 0; length < good.size(); ++length) {
    auto decoded = DecodeFrame(std::string_view(good).substr(0, length));
    if (length == 0) {
      EXPECT_TRUE(decoded.ok() && decoded->empty());
    } else {
      EXPECT_FALSE(decoded.ok()) << "cut to " << length;
    }
  }
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string damaged = good;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    (void)DecodeFrame(damaged);
  }
}

}  // namespace
}  // namespace dqueue::node
