// Leadership transfer (thesis 3.10): the target's log is brought up to date, then TimeoutNow makes
// it start an election. Transfers are requested by operators and by shutdown, and by the leader
// itself when its disk stalls or is full.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/raft_impl.h"

namespace dqueue::raft {

void RaftImpl::On(Transfer event) {
  Leader* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr || event.target == self_) return;
  StartTransfer(*leader, event.target, /*stalled=*/false);
}

void RaftImpl::StartTransfer(Leader& leader, NodeId target, bool stalled) {
  if (target == NodeId()) target = BestTransferTarget(leader, /*with_room=*/false);
  const Progress* peer = leader.Find(target);
  if (peer == nullptr || !peer->voter) return;
  if (leader.transfer && leader.transfer->target == target) {
    leader.transfer->stalled |= stalled;
  } else {
    leader.transfer = LeadershipTransfer{.target = target,
                                         .deadline = now_ + options_.election_max,
                                         .stalled = stalled,
                                         .timeout_now_sent = false};
  }
  MaybeFinishTransfer();
}

void RaftImpl::MaybeFinishTransfer() {
  Leader& leader = std::get<Leader>(role_);
  if (!leader.transfer || leader.transfer->timeout_now_sent) return;
  const Progress* peer = leader.Find(leader.transfer->target);
  if (peer == nullptr || peer->match() != log_.last_index()) return;
  // The target could lead now, but proposals in flight would end as "unknown". Waiting one round
  // trip lets them end as "committed". A stalled disk here could delay that for ever.
  if (commit_ != log_.last_index() && !leader.transfer->stalled) return;
  leader.transfer->timeout_now_sent = true;
  SendNow(peer->id(), TimeoutNow{});
}

// Runs at each heartbeat. TimeoutNow and the target's votes may be lost, so TimeoutNow is resent.
// The target may be down, so the transfer ends at its deadline and proposals are accepted again.
void RaftImpl::MaybeRetryTransfer(Leader& leader) {
  if (!leader.transfer) return;
  if (now_ >= leader.transfer->deadline) {
    leader.transfer.reset();
  } else if (leader.transfer->timeout_now_sent) {
    SendNow(leader.transfer->target, TimeoutNow{});
  }
}

NodeId RaftImpl::BestTransferTarget(const Leader& leader, bool with_room) const {
  const Progress* best = nullptr;
  for (const Progress& peer : leader.peers) {
    if (!peer.voter || !Counts(peer) || now_ - peer.last_contact > options_.election_min) continue;
    if (with_room && peer.low_space) continue;
    if (best == nullptr || peer.match() > best->match()) best = &peer;
  }
  return best == nullptr ? NodeId() : best->id();
}

Duration RaftImpl::OldestWriteAge() const {
  const std::optional<Time> oldest = durability_.oldest();
  return oldest ? now_ - *oldest : Duration::zero();
}

// A leader whose disk stalls still sends heartbeats, so no follower would replace it (etcd#13527).
bool RaftImpl::MaybeLeaveStalledDisk(Leader& leader) {
  const Duration age = OldestWriteAge();
  if (age <= options_.election_max) {
    leader.stall_transfer_tried = false;
    return false;
  }
  const bool others = std::any_of(leader.peers.begin(), leader.peers.end(),
                                  [](const Progress& peer) { return peer.voter; });
  if (!others) return false;
  if (!leader.stall_transfer_tried) {
    leader.stall_transfer_tried = true;
    StartTransfer(leader, NodeId(), /*stalled=*/true);
    return false;
  }
  if (age <= 2 * options_.election_max) return false;
  BecomeFollower(term_, NodeId());
  return true;
}

void RaftImpl::MaybeLeaveFullDisk(Leader& leader) {
  // The target may die before it leads, so the transfer is tried again.
  constexpr int kRetryElections = 10;
  if (!low_space_ || now_ < leader.full_transfer_retry_at || leader.transfer) return;
  const NodeId target = BestTransferTarget(leader, /*with_room=*/true);
  if (target == NodeId()) return;
  leader.full_transfer_retry_at = now_ + kRetryElections * options_.election_max;
  StartTransfer(leader, target, /*stalled=*/false);
}

}  // namespace dqueue::raft
