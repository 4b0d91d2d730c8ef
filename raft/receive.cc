// Checks that apply to every kind of message: sender, contents and term. The handlers run after
// them.
#include <utility>
#include <variant>

#include "base/check.h"
#include "raft/mutants.h"
#include "raft/raft_impl.h"

namespace dqueue::raft {
namespace {

template <class Body>
bool Is(const Message& message) {
  return std::holds_alternative<Body>(message.body);
}

bool FromLeader(const Message& message) {
  return Is<AppendRequest>(message) || Is<HeartbeatRequest>(message) ||
         Is<SnapshotRequest>(message) || Is<TimeoutNow>(message);
}

// Thesis 4.1: a server accepts requests of leaders and candidates that are not in its own
// configuration, which may be out of date. Responses of non-members are dropped.
bool AcceptedFromNonMembers(const Message& message) {
  return Is<AppendRequest>(message) || Is<HeartbeatRequest>(message) ||
         Is<SnapshotRequest>(message) || Is<VoteRequest>(message) || Is<PreVoteRequest>(message);
}

bool WellFormedEntries(const AppendRequest& request, Term term) {
  if ((request.prev_index == Index()) != (request.prev_term == Term())) return false;
  Index expected = request.prev_index.Next();
  Term previous = request.prev_term;
  for (const Entry& entry : request.entries) {
    // Indexes are contiguous (LogCabin#160), terms do not decrease, no term is above the message's.
    if (entry.index != expected || entry.term < previous || entry.term > term) return false;
    if (entry.term == Term() || entry.payload == nullptr) return false;
    switch (entry.kind) {
      case EntryKind::kNoop:
      case EntryKind::kCommand:
        break;
      case EntryKind::kConfig:
        if (!DecodeConfiguration(*entry.payload)) return false;
        break;
      default:
        return false;
    }
    expected = expected.Next();
    previous = entry.term;
  }
  return previous <= term;
}

}  // namespace

bool RaftImpl::WellFormed(const Message& message) const {
  if (message.from == NodeId() || message.from == self_) return false;
  if (message.from_incarnation == Incarnation()) return false;
  if (FromLeader(message) || Is<VoteRequest>(message)) {
    if (message.term == Term()) return false;
  }
  if (const auto* append = std::get_if<AppendRequest>(&message.body)) {
    return WellFormedEntries(*append, message.term);
  }
  if (const auto* pre_vote = std::get_if<PreVoteRequest>(&message.body)) {
    return pre_vote->next_term == message.term.Next();
  }
  if (const auto* snapshot = std::get_if<SnapshotRequest>(&message.body)) {
    const SnapshotMeta& meta = snapshot->meta;
    return meta.index != Index() && meta.term != Term() && meta.term <= message.term &&
           DecodeConfiguration(meta.config).has_value();
  }
  return true;
}

std::optional<Refusal::Reason> RaftImpl::Objection(const Message& message, bool* malformed) const {
  using Reason = Refusal::Reason;
  *malformed = message.to != self_ || !WellFormed(message);
  if (*malformed) return std::nullopt;
  if (message.cluster != cluster_) return Reason::kOtherCluster;
  const Member* sender = log_.config().Find(message.from);
  if (sender == nullptr) {
    if (AcceptedFromNonMembers(message)) return std::nullopt;
    return Reason::kNotMember;
  }
  if (DQ_MUTANT(mutants::kIncarnationIgnored)) return std::nullopt;
  // R12: a wiped disk has forgotten the promises made under the bound incarnation (etcd#10254).
  if (sender->incarnation != Incarnation()) {
    if (sender->incarnation == message.from_incarnation) return std::nullopt;
    return Reason::kOtherIncarnation;
  }
  // Not bound yet: this leader counts only the first incarnation that sent it a response.
  if (const Leader* leader = std::get_if<Leader>(&role_)) {
    const Progress* peer = leader->Find(message.from);
    if (peer != nullptr && peer->incarnation != Incarnation() &&
        peer->incarnation != message.from_incarnation) {
      return Reason::kOtherIncarnation;
    }
  }
  return std::nullopt;
}

void RaftImpl::On(Receive event) {
  Message& message = event.message;
  bool malformed = false;
  const std::optional<Refusal::Reason> objection = Objection(message, &malformed);
  if (malformed) {
    ++dropped_messages_;
    return;
  }
  if (message.cluster == cluster_ && log_.config().IsMember(message.from)) {
    heard_[message.from] = message.from_incarnation;
  }
  if (Is<Refusal>(message)) return OnRefusal(message);
  if (objection) return Refuse(message, *objection);
  if (!RecordBoot(message)) return Refuse(message, Refusal::Reason::kWentBack);
  if (const auto* request = std::get_if<PreVoteRequest>(&message.body)) {
    CheckKnown(message.from, request->known);
  } else if (const auto* response = std::get_if<PreVoteResponse>(&message.body)) {
    CheckKnown(message.from, response->known);
  } else if (const auto* vote = std::get_if<VoteRequest>(&message.body)) {
    CheckKnown(message.from, vote->known);
  }
  if (lost_) return;
  // Pre-vote requests and grants never change a term (thesis 9.6).
  if (const auto* request = std::get_if<PreVoteRequest>(&message.body)) {
    return OnPreVoteRequest(message, *request);
  }
  if (const auto* response = std::get_if<PreVoteResponse>(&message.body)) {
    return OnPreVoteResponse(message, *response);
  }
  if (message.term > term_) {
    const auto* vote = std::get_if<VoteRequest>(&message.body);
    // R7, thesis 4.2.3: a node that hears a current leader neither votes nor adopts the term.
    if (vote != nullptr && !vote->transfer && HeardFromLeader()) return;
    BecomeFollower(message.term, FromLeader(message) ? message.from : NodeId());
  } else if (message.term < term_) {
    return RejectStale(message);
  }
  DQ_CHECK(message.term == term_);
  Dispatch(std::move(message));
}

// Paper 5.1: a request with an old term is rejected. The newer term in the response makes the old
// leader or candidate step down. A node whose term rose during a partition can rejoin only this way
// (etcd 8597361f0). Responses with an old term are ignored.
void RaftImpl::RejectStale(const Message& message) {
  if (const auto* append = std::get_if<AppendRequest>(&message.body)) {
    AppendResponse refusal;
    refusal.rejected_prev = append->prev_index;
    refusal.low_space = low_space_;
    refusal.low_memory = low_memory_;
    SendAfterPersist(message.from, refusal);
  } else if (Is<HeartbeatRequest>(message) || Is<SnapshotRequest>(message)) {
    SendAfterPersist(
        message.from,
        HeartbeatResponse{.read_id = {}, .low_space = low_space_, .low_memory = low_memory_});
  } else if (Is<VoteRequest>(message)) {
    SendAfterPersist(message.from, VoteResponse{.granted = false});
  }
}

void RaftImpl::Dispatch(Message message) {
  if (Is<SnapshotRequest>(message)) return OnSnapshotRequest(std::move(message));
  if (Is<TimeoutNow>(message)) return OnTimeoutNow(message);
  if (auto* append = std::get_if<AppendRequest>(&message.body)) {
    return OnAppendRequest(message, *append);
  }
  if (const auto* response = std::get_if<AppendResponse>(&message.body)) {
    return OnAppendResponse(message, *response);
  }
  if (const auto* heartbeat = std::get_if<HeartbeatRequest>(&message.body)) {
    return OnHeartbeatRequest(message, *heartbeat);
  }
  if (const auto* response = std::get_if<HeartbeatResponse>(&message.body)) {
    return OnHeartbeatResponse(message, *response);
  }
  if (const auto* vote = std::get_if<VoteRequest>(&message.body)) {
    return OnVoteRequest(message, *vote);
  }
  if (const auto* response = std::get_if<VoteResponse>(&message.body)) {
    return OnVoteResponse(message, *response);
  }
  if (const auto* response = std::get_if<SnapshotResponse>(&message.body)) {
    return OnSnapshotResponse(message, *response);
  }
}

}  // namespace dqueue::raft
