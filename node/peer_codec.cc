#include "node/peer_codec.h"

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "base/check.h"

namespace dqueue::node {
namespace {

namespace pb = ::dqueue::peer::v1;
using raft::Index;
using raft::NodeId;
using raft::ReadId;
using raft::Term;

template <class Body>
void EncodeKnown(const raft::KnownBoot& in, Body* out) {
  if (in.boot.number == 0) return;
  pb::KnownBoot* m = out->mutable_known();
  m->set_incarnation(in.incarnation.value());
  m->set_number(in.boot.number);
  m->set_mark(in.boot.mark);
  m->set_term(in.term.value());
  m->set_before_number(in.before.number);
  m->set_before_mark(in.before.mark);
}
raft::KnownBoot DecodeKnown(const pb::KnownBoot& in) {
  return {raft::Incarnation(in.incarnation()),
          {in.number(), in.mark()},
          Term(in.term()),
          {in.before_number(), in.before_mark()}};
}

void Encode(const raft::PreVoteRequest& in, pb::Message* out) {
  auto* m = out->mutable_pre_vote_request();
  m->set_next_term(in.next_term.value());
  m->set_last_index(in.last_index.value());
  m->set_last_term(in.last_term.value());
  EncodeKnown(in.known, m);
}
void Encode(const raft::PreVoteResponse& in, pb::Message* out) {
  auto* m = out->mutable_pre_vote_response();
  m->set_next_term(in.next_term.value());
  m->set_granted(in.granted);
  m->set_last_index(in.last_index.value());
  EncodeKnown(in.known, m);
}
void Encode(const raft::VoteRequest& in, pb::Message* out) {
  auto* m = out->mutable_vote_request();
  m->set_last_index(in.last_index.value());
  m->set_last_term(in.last_term.value());
  m->set_transfer(in.transfer);
  EncodeKnown(in.known, m);
}
void Encode(const raft::VoteResponse& in, pb::Message* out) {
  out->mutable_vote_response()->set_granted(in.granted);
}
void Encode(const raft::AppendRequest& in, pb::Message* out) {
  auto* m = out->mutable_append_request();
  m->set_prev_index(in.prev_index.value());
  m->set_prev_term(in.prev_term.value());
  m->set_commit(in.commit.value());
  m->set_read_id(in.read_id.value());
  m->mutable_entries()->Reserve(static_cast<int>(in.entries.size()));
  for (const raft::Entry& entry : in.entries) {
    auto* e = m->add_entries();
    e->set_index(entry.index.value());
    e->set_term(entry.term.value());
    e->set_kind(static_cast<uint32_t>(entry.kind));
    e->set_payload(*entry.payload);
  }
}
void Encode(const raft::AppendResponse& in, pb::Message* out) {
  auto* m = out->mutable_append_response();
  m->set_success(in.success);
  m->set_match(in.match.value());
  m->set_rejected_prev(in.rejected_prev.value());
  m->set_hint_index(in.hint_index.value());
  m->set_hint_term(in.hint_term.value());
  m->set_low_space(in.low_space);
  m->set_low_memory(in.low_memory);
}
void Encode(const raft::HeartbeatRequest& in, pb::Message* out) {
  auto* m = out->mutable_heartbeat_request();
  m->set_commit(in.commit.value());
  m->set_read_id(in.read_id.value());
}
void Encode(const raft::HeartbeatResponse& in, pb::Message* out) {
  auto* m = out->mutable_heartbeat_response();
  m->set_read_id(in.read_id.value());
  m->set_low_space(in.low_space);
  m->set_low_memory(in.low_memory);
}
void Encode(const raft::SnapshotRequest& in, pb::Message* out) {
  auto* m = out->mutable_snapshot_request();
  m->set_index(in.meta.index.value());
  m->set_snapshot_term(in.meta.term.value());
  m->set_config(in.meta.config);
  m->set_manifest(in.manifest);
  m->set_file(in.cursor.file);
  m->set_offset(in.cursor.offset);
  m->set_data(in.data);
  m->set_crc32c(in.crc32c);
}
void Encode(const raft::SnapshotResponse& in, pb::Message* out) {
  auto* m = out->mutable_snapshot_response();
  m->set_index(in.index.value());
  m->set_snapshot_term(in.snapshot_term.value());
  m->set_next_file(in.next.file);
  m->set_next_offset(in.next.offset);
  m->set_done(in.done);
  m->set_refused(in.refused);
}
void Encode(const raft::TimeoutNow&, pb::Message* out) { out->mutable_timeout_now(); }
void Encode(const raft::Refusal& in, pb::Message* out) {
  auto* m = out->mutable_refusal();
  m->set_reason(static_cast<pb::Refusal::Reason>(in.reason));
  m->set_bound(in.bound.value());
  EncodeKnown(in.known, m);
}

// A later time than the type holds counts as the last that it holds.
int64_t ClockMs(uint64_t unix_ms) {
  return static_cast<int64_t>(std::min(unix_ms, static_cast<uint64_t>(INT64_MAX)));
}

absl::Status Bad(const std::string& field, uint64_t value, const std::string& limit) {
  return absl::InvalidArgumentError("peer message: " + field + " is " + std::to_string(value) +
                                    "; " + limit);
}

absl::StatusOr<raft::MessageBody> DecodeAppend(pb::AppendRequest* in) {
  raft::AppendRequest out;
  out.prev_index = Index(in->prev_index());
  out.prev_term = Term(in->prev_term());
  out.commit = Index(in->commit());
  out.read_id = ReadId(in->read_id());
  out.entries.reserve(static_cast<size_t>(in->entries_size()));
  uint64_t expected = in->prev_index();
  uint64_t term = in->prev_term();
  for (pb::Entry& e : *in->mutable_entries()) {
    if (e.index() != ++expected || e.index() == 0) {
      return Bad("entries.index", e.index(), "must be " + std::to_string(expected));
    }
    if (e.term() == 0 || e.term() < term) {
      return Bad("entries.term", e.term(),
                 "must be at least " + std::to_string(term) + " and not 0");
    }
    term = e.term();
    if (e.kind() < 1 || e.kind() > 3) return Bad("entries.kind", e.kind(), "must be 1, 2 or 3");
    raft::Entry entry;
    entry.index = Index(e.index());
    entry.term = Term(e.term());
    entry.kind = static_cast<raft::EntryKind>(e.kind());
    entry.payload = std::make_shared<const std::string>(std::move(*e.mutable_payload()));
    out.entries.push_back(std::move(entry));
  }
  return raft::MessageBody(std::move(out));
}

absl::StatusOr<raft::MessageBody> DecodeBody(pb::Message* in) {
  switch (in->body_case()) {
    case pb::Message::kPreVoteRequest: {
      const auto& m = in->pre_vote_request();
      return raft::MessageBody(raft::PreVoteRequest{Term(m.next_term()), Index(m.last_index()),
                                                    Term(m.last_term()), DecodeKnown(m.known())});
    }
    case pb::Message::kPreVoteResponse: {
      const auto& m = in->pre_vote_response();
      return raft::MessageBody(raft::PreVoteResponse{
          Term(m.next_term()), m.granted(), DecodeKnown(m.known()), Index(m.last_index())});
    }
    case pb::Message::kVoteRequest: {
      const auto& m = in->vote_request();
      return raft::MessageBody(raft::VoteRequest{Index(m.last_index()), Term(m.last_term()),
                                                 m.transfer(), DecodeKnown(m.known())});
    }
    case pb::Message::kVoteResponse:
      return raft::MessageBody(raft::VoteResponse{in->vote_response().granted()});
    case pb::Message::kAppendRequest:
      return DecodeAppend(in->mutable_append_request());
    case pb::Message::kAppendResponse: {
      const auto& m = in->append_response();
      return raft::MessageBody(raft::AppendResponse{
          m.success(), Index(m.match()), Index(m.rejected_prev()), Index(m.hint_index()),
          Term(m.hint_term()), m.low_space(), m.low_memory()});
    }
    case pb::Message::kHeartbeatRequest: {
      const auto& m = in->heartbeat_request();
      return raft::MessageBody(raft::HeartbeatRequest{Index(m.commit()), ReadId(m.read_id())});
    }
    case pb::Message::kHeartbeatResponse: {
      const auto& m = in->heartbeat_response();
      return raft::MessageBody(
          raft::HeartbeatResponse{ReadId(m.read_id()), m.low_space(), m.low_memory()});
    }
    case pb::Message::kSnapshotRequest: {
      auto* m = in->mutable_snapshot_request();
      if (m->index() == 0) return Bad("snapshot.index", 0, "must not be 0");
      raft::SnapshotRequest out;
      out.meta = {Index(m->index()), Term(m->snapshot_term()), std::move(*m->mutable_config())};
      out.manifest = std::move(*m->mutable_manifest());
      out.cursor = {m->file(), m->offset()};
      out.data = std::move(*m->mutable_data());
      out.crc32c = m->crc32c();
      return raft::MessageBody(std::move(out));
    }
    case pb::Message::kSnapshotResponse: {
      const auto& m = in->snapshot_response();
      return raft::MessageBody(raft::SnapshotResponse{Index(m.index()),
                                                      Term(m.snapshot_term()),
                                                      {m.next_file(), m.next_offset()},
                                                      m.done(),
                                                      m.refused()});
    }
    case pb::Message::kTimeoutNow:
      return raft::MessageBody(raft::TimeoutNow{});
    case pb::Message::kRefusal: {
      const auto& m = in->refusal();
      if (m.reason() < 1 || static_cast<size_t>(m.reason()) > raft::kRefusalReasons) {
        return Bad("refusal.reason", static_cast<uint64_t>(m.reason()), "must be 1 to 4");
      }
      return raft::MessageBody(raft::Refusal{static_cast<raft::Refusal::Reason>(m.reason()),
                                             raft::Incarnation(m.bound()), DecodeKnown(m.known())});
    }
    case pb::Message::BODY_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("peer message: body is not set or of an unknown kind");
}

}  // namespace

void EncodeMessage(const raft::Message& message, pb::Message* out) {
  out->set_cluster_hi(message.cluster.hi);
  out->set_cluster_lo(message.cluster.lo);
  out->set_from(message.from.value());
  out->set_from_incarnation(message.from_incarnation.value());
  out->set_to(message.to.value());
  out->set_term(message.term.value());
  out->set_wall_ms(static_cast<uint64_t>(message.wall_ms));
  out->set_cluster_ms(static_cast<uint64_t>(message.cluster_ms));
  out->set_state_level(message.state_level);
  out->set_from_boot(message.from_boot.number);
  out->set_from_boot_mark(message.from_boot.mark);
  std::visit([out](const auto& body) { Encode(body, out); }, message.body);
}

absl::StatusOr<raft::Message> DecodeMessage(pb::Message&& in) {
  if (in.from() == 0) return Bad("from", 0, "must not be 0");
  if (in.to() == 0) return Bad("to", 0, "must not be 0");
  absl::StatusOr<raft::MessageBody> body = DecodeBody(&in);
  if (!body.ok()) return body.status();
  raft::Message out;
  out.cluster = {in.cluster_hi(), in.cluster_lo()};
  out.from = NodeId(in.from());
  out.from_incarnation = raft::Incarnation(in.from_incarnation());
  out.from_boot = {in.from_boot(), in.from_boot_mark()};
  out.to = NodeId(in.to());
  out.term = Term(in.term());
  out.wall_ms = ClockMs(in.wall_ms());
  out.cluster_ms = ClockMs(in.cluster_ms());
  out.state_level = in.state_level();
  out.body = *std::move(body);
  return out;
}

std::string EncodeFrame(const std::vector<raft::Message>& messages) {
  pb::Frame frame;
  for (const raft::Message& message : messages) EncodeMessage(message, frame.add_messages());
  std::string bytes;
  DQ_CHECK(frame.SerializeToString(&bytes));
  return bytes;
}

absl::StatusOr<std::vector<raft::Message>> DecodeFrame(std::string_view bytes) {
  if (bytes.size() > kPeerMessageBytesMax) {
    return Bad("size", bytes.size(), "at most " + std::to_string(kPeerMessageBytesMax));
  }
  pb::Frame frame;
  if (!frame.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("peer message: not a valid frame of " +
                                      std::to_string(bytes.size()) + " bytes");
  }
  std::vector<raft::Message> out;
  out.reserve(static_cast<size_t>(frame.messages_size()));
  for (pb::Message& message : *frame.mutable_messages()) {
    absl::StatusOr<raft::Message> decoded = DecodeMessage(std::move(message));
    if (!decoded.ok()) return decoded.status();
    out.push_back(*std::move(decoded));
  }
  return out;
}

}  // namespace dqueue::node
