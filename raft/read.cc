// Linearizable reads without log entries (ReadIndex, thesis 6.4). A read waits for a confirmation
// round that starts after the read arrived. A round is an id that only grows; the leader sends it
// to all voters, and they echo it. At most one round is running; later reads share the next one. No
// clocks are compared (R8).
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/mutants.h"
#include "raft/raft_impl.h"

namespace dqueue::raft {

void RaftImpl::On(Read event) {
  Leader* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr ||
      leader->round_reads.size() + leader->waiting_reads.size() >= options_.max_pending_reads) {
    read_outcomes_.push_back({.id = event.id, .confirmed = false, .index = {}});
    return;
  }
  if (DQ_MUTANT(mutants::kReadWithoutQuorum) && commit_ >= leader->noop) {
    read_outcomes_.push_back({.id = event.id, .confirmed = true, .index = commit_});
    return;
  }
  leader->waiting_reads.push_back(event.id);
}

bool RaftImpl::RoundCanBegin(const Leader& leader) const {
  if (!leader.round_reads.empty() || leader.waiting_reads.empty()) return false;
  // Before its no-op is committed, a leader does not know the commit index (etcd#7331), also in a
  // cluster of one.
  return commit_ >= leader.noop || DQ_MUTANT(mutants::kReadBeforeNoop);
}

void RaftImpl::MaybeBeginRound(Leader& leader) {
  if (!RoundCanBegin(leader)) return;
  leader.read_id = leader.read_id.Next();
  leader.round_index = commit_;
  leader.round_reads.swap(leader.waiting_reads);
  MaybeConfirmRound(leader);  // a cluster of one needs no responses
}

void RaftImpl::MaybeConfirmRound(Leader& leader) {
  if (leader.round_reads.empty()) return;
  // Only an echo of this round counts; echoes of older rounds may arrive late (etcd#20418).
  const bool confirmed = log_.config().HasQuorum([this, &leader](NodeId id) {
    if (id == self_) return true;
    const Progress* peer = leader.Find(id);
    return peer != nullptr && Counts(*peer) && peer->read_acked >= leader.read_id;
  });
  if (!confirmed) return;
  DQ_CHECK(leader.round_index >= leader.noop || DQ_MUTANT(mutants::kReadBeforeNoop));
  for (const uint64_t id : leader.round_reads) {
    read_outcomes_.push_back({.id = id, .confirmed = true, .index = leader.round_index});
  }
  leader.round_reads.clear();
}

void RaftImpl::FailReads(std::vector<uint64_t>& reads) {
  for (const uint64_t id : reads) {
    read_outcomes_.push_back({.id = id, .confirmed = false, .index = {}});
  }
  reads.clear();
}

// An append may carry a round. The echo is sent at once; the response to the entries waits for the
// disk.
void RaftImpl::EchoReadId(Follower& follower, NodeId leader, ReadId read_id) {
  if (read_id <= follower.read_id) return;
  follower.read_id = read_id;
  SendNow(leader, HeartbeatResponse{
                      .read_id = read_id, .low_space = low_space_, .low_memory = low_memory_});
}

}  // namespace dqueue::raft
