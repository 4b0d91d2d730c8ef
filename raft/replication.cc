// Log replication (Raft paper 5.3), commitment (5.4.2), heartbeats and the leader's timer.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "raft/mutants.h"
#include "raft/raft_impl.h"

namespace dqueue::raft {

// ---- Follower

void RaftImpl::OnAppendRequest(const Message& message, AppendRequest& request) {
  EchoReadId(FollowLeader(message.from), message.from, request.read_id);
  AppendResponse response;
  response.low_space = low_space_;
  response.low_memory = low_memory_;
  // Entries committed here are in the leader's log (leader completeness, paper 5.4.3). So a request
  // whose prev_index is below commit matches, also if prev_index is compacted (scylla#9552).
  const bool fits =
      request.prev_index < commit_ || log_.Matches(request.prev_index, request.prev_term);
  if (!fits) {
    const LogView::EntryId hint = log_.FindConflictByTerm(request.prev_index, request.prev_term);
    DQ_CHECK(hint.index >= commit_);
    response.rejected_prev = request.prev_index;
    response.hint_index = hint.index;
    response.hint_term = hint.term;
    return SendAppendResponse(message.from, response);
  }
  const Index last_new = request.prev_index + request.entries.size();
  AppendNewEntries(request);
  // R4: entries after `last_new` may come from an earlier leader (scylla#9965).
  Index commit = std::min(request.commit, last_new);
  if (DQ_MUTANT(mutants::kFollowerCommitsUnvouched))
    commit = std::min(request.commit, log_.last_index());
  CommitTo(commit);
  response.success = true;
  response.match = std::max(last_new, commit_);
  SendAppendResponse(message.from, response);
}

// A matching entry stays, and so do the entries after it: the request may be old (paper 5.3:
// truncate only "if an existing entry conflicts").
void RaftImpl::AppendNewEntries(AppendRequest& request) {
  for (Entry& entry : request.entries) {
    if (entry.index <= commit_) {
      DQ_CHECK_MSG(entry.index <= log_.compacted_index() || log_.Matches(entry.index, entry.term),
                   absl::StrCat("an append of term ", term_.value(),
                                " conflicts with committed entry ", entry.index.value()));
      continue;
    }
    if (entry.index <= log_.last_index()) {
      if (log_.TermAt(entry.index) == entry.term && !DQ_MUTANT(mutants::kTruncateCommitted))
        continue;
      TruncateFrom(entry.index);
    }
    log_.Append(std::move(entry));
  }
}

void RaftImpl::TruncateFrom(Index first) {
  DQ_CHECK_MSG(first > commit_, absl::StrCat("truncation of committed entry ", first.value()));
  DQ_CHECK(!std::holds_alternative<Leader>(role_));  // leader append-only, paper 5.3
  log_.TruncateFrom(first);
  durability_.Clamp(first.Prev());
}

void RaftImpl::SendAppendResponse(NodeId to, AppendResponse response) {
  if (response.success && DQ_MUTANT(mutants::kAckBeforeSync)) {
    send_now_.push_back(Envelope(to, response));
    return;
  }
  if (response.success && last_ack_) {
    // One acknowledgement covers all requests whose entries wait for the same write.
    Message& earlier = send_after_persist_[*last_ack_];
    AppendResponse& ack = std::get<AppendResponse>(earlier.body);
    DQ_CHECK(earlier.term == term_ && ack.success);
    if (earlier.to == to) {
      ack.match = std::max(ack.match, response.match);
      ack.low_space = response.low_space;
      ack.low_memory = response.low_memory;
      return;
    }
  }
  SendAfterPersist(to, response);
  if (response.success) last_ack_ = send_after_persist_.size() - 1;
}

void RaftImpl::OnHeartbeatRequest(const Message& message, const HeartbeatRequest& request) {
  Follower& follower = FollowLeader(message.from);
  if (request.commit > log_.last_index()) {
    // The leader believes that this node stored more than it has: acknowledged data was lost.
    // Without a response, the leader does not count this node in any quorum. A disk that was wiped
    // is told so by a Refusal instead.
    ++dropped_messages_;
    const Member* self = log_.config().Find(self_);
    if (self != nullptr && self->incarnation == incarnation_ &&
        !DQ_MUTANT(mutants::kIncarnationIgnored)) {
      lost_ = true;
      went_back_ = WentBack{message.from, {}, request.commit};
      return;
    }
    // Counts for nothing, but lets the leader see the incarnation of this node, and refuse it.
    SendNow(message.from, PreVoteResponse{});
    return;
  }
  CommitTo(request.commit);
  follower.read_id = std::max(follower.read_id, request.read_id);
  // SendNow() waits if the current term is not durable. Sending earlier would be harmless: a node
  // that forgot the term could at worst vote in a lower term, where this leader's majority refuses.
  // Waiting costs one write for each election, and keeps the rule that no message carries a term
  // that a crash can undo.
  SendNow(message.from,
          HeartbeatResponse{
              .read_id = request.read_id, .low_space = low_space_, .low_memory = low_memory_});
}

// ---- Leader: proposals and answers

void RaftImpl::On(Propose event) {
  DQ_CHECK(event.payload != nullptr);
  const auto refuse = [&](ProposalOutcome::Reason reason) {
    proposal_outcomes_.push_back({.id = event.id,
                                  .kind = ProposalOutcome::Kind::kNotAppended,
                                  .reason = reason,
                                  .index = {}});
  };
  Leader* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr) return refuse(ProposalOutcome::Reason::kNotLeader);
  if (leader->transfer) return refuse(ProposalOutcome::Reason::kTransferring);
  Entry entry{.index = log_.last_index().Next(),
              .term = term_,
              .kind = EntryKind::kCommand,
              .payload = std::move(event.payload)};
  const uint64_t bytes = entry.SizeBytes();
  const uint64_t uncommitted = log_.last_index().value() - commit_.value();
  // A single proposal of any size is accepted if no other is in flight.
  if (uncommitted >= options_.max_uncommitted_entries ||
      (leader->proposal_bytes > 0 &&
       leader->proposal_bytes + bytes > options_.max_uncommitted_bytes)) {
    return refuse(ProposalOutcome::Reason::kOverloaded);
  }
  leader->proposals.push_back({.id = event.id, .index = entry.index, .bytes = bytes});
  leader->proposal_bytes += bytes;
  log_.Append(std::move(entry));
}

