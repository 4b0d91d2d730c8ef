// What the members know of each other's starts (R13), and what a node is told when its messages are
// dropped (R12).
//
// A member whose data directory is replaced by an older copy has forgotten votes and acknowledged
// entries. Without a majority that remembers them nobody can know that. But any single member that
// remembers more must be enough: members tell each other what they remember in elections, and a
// leader's heartbeats name the entries that a follower acknowledged.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/raft_impl.h"

namespace dqueue::raft {
namespace {

constexpr Duration kRefusalInterval = std::chrono::seconds(1);
// More senders than members can send; the table is cleared when it is full (R9).
constexpr size_t kRefusedSendersMax = 64;

}  // namespace

void RaftImpl::Refuse(const Message& message, Refusal::Reason reason) {
  ++dropped_messages_;
  ++refused_messages_[static_cast<size_t>(reason) - 1];
  // A refusal of a refusal would go to and fro.
  if (std::holds_alternative<Refusal>(message.body)) return;
  // A new start is told at once: it must know before it may form a cluster.
  const auto told = refused_.find(message.from);
  if (told != refused_.end() && told->second.incarnation == message.from_incarnation &&
      told->second.boot == message.from_boot && now_ < told->second.next) {
    return;
  }
  if (refused_.size() >= kRefusedSendersMax) refused_.clear();
  refused_[message.from] = {message.from_incarnation, message.from_boot, now_ + kRefusalInterval};
  Refusal refusal;
  refusal.reason = reason;
  if (const Member* member = log_.config().Find(message.from)) {
    refusal.bound = member->incarnation;
  }
  const Leader* leader = std::get_if<Leader>(&role_);
  const Progress* peer = leader == nullptr ? nullptr : leader->Find(message.from);
  if (refusal.bound == Incarnation() && peer != nullptr) refusal.bound = peer->incarnation;
  if (reason == Refusal::Reason::kWentBack) refusal.known = Known(message.from);
  SendNow(message.from, refusal);
}

void RaftImpl::OnRefusal(const Message& message) {
  const auto& refusal = std::get<Refusal>(message.body);
  const bool same_cluster = message.cluster == cluster_;
  switch (refusal.reason) {
    case Refusal::Reason::kOtherCluster:
      if (same_cluster) return;
      break;
    case Refusal::Reason::kOtherIncarnation: {
      if (!same_cluster || refusal.bound == Incarnation() || refusal.bound == incarnation_) return;
      disowned_ = true;
      break;
    }
    case Refusal::Reason::kNotMember:
      if (!same_cluster) return;
      break;
    case Refusal::Reason::kWentBack:
      // A late message of an earlier start causes one, too.
      if (same_cluster) CheckKnown(message.from, refusal.known);
      return;
    default:
      return;  // a reason of a newer version
  }
  refusals_.push_back({message.from, message.cluster, refusal});
}

bool RaftImpl::RecordBoot(const Message& message) {
  const Boot& boot = message.from_boot;
  if (boot.number == 0 || !log_.config().IsMember(message.from)) return true;
  KnownBoot& known = known_[message.from];
  if (known.incarnation != message.from_incarnation) known = {message.from_incarnation, {}, {}};
  if (boot != known.boot) {
    if (boot.number <= known.boot.number) return false;
    // Terms in messages are durable, so a later start begins with at least that term.
    if (message.term < known.term) return false;
    known.before = known.boot;
    known.boot = boot;
  }
  known.term = std::max(known.term, message.term);
  return true;
}

KnownBoot RaftImpl::Known(NodeId id) const {
  const auto known = known_.find(id);
  return known == known_.end() ? KnownBoot() : known->second;
}

void RaftImpl::CheckKnown(NodeId witness, const KnownBoot& known) {
  if (known.boot.number == 0 || boots_.empty() || known.incarnation != incarnation_) return;
  // A start that is not of this disk: a later one, or another one of the same number.
  const auto strange = [this](const Boot& boot) {
    if (boot.number > boots_.back().number) return true;
    const auto same = std::find_if(boots_.begin(), boots_.end(),
                                   [&](const Boot& b) { return b.number == boot.number; });
    return same != boots_.end() && *same != boot;
  };
  const bool forgotten = known.boot != boots_.back() && known.term > started_term_;
  if (!strange(known.boot) && !strange(known.before) && !forgotten) return;
  lost_ = true;
  went_back_ = WentBack{witness, known, Index()};
}

bool RaftImpl::Disowned() const {
  const Member* self = log_.config().Find(self_);
  return disowned_ && self != nullptr && self->incarnation == Incarnation();
}

void RaftImpl::NoteLogEnd(Index last_index) {
  if (last_index > log_.last_index()) longer_log_heard_ = now_;
}

bool RaftImpl::MayForm() const {
  const Duration wait = options_.formation_wait;
  if (wait <= Duration::zero() || log_.config().AnyBound()) return true;
  // That member knows the cluster. It may lack a majority because disks were wiped.
  if (longer_log_heard_ && now_ - *longer_log_heard_ < wait) return false;
  if (now_ - started_ >= wait) return true;
  for (const NodeId id : log_.config().MemberIds()) {
    if (id != self_ && !heard_.contains(id)) return false;
  }
  return true;
}

}  // namespace dqueue::raft
