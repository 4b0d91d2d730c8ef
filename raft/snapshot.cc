// Snapshots (thesis 5): recording local ones, sending one to a member that needs compacted entries,
// and installing a received one. The shell owns the files and bytes; the core keeps cursors.
//
//   leader                                  follower
//   SnapshotRequest, cursor 0  ──offer──▶   Output::store_chunk … SnapshotChunkStored
//                              ◀──wants──   SnapshotResponse{next}
//   SnapshotRequest, next      ───────▶     …
//                              ◀──done───   installed and durable, or not needed
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "raft/mutants.h"
#include "raft/raft_impl.h"

namespace dqueue::raft {
namespace {

// A request is resent after kSilentHeartbeats heartbeats without a response. After
// kResendsBeforeNewer resends the newest snapshot is offered, because the shell may have deleted
// the older one.
constexpr int kSilentHeartbeats = 4;
constexpr int kResendsBeforeNewer = 2;

}  // namespace

void RaftImpl::On(SnapshotTaken event) {
  const SnapshotMeta& meta = event.meta;
  DQ_CHECK_MSG(meta.index <= applied_,
               absl::StrCat("snapshot at ", meta.index.value(), ", applied ", applied_.value()));
  DQ_CHECK(event.compact_to <= meta.index);
  DQ_CHECK(DecodeConfiguration(meta.config).has_value());
  if (meta.index > snapshot_.index) {
    DQ_CHECK_MSG(log_.Matches(meta.index, meta.term), "the snapshot does not match the log");
    snapshot_ = std::move(event.meta);
  }
  log_.CompactTo(event.compact_to);
  DQ_CHECK(snapshot_.index >= log_.compacted_index());
}

// ---- Leader

Index RaftImpl::CompactionLimit() const {
  Index limit = log_.last_index();
  const Leader* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr || low_space_) return limit;
  for (const Progress& peer : leader->peers) {
    if (peer.state() != Progress::State::kSnapshot) continue;
    if (now_ - peer.last_contact > options_.election_max) continue;
    limit = std::min(limit, peer.snapshot.meta.index);
  }
  return limit;
}

void RaftImpl::StartSnapshot(Progress& peer) {
  DQ_CHECK_MSG(snapshot_.index >= log_.compacted_index() && snapshot_.index > Index(),
               "the log is compacted further than the newest snapshot");
  peer.BecomeSnapshot(snapshot_);
}

void RaftImpl::SendSnapshotRequest(Progress& peer) {
  DQ_CHECK(peer.state() == Progress::State::kSnapshot);
  peer.snapshot.due = false;
  peer.snapshot.sent = now_;
  SendNow(peer.id(), SnapshotRequest{.meta = peer.snapshot.meta,
                                     .manifest = {},
                                     .cursor = peer.snapshot.cursor,
                                     .data = {},
                                     .crc32c = 0});
}

void RaftImpl::MaybeResendSnapshot(Progress& peer) {
  if (peer.state() != Progress::State::kSnapshot) return;
  Progress::SnapshotTransfer& transfer = peer.snapshot;
  if (transfer.due || now_ - transfer.sent < kSilentHeartbeats * options_.heartbeat) return;
  // No message since the last request: the connection may be dead, and chunks would pile up in it.
  if (peer.last_contact <= transfer.sent) return;
  if (transfer.resends >= kResendsBeforeNewer && snapshot_.index > transfer.meta.index) {
    peer.BecomeSnapshot(snapshot_);
    return;
  }
  ++transfer.resends;
  transfer.due = true;
}

void RaftImpl::OnSnapshotResponse(const Message& message, const SnapshotResponse& response) {
  Leader* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr) return;
  Progress* peer = RecordContact(*leader, message);
  if (peer == nullptr || peer->state() != Progress::State::kSnapshot) return;
  Progress::SnapshotTransfer& transfer = peer->snapshot;
  if (response.index != transfer.meta.index || response.snapshot_term != transfer.meta.term) return;
  if (response.done) {
    peer->SnapshotDone(transfer.meta.index);
  } else if (response.refused) {
    // The chunk or a file is damaged. Start again with the newest snapshot, after a pause.
    transfer.cursor = {};
    transfer.wanted.reset();
    transfer.resends = kResendsBeforeNewer;
    transfer.sent = now_;
  } else if (transfer.wanted != response.next) {
    // A response to a resent request must not double the stream of chunks.
    transfer.wanted = response.next;
    transfer.cursor = response.next;
    transfer.resends = 0;
    transfer.due = true;
  }
}

// ---- Follower

bool RaftImpl::ContainsSnapshot(const SnapshotMeta& meta) {
  // An older snapshot must not overwrite newer entries (scylla 851e3000c4).
  if (meta.index <= commit_) return true;
  if (!log_.Matches(meta.index, meta.term)) return false;
  // Log matching (paper 5.3): the logs agree up to meta.index, and a snapshot holds only committed
  // entries.
  CommitTo(meta.index);
  return true;
}

void RaftImpl::OnSnapshotRequest(Message message) {
  FollowLeader(message.from);
  const SnapshotMeta& meta = std::get<SnapshotRequest>(message.body).meta;
  if (ContainsSnapshot(meta)) {
    SendAfterPersist(message.from, SnapshotResponse{.index = meta.index,
                                                    .snapshot_term = meta.term,
                                                    .next = {},
                                                    .done = true,
                                                    .refused = false});
    return;
  }
  store_chunk_ = std::move(message);
}

void RaftImpl::On(SnapshotChunkStored event) {
  // Only a follower installs: a leader's log has all committed entries, and a candidate may become
  // leader.
  const Follower* follower = std::get_if<Follower>(&role_);
  if (follower == nullptr) return;
  const SnapshotMeta& meta = event.meta;
  const bool unneeded = ContainsSnapshot(meta);
  if (event.done && !unneeded) Install(meta);
  // A new leader makes its own request.
  if (follower->leader == NodeId() || follower->leader != event.from) return;
  SnapshotResponse response{.index = meta.index,
                            .snapshot_term = meta.term,
                            .next = event.next,
                            .done = event.done || unneeded,
                            .refused = event.refused};
  if (response.done) {
    response.refused = false;
    SendAfterPersist(event.from, response);
  } else {
    SendNow(event.from, response);
  }
}

void RaftImpl::Install(const SnapshotMeta& received) {
  DQ_CHECK(std::holds_alternative<Follower>(role_));
  DQ_CHECK(received.index > commit_);
  SnapshotMeta meta = received;
  if (DQ_MUTANT(mutants::kSnapshotCurrentTerm)) meta.term = term_;
  // Pending writes of the old log count only up to the old commit index.
  durability_.Clamp(commit_);
  log_.Reset(meta);
  commit_ = handed_out_ = install_index_ = meta.index;
  snapshot_ = meta;
  install_ = std::move(meta);
}

}  // namespace dqueue::raft