void RaftImpl::AppendAsLeader(EntryKind kind, Payload payload) {
  DQ_CHECK(std::holds_alternative<Leader>(role_));
  log_.Append({.index = log_.last_index().Next(),
               .term = term_,
               .kind = kind,
               .payload = std::move(payload)});
}

void RaftImpl::AbandonLeadership(Leader& leader) {
  for (const PendingProposal& proposal : leader.proposals) {
    DQ_CHECK(proposal.index > commit_);
    proposal_outcomes_.push_back({.id = proposal.id,
                                  .kind = ProposalOutcome::Kind::kUnknown,
                                  .reason = ProposalOutcome::Reason::kNone,
                                  .index = {}});
  }
  leader.proposals.clear();
  FailReads(leader.round_reads);
  FailReads(leader.waiting_reads);
}

Progress* RaftImpl::RecordContact(Leader& leader, const Message& message) {
  Progress* peer = leader.Find(message.from);
  if (peer == nullptr) return nullptr;
  peer->last_contact = now_;
  if (peer->incarnation == Incarnation()) peer->incarnation = message.from_incarnation;
  return peer;
}

void RaftImpl::OnAppendResponse(const Message& message, const AppendResponse& response) {
  Leader* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr) return;
  if (response.success && response.match > log_.last_index()) {
    ++dropped_messages_;
    return;
  }
  Progress* peer = RecordContact(*leader, message);
  if (peer == nullptr) return;
  peer->low_space = response.low_space;
  peer->low_memory = response.low_memory;
  if (!response.success) {
    // The follower's log matches at most up to the hint. Only entries with a term of at most
    // hint_term can match there.
    const Index guess =
        response.hint_term == Term()
            ? response.hint_index
            : log_.FindConflictByTerm(response.hint_index, response.hint_term).index;
    peer->Rejected(response.rejected_prev, guess);
    return;
  }
  const bool advanced = peer->Acknowledged(response.match, now_);
  if (peer->state() == Progress::State::kSnapshot && peer->match() >= log_.compacted_index()) {
    peer->SnapshotDone(peer->match());
  }
  if (!advanced) return;
  MaybeCommit();
  MaybeFinishTransfer();
}

void RaftImpl::OnHeartbeatResponse(const Message& message, const HeartbeatResponse& response) {
  Leader* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr) return;
  if (response.read_id > leader->read_id) {
    ++dropped_messages_;
    return;
  }
  Progress* peer = RecordContact(*leader, message);
  if (peer == nullptr) return;
  peer->low_space = response.low_space;
  peer->low_memory = response.low_memory;
  peer->read_acked = std::max(peer->read_acked, response.read_id);
  if (DQ_MUTANT(mutants::kReadStaleRound)) peer->read_acked = leader->read_id;
  peer->OnHeartbeatResponse(now_, 2 * options_.heartbeat);
  MaybeConfirmRound(*leader);
}

// ---- Leader: commitment

void RaftImpl::MaybeCommit() {
  const Leader& leader = std::get<Leader>(role_);
  const Index index = log_.config().QuorumIndex([this, &leader](NodeId id) {
    if (id == self_) {
      // R3: an entry in memory is not a durable copy (etcd#14370).
      return DQ_MUTANT(mutants::kLeaderCountsUnsynced) ? log_.last_index() : durability_.index();
    }
    const Progress* peer = leader.Find(id);
    return peer == nullptr || !Counts(*peer) ? Index() : peer->match();
  });
  if (index <= commit_) return;
  // R5, figure 8: a later leader can overwrite an entry of an older term that is on a majority.
  if (log_.TermAt(index) != term_ && !DQ_MUTANT(mutants::kCommitOldTermByCounting)) return;
  CommitTo(index);
  MaybeFinishTransfer();
}

