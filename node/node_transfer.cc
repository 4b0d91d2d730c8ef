// Leadership transfer: requested by an operator, and before this node stops. The raft core carries
// it out. This file sets the deadline and reports the result.
#include <algorithm>
#include <utility>

#include "node/node_impl.h"
#include "queue/broker/refusals.h"

namespace dqueue::node {
namespace {

queue::Error NotAVoter(const std::string& message, const std::string& to) {
  queue::Error error;
  error.code = absl::StatusCode::kFailedPrecondition;
  error.reason = "NOT_A_VOTER";
  error.message = message;
  error.metadata["to"] = to;
  return error;
}

queue::Error TransferFailed(const std::string& message) {
  queue::Error error;
  error.code = absl::StatusCode::kAborted;
  error.reason = "TRANSFER_FAILED";
  error.message = message;
  return error;
}

}  // namespace

void NodeImpl::TransferLeadership(std::string to, TransferDone done) {
  Post([this, to = std::move(to), done = std::move(done)](Time now) {
    BeginTransfer(now, to, done);
  });
}

void NodeImpl::BeginTransfer(Time now, std::string to, const TransferDone& done) {
  if (status_.role != raft::Role::kLeader) return done(queue::NotServingError(Hint()));
  // A success, so that a client can repeat a call whose answer was lost.
  if (to == options_.name) return done(std::move(to));
  const raft::NodeId target = to.empty() ? raft::NodeId() : raft::NodeIdOf(to);
  if (!to.empty() && !raft_->config().IsVoter(target)) {
    return done(NotAVoter("no voter has this name; dqueue-cli status shows all members", to));
  }
  if (raft_->config().MemberIds().size() == 1) {
    return done(NotAVoter("this node is the only member; no other node can lead", to));
  }
  if (requested_transfer_) {
    return done(
        TransferFailed("another transfer is in progress; repeat the call when it has ended"));
  }
  requested_transfer_ = RequestedTransfer{
      std::move(to), now + options_.raft.election_max + options_.raft.heartbeat, done};
  Step(now, raft::Transfer{target});
}

void NodeImpl::MaybeEndTransfer(Time now) {
  if (!requested_transfer_) return;
  const std::string leader = Hint().leader_id;
  const bool moved = !leader.empty() && leader != options_.name;
  if (!moved && now < requested_transfer_->give_up_at) return;
  const RequestedTransfer ended = *std::exchange(requested_transfer_, std::nullopt);
  if (moved && (ended.to.empty() || ended.to == leader)) return ended.done(leader);
  const std::string target = ended.to.empty() ? "another voter" : ended.to;
  ended.done(TransferFailed(target + " did not become leader in time; " +
                            (leader.empty() ? "no leader is known" : leader + " leads")));
}

void NodeImpl::Drain(std::function<void()> done) {
  Post([this, done = std::move(done)](Time now) {
    draining_ = true;
    drained_.push_back(done);
    next_transfer_ = now;
    broker_->Drain();
  });
}

void NodeImpl::MaybeDrain(Time now) {
  if (!draining_ || drained_.empty()) return;
  const bool alone = raft_->config().MemberIds().size() == 1;
  if (status_.role != raft::Role::kLeader || alone) {
    for (const auto& done : std::exchange(drained_, {})) done();
    return;
  }
  if (now < next_transfer_) return;
  next_transfer_ = now + options_.raft.election_max;
  Step(now, raft::Transfer{});
}

Time NodeImpl::TransferDeadline() const {
  Time due = Time::max();
  if (draining_ && !drained_.empty()) due = next_transfer_;
  if (requested_transfer_) due = std::min(due, requested_transfer_->give_up_at);
  return due;
}

}  // namespace dqueue::node
