// Snapshots (thesis 5): taking note of own ones, sending one to a member that needs compacted
// entries, and installing a received one. Bytes and files are the shell's; the core keeps cursors.
//
//   leader                                  follower
//   SnapshotRequest, cursor 0  ──offer──▶   Output::store_chunk … SnapshotChunkStored
//                              ◀──wants──   SnapshotResponse{next}
//   SnapshotRequest, next      ───────▶     …
//                              ◀──done───   installed and durable (or not needed)
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "raft/mutants.h"
#include "raft/raft_impl.h"

namespace dqueue::raft {
namespace {

// Requests are repeated after this many heartbeats of silence, and after this many repetitions the
// newest snapshot is offered instead: the shell may have removed the one that was begun.
constexpr int kSilentHeartbeats = 4;
constexpr int kRepeatsBeforeNewer = 2;

}  // namespace

void RaftImpl::On(SnapshotTaken event) {
  const SnapshotMeta& meta = event.meta;
  DQ_CHECK_MSG(meta.index <= applied_,
               absl::StrCat("snapshot at ", meta.index.value(), ", applied ", applied_.value()));
  DQ_CHECK(event.compact_to <= meta.index);
  DQ_CHECK(DecodeConfiguration(meta.config).has_value());
  if (meta.index > snapshot_.index) {
    DQ_CHECK_MSG(log_.Matches(meta.index, meta.term), "a snapshot that is not of this log");
    snapshot_ = std::move(event.meta);
  }
  log_.CompactTo(event.compact_to);
  DQ_CHECK(snapshot_.index >= log_.compacted_index());
}

// ---- Leader

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

void RaftImpl::MaybeRepeatSnapshot(Progress& peer) {
  if (peer.state() != Progress::State::kSnapshot) return;
  Progress::SnapshotTransfer& transfer = peer.snapshot;
  if (transfer.due || now_ - transfer.sent < kSilentHeartbeats * options_.heartbeat) return;
  // Nobody there: pieces would only pile up in a dead connection. A sign of life comes first.
  if (peer.last_contact <= transfer.sent) return;
  if (transfer.repeats >= kRepeatsBeforeNewer && snapshot_.index > transfer.meta.index) {
    peer.BecomeSnapshot(snapshot_);
    return;
  }
  ++transfer.repeats;
  transfer.due = true;
}

void RaftImpl::OnSnapshotResponse(const Message& message, const SnapshotResponse& response) {
  Leader* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr) return;
  Progress* peer = Heard(*leader, message);
  if (peer == nullptr || peer->state() != Progress::State::kSnapshot) return;
  Progress::SnapshotTransfer& transfer = peer->snapshot;
  if (response.index != transfer.meta.index || response.snapshot_term != transfer.meta.term) return;
  if (response.done) {
    peer->SnapshotDone(transfer.meta.index);
  } else if (response.refused) {
    // Damaged on the way or on either disk: from the start, with the newest, but not in a busy
    // loop.
    transfer.cursor = {};
    transfer.wanted.reset();
    transfer.repeats = kRepeatsBeforeNewer;
    transfer.sent = now_;
  } else if (transfer.wanted != response.next) {
    // An answer that is repeated, because a request was, must not double the stream of pieces.
    transfer.wanted = response.next;
    transfer.cursor = response.next;
    transfer.repeats = 0;
    transfer.due = true;
  }
}

// ---- Follower

bool RaftImpl::AlreadyHas(const SnapshotMeta& meta) {
  if (meta.index <= commit_) return true;  // scylla 851e3000c4: an older one must not overwrite
  if (!log_.Matches(meta.index, meta.term)) return false;
  // Log matching (paper 5.3): everything up to there agrees, and what is in a snapshot is
  // committed.
  CommitTo(meta.index);
  return true;
}

void RaftImpl::OnSnapshotRequest(Message message) {
  FollowLeader(message.from);
  const SnapshotMeta& meta = std::get<SnapshotRequest>(message.body).meta;
  if (AlreadyHas(meta)) {
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
  // A leader has everything that is committed; a candidate's log was compared with others.
  const Follower* follower = std::get_if<Follower>(&role_);
  if (follower == nullptr) return;
  const SnapshotMeta& meta = event.meta;
  const bool unneeded = AlreadyHas(meta);
  if (event.done && !unneeded) Install(meta);
  // Another leader than the sender's will ask for itself.
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
  // The old log goes; what was committed of it is in the snapshot too.
  durability_.Clamp(commit_);
  log_.Reset(meta);
  commit_ = handed_out_ = install_index_ = meta.index;
  snapshot_ = meta;
  install_ = std::move(meta);
}

}  // namespace dqueue::raft
