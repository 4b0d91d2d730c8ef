#include "raft/invariants.h"

#include <algorithm>
#include <map>
#include <optional>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "raft/raft_impl.h"

namespace dqueue::raft {

struct Invariants::Previous {
  bool known = false;
  Role role = Role::kFollower;
  Term term;
  NodeId vote;
  Index commit;
  Index handed_out;
  Index applied;
  Index compacted;
  Index last;
  Term last_term;
  Index snapshot;
  Token token;
  HardState durable;
  NodeId leader;  // of `term`; 0: not known
  ReadId read_id;
};

namespace {

void CheckLog(const LogView& log) {
  Index index = log.compacted_index();
  Term term = log.TermAt(index);
  DQ_CHECK((index == Index()) == (term == Term()));
  for (const TermRun& run : log.runs()) {
    DQ_CHECK(run.first > index && run.first <= log.last_index());
    DQ_CHECK(run.term >= term);
    index = run.first;
    term = run.term;
  }
  if (log.runs().empty()) {
    DQ_CHECK(log.last_index() == log.compacted_index());
  } else {
    DQ_CHECK(log.runs().front().first == log.first_index());
  }
  DQ_CHECK(log.unsubmitted_from() >= log.cached_from());
  DQ_CHECK(log.unsubmitted_from() <= log.last_index().Next());
  DQ_CHECK(log.cached_from() >= log.first_index());
  DQ_CHECK(log.config_index() <= log.last_index());
}

void CheckPeer(const Progress& peer, const LogView& log, const Options& options) {
  DQ_CHECK(peer.match() < peer.next());
  DQ_CHECK(peer.match() <= log.last_index());
  DQ_CHECK(peer.next() <= log.last_index().Next());
  const Window& window = peer.in_flight();
  DQ_CHECK(window.entries() <= options.window_entries);
  // A single entry of any size may exceed window_bytes, so only emptiness is checked.
  DQ_CHECK(window.empty() == (window.entries() == 0) && window.empty() == (window.bytes() == 0));
  if (peer.state() == Progress::State::kReplicate) {
    // A message that is acknowledged in part still counts in full.
    DQ_CHECK(window.entries() >= peer.next().value() - peer.match().value() - 1);
    DQ_CHECK(window.empty() == (peer.match().Next() == peer.next()));
  } else {
    DQ_CHECK(window.empty());
  }
  if (peer.state() == Progress::State::kSnapshot) DQ_CHECK(peer.snapshot.meta.index > peer.match());
  DQ_CHECK(peer.read_acked <= peer.read_sent);
}

}  // namespace

Invariants::Invariants() : previous_(std::make_unique<Previous>()) {}
Invariants::~Invariants() = default;

void Invariants::Check(const Raft& raft) {
  const RaftImpl& r = *raft.impl_;
  CheckState(r);
  if (const Leader* leader = std::get_if<Leader>(&r.role_)) CheckLeader(r, *leader);
  if (previous_->known) CheckTransition(r);
  Remember(r);
}

void Invariants::CheckState(const RaftImpl& r) {
  const LogView& log = r.log_;
  const Durability& durability = r.durability_;
  CheckLog(log);
  DQ_CHECK(r.applied_ <= r.handed_out_);
  DQ_CHECK(r.handed_out_ <= r.commit_);
  DQ_CHECK(r.commit_ <= log.last_index());
  DQ_CHECK(log.compacted_index() <= r.handed_out_);
  DQ_CHECK(log.compacted_index() <= r.snapshot_.index);
  DQ_CHECK(r.install_index_ <= r.commit_);
  DQ_CHECK(durability.index() <= log.last_index());
  DQ_CHECK(durability.index() < log.unsubmitted_from());
  // Entries that are not durable are in memory.
  DQ_CHECK(log.cached_from() <= std::max(durability.index(), log.compacted_index()).Next());
  DQ_CHECK(log.last_term() <= r.term_);
  DQ_CHECK(durability.hard_state().term <= r.hard_state_submitted_.term);
  DQ_CHECK(r.hard_state_submitted_.term <= r.term_);
  DQ_CHECK(r.hard_state_submitted_.commit <= r.commit_);
  for (const Message& message : r.send_after_persist_) {
    DQ_CHECK(message.term == r.term_);
    DQ_CHECK(message.from == r.self_ && message.to != r.self_);
  }
  for (const Message& message : r.send_now_) {
    DQ_CHECK(message.from == r.self_ && message.to != r.self_);
  }
  if (const Follower* follower = std::get_if<Follower>(&r.role_)) {
    DQ_CHECK(follower->leader != r.self_);
  }
  if (std::holds_alternative<Candidate>(r.role_)) DQ_CHECK(r.vote_ == r.self_);
}

void Invariants::CheckLeader(const RaftImpl& r, const Leader& leader) {
  const LogView& log = r.log_;
  // A leader's vote for itself is durable (LogCabin).
  DQ_CHECK(r.vote_ == r.self_ && r.durability_.hard_state().term == r.term_);
  DQ_CHECK(log.last_term() == r.term_);
  DQ_CHECK(leader.noop <= log.last_index());
  DQ_CHECK(leader.noop <= log.compacted_index() || log.TermAt(leader.noop) == r.term_);
  NodeId before;
  for (const Progress& peer : leader.peers) {
    DQ_CHECK(peer.id() > before && peer.id() != r.self_);
    before = peer.id();
    DQ_CHECK(log.config().IsMember(peer.id()));
    DQ_CHECK(peer.voter == log.config().IsVoter(peer.id()));
    DQ_CHECK(peer.read_sent <= leader.read_id);
    CheckPeer(peer, log, r.options_);
  }
  DQ_CHECK(leader.peers.size() + 1 == log.config().MemberIds().size());
  uint64_t bytes = 0;
  Index proposed = r.commit_;
  for (const PendingProposal& proposal : leader.proposals) {
    DQ_CHECK(proposal.index > proposed && proposal.index <= log.last_index());
    proposed = proposal.index;
    bytes += proposal.bytes;
  }
  DQ_CHECK(bytes == leader.proposal_bytes);
  DQ_CHECK(leader.round_reads.size() + leader.waiting_reads.size() <= r.options_.max_pending_reads);
}

void Invariants::CheckTransition(const RaftImpl& r) const {
  const LogView& log = r.log_;
  const Durability& durability = r.durability_;
  const Previous& p = *previous_;
  DQ_CHECK(r.term_ >= p.term);
  DQ_CHECK(r.commit_ >= p.commit);
  DQ_CHECK(r.handed_out_ >= p.handed_out);
  DQ_CHECK(r.applied_ >= p.applied);
  DQ_CHECK(log.compacted_index() >= p.compacted);
  DQ_CHECK(r.snapshot_.index >= p.snapshot);
  DQ_CHECK(durability.last_token() >= p.token);
  DQ_CHECK(durability.hard_state().term >= p.durable.term);
  DQ_CHECK(durability.hard_state().commit >= p.durable.commit);
  if (r.term_ != p.term) return;
  const NodeId known_leader = r.GetStatus().leader;
  DQ_CHECK_MSG(p.vote == NodeId() || r.vote_ == p.vote,
               absl::StrCat("the vote of term ", r.term_.value(), " changed"));
  DQ_CHECK_MSG(p.leader == NodeId() || known_leader == NodeId() || known_leader == p.leader,
               absl::StrCat("two leaders in term ", r.term_.value()));
  const Leader* leader = std::get_if<Leader>(&r.role_);
  if (leader == nullptr) return;
  if (p.role == Role::kLeader) {
    // Leader append-only (paper, figure 3).
    DQ_CHECK(log.last_index() >= p.last);
    DQ_CHECK(p.last < log.compacted_index() || log.TermAt(p.last) == p.last_term);
    DQ_CHECK(leader->read_id >= p.read_id);
  }
  DQ_CHECK(p.role == Role::kLeader || p.role == Role::kCandidate || log.last_index() > p.last);
}

void Invariants::Remember(const RaftImpl& r) {
  const LogView& log = r.log_;
  const Status status = r.GetStatus();
  const Leader* leader = std::get_if<Leader>(&r.role_);
  Previous& p = *previous_;
  p = {.known = true,
       .role = status.role,
       .term = r.term_,
       .vote = r.vote_,
       .commit = r.commit_,
       .handed_out = r.handed_out_,
       .applied = r.applied_,
       .compacted = log.compacted_index(),
       .last = log.last_index(),
       .last_term = log.last_term(),
       .snapshot = r.snapshot_.index,
       .token = r.durability_.last_token(),
       .durable = r.durability_.hard_state(),
       .leader = status.leader != NodeId() || r.term_ != p.term ? status.leader : p.leader,
       .read_id = leader != nullptr ? leader->read_id : ReadId()};
}

}  // namespace dqueue::raft