void RaftImpl::CommitTo(Index index) {
  if (index <= commit_) return;
  DQ_CHECK_MSG(index <= log_.last_index(),
               absl::StrCat("commit index ", index.value(), " is above last index ",
                            log_.last_index().value()));
  commit_ = index;
  Leader* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr) return;
  while (!leader->proposals.empty() && leader->proposals.front().index <= commit_) {
    const PendingProposal& done = leader->proposals.front();
    DQ_CHECK(leader->proposal_bytes >= done.bytes);
    leader->proposal_bytes -= done.bytes;
    proposal_outcomes_.push_back({.id = done.id,
                                  .kind = ProposalOutcome::Kind::kCommitted,
                                  .reason = ProposalOutcome::Reason::kNone,
                                  .index = done.index});
    leader->proposals.pop_front();
  }
  DQ_CHECK(!leader->proposals.empty() || leader->proposal_bytes == 0);
}

// ---- Leader: sending

bool RaftImpl::LeaderHasWork(const Leader& leader) const {
  if (RoundCanBegin(leader)) return true;
  const bool round = !leader.round_reads.empty();
  return std::any_of(leader.peers.begin(), leader.peers.end(), [&](const Progress& peer) {
    return AppendDue(peer) || (peer.state() == Progress::State::kSnapshot && peer.snapshot.due) ||
           (round && peer.voter && peer.read_sent < leader.read_id);
  });
}

void RaftImpl::FlushLeader(Leader& leader) {
  MaybeBeginRound(leader);
  for (Progress& peer : leader.peers) {
    SendAppends(leader, peer);
    // An append carries the round id, so the heartbeat is needed only if no append was sent.
    if (!leader.round_reads.empty() && peer.voter && peer.read_sent < leader.read_id) {
      SendHeartbeat(leader, peer);
    }
  }
}

bool RaftImpl::AppendDue(const Progress& peer) const {
  if (!peer.WantsAppend(log_.last_index(), options_)) return false;
  // Reading from storage blocks the loop. At most one read for each event and peer; responses and
  // heartbeats bring enough events.
  return peer.next() >= log_.cached_from() || peer.storage_read_event != events_;
}

void RaftImpl::SendAppends(Leader& leader, Progress& peer) {
  while (AppendDue(peer)) {
    const Index prev = peer.next().Prev();
    if (prev < log_.compacted_index()) {
      StartSnapshot(peer);
      break;
    }
    if (peer.next() < log_.cached_from()) peer.storage_read_event = events_;
    AppendRequest request;
    request.prev_index = prev;
    request.prev_term = log_.TermAt(prev);
    request.commit = commit_;
    request.read_id = leader.read_id;
    uint64_t bytes = 0;
    const Progress::Allowance room = peer.Room(options_);
    if (peer.next() <= log_.last_index() && room.entries > 0) {
      request.entries = log_.Read(peer.next(), log_.last_index(), room.entries, room.bytes);
      for (const Entry& entry : request.entries) bytes += entry.SizeBytes();
    }
    peer.AppendSent(request.entries.size(), bytes, now_);
    peer.read_sent = leader.read_id;
    // The leader's own write of these entries may still be running (thesis 10.2.1).
    DQ_CHECK(TermDurable());
    SendNow(peer.id(), std::move(request));
  }
  if (peer.state() == Progress::State::kSnapshot && peer.snapshot.due) SendSnapshotRequest(peer);
}

void RaftImpl::SendHeartbeat(Leader& leader, Progress& peer) {
  // R4: the follower must not commit an entry that it is not known to have.
  Index commit = std::min(peer.match(), commit_);
  if (DQ_MUTANT(mutants::kHeartbeatRawCommit)) commit = commit_;
  peer.read_sent = leader.read_id;
  SendNow(peer.id(), HeartbeatRequest{.commit = commit, .read_id = leader.read_id});
}

void RaftImpl::LeaderDeadline(Leader& leader) {
  // Check-quorum (thesis 6.2): a leader without a quorum must step down, or clients wait for
  // nothing.
  if (!HeardFromQuorum(options_.election_max)) return BecomeFollower(term_, NodeId());
  MaybeRetryTransfer(leader);
  if (MaybeLeaveStalledDisk(leader)) return;
  MaybeLeaveFullDisk(leader);
  MaybeBindContacted(leader);
  leader.next_heartbeat = now_ + options_.heartbeat;
  for (Progress& peer : leader.peers) {
    SendHeartbeat(leader, peer);
    MaybeResendSnapshot(peer);
  }
}

}  // namespace dqueue::raft
