// Members: which peers a leader replicates to, and which incarnation of each counts (R12). A
// configuration entry binds a member's first incarnation. A wiped disk under the same name is then
// refused (etcd#3504: "a member id must be used only once").
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/mutants.h"
#include "raft/raft_impl.h"

namespace dqueue::raft {
namespace {

// Sets the incarnation of each unbound member for which `incarnation_of` returns one. True if any
// was set.
template <class IncarnationOf>
bool Bind(Configuration& config, IncarnationOf incarnation_of) {
  bool changed = false;
  for (std::vector<Member>* set : {&config.voters, &config.outgoing, &config.learners}) {
    for (Member& member : *set) {
      if (member.incarnation != Incarnation()) continue;
      member.incarnation = incarnation_of(member.id);
      changed |= member.incarnation != Incarnation();
    }
  }
  return changed;
}

}  // namespace

void RaftImpl::RefreshPeers(Leader& leader, Index next) {
  std::vector<Progress> peers;
  for (const NodeId id : log_.config().MemberIds()) {
    if (id == self_) continue;
    const bool voter = log_.config().IsVoter(id);
    if (Progress* known = leader.Find(id)) {
      known->voter = voter;
      peers.push_back(std::move(*known));
    } else {
      peers.emplace_back(id, voter, next, now_);
    }
  }
  leader.peers = std::move(peers);
}

void RaftImpl::BindVoters(Leader& leader, const Ballot& ballot) {
  Configuration config = log_.config();
  // The first leader of a cluster waited for all members (MayForm), and binds them at once.
  const bool first = options_.formation_wait > Duration::zero() && !config.AnyBound();
  const bool changed = Bind(config, [&](NodeId id) {
    for (const Ballot::Vote& vote : ballot.votes()) {
      if (vote.voter == id && vote.granted) return vote.incarnation;
    }
    const auto heard = heard_.find(id);
    return first && heard != heard_.end() ? heard->second : Incarnation();
  });
  if (changed) AppendConfiguration(leader, config);
}

void RaftImpl::MaybeBindContacted(Leader& leader) {
  // One configuration change at a time, and none before the no-op is committed (R5, R6).
  if (commit_ < leader.noop || log_.config_index() > commit_ || leader.transfer) return;
  const Configuration& current = log_.config();
  const bool all_bound = std::all_of(
      leader.peers.begin(), leader.peers.end(),
      [&](const Progress& peer) { return current.Find(peer.id())->incarnation != Incarnation(); });
  if (all_bound) return;
  Configuration config = current;
  const bool changed = Bind(config, [&](NodeId id) {
    if (id == self_) return incarnation_;
    const Progress* peer = leader.Find(id);
    return peer == nullptr ? Incarnation() : peer->incarnation;
  });
  if (changed) AppendConfiguration(leader, config);
}

void RaftImpl::AppendConfiguration(Leader& leader, const Configuration& config) {
  const Index next = log_.last_index().Next();
  AppendAsLeader(EntryKind::kConfig,
                 std::make_shared<const std::string>(EncodeConfiguration(config)));
  DQ_CHECK(log_.config() == config);
  RefreshPeers(leader, next);
}

bool RaftImpl::OwnIncarnationBound() const {
  if (DQ_MUTANT(mutants::kIncarnationIgnored)) return true;
  return log_.config().CountsIncarnation(self_, incarnation_);
}

bool RaftImpl::Counts(const Progress& peer) const {
  if (DQ_MUTANT(mutants::kIncarnationIgnored)) return true;
  return log_.config().CountsIncarnation(peer.id(), peer.incarnation);
}

Entry BootstrapEntry(const Configuration& config) {
  Configuration unbound = config;
  for (std::vector<Member>* set : {&unbound.voters, &unbound.outgoing, &unbound.learners}) {
    for (Member& member : *set) member.incarnation = Incarnation();
  }
  const std::string bytes = EncodeConfiguration(unbound);
  DQ_CHECK_MSG(DecodeConfiguration(bytes) == unbound,
               "the first configuration needs voters, sorted by id, each once");
  return {.index = Index(1),
          .term = Term(1),
          .kind = EntryKind::kConfig,
          .payload = std::make_shared<const std::string>(bytes)};
}

}  // namespace dqueue::raft
