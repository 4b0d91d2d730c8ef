// Elections (Raft paper 5.2, 5.4.1) with pre-votes (thesis 9.6), and role changes.
#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "raft/mutants.h"
#include "raft/raft_impl.h"

namespace dqueue::raft {

// ---- Ballot

const Ballot::Vote* Ballot::Find(NodeId voter) const {
  const auto vote =
      std::find_if(votes_.begin(), votes_.end(), [&](const Vote& v) { return v.voter == voter; });
  return vote == votes_.end() ? nullptr : &*vote;
}

void Ballot::Record(NodeId voter, Incarnation incarnation, bool granted) {
  // Repeated responses count once (scylla e49d5f89a5).
  if (Find(voter) == nullptr) votes_.push_back({voter, incarnation, granted});
}

bool Ballot::Counts(const Configuration& config, const Vote& vote) {
  if (DQ_MUTANT(mutants::kIncarnationIgnored)) return true;
  return config.CountsIncarnation(vote.voter, vote.incarnation);
}

bool Ballot::Won(const Configuration& config) const {
  return config.HasQuorum([&](NodeId id) {
    const Vote* vote = Find(id);
    return vote != nullptr && vote->granted && Counts(config, *vote);
  });
}

bool Ballot::Lost(const Configuration& config) const {
  return !config.HasQuorum([&](NodeId id) {
    const Vote* vote = Find(id);
    return vote == nullptr || (vote->granted && Counts(config, *vote));
  });
}

// ---- Transitions

// A follower that learns only of a newer term keeps its election deadline. A candidate that cannot
// win would otherwise keep delaying the election of others (braft 725242d).
void RaftImpl::BecomeFollower(Term term, NodeId leader) {
  DQ_CHECK(term >= term_);
  DQ_CHECK(leader != self_);
  Follower follower;
  follower.leader = leader;
  follower.leader_contact = now_;
  const Follower* before = std::get_if<Follower>(&role_);
  if (before != nullptr && leader == NodeId()) {
    follower.election_deadline = before->election_deadline;
  } else {
    election_timeout_ = RandomElectionTimeout();
    follower.election_deadline = now_ + election_timeout_;
  }
  if (Leader* deposed = std::get_if<Leader>(&role_)) AbandonLeadership(*deposed);
  if (term > term_) {
    term_ = term;
    vote_ = NodeId();
    // Responses for the old term would be held until the write of the new term completes.
    send_after_persist_.clear();
    last_ack_.reset();
  } else if (DQ_MUTANT(mutants::kVoteForgotten)) {
    vote_ = NodeId();
  }
  role_ = follower;
}

void RaftImpl::BecomePreCandidate() {
  DQ_CHECK(!std::holds_alternative<Leader>(role_));
  DQ_CHECK(CanCampaign());
  election_timeout_ = RandomElectionTimeout();
  PreCandidate pre{.ballot = {}, .started = now_, .election_deadline = now_ + election_timeout_};
  pre.ballot.Record(self_, incarnation_, true);
  const bool alone = pre.ballot.Won(log_.config());
  role_ = std::move(pre);
  if (alone) return BecomeCandidate(/*transfer=*/false);
  for (const NodeId id : log_.config().MemberIds()) {
    if (id == self_ || !log_.config().IsVoter(id)) continue;
    SendNow(id, PreVoteRequest{.next_term = term_.Next(),
                               .last_index = log_.last_index(),
                               .last_term = log_.last_term(),
                               .known = Known(id)});
  }
}

void RaftImpl::BecomeCandidate(bool transfer) {
  DQ_CHECK(!std::holds_alternative<Leader>(role_));
  DQ_CHECK(CanCampaign());
  send_after_persist_.clear();
  last_ack_.reset();
  term_ = term_.Next();
  vote_ = self_;
  election_timeout_ = RandomElectionTimeout();
  role_ = Candidate{.ballot = {}, .election_deadline = now_ + election_timeout_};
  // The own vote must be durable before the requests leave. CountOwnVote() counts it on Persisted.
  for (const NodeId id : log_.config().MemberIds()) {
    if (id == self_ || !log_.config().IsVoter(id)) continue;
    SendAfterPersist(id, VoteRequest{.last_index = log_.last_index(),
                                     .last_term = log_.last_term(),
                                     .transfer = transfer,
                                     .known = Known(id)});
  }
}

void RaftImpl::CountOwnVote() {
  const HardState& durable = durability_.hard_state();
  if (durable.term != term_ || durable.vote != self_) return;
  Candidate& candidate = std::get<Candidate>(role_);
  candidate.ballot.Record(self_, incarnation_, true);
  if (candidate.ballot.Won(log_.config())) BecomeLeader();
}

void RaftImpl::BecomeLeader() {
  DQ_CHECK(std::holds_alternative<Candidate>(role_));
  DQ_CHECK(vote_ == self_ && TermDurable());
  DQ_CHECK(applied_ >= install_index_);
  const Ballot ballot = std::move(std::get<Candidate>(role_).ballot);
  const Index before = log_.last_index();
  role_ = Leader();
  Leader& leader = std::get<Leader>(role_);
  leader.noop = before.Next();
  leader.next_heartbeat = now_ + options_.heartbeat;
  RefreshPeers(leader, before.Next());
  for (const Ballot::Vote& vote : ballot.votes()) {
    Progress* peer = leader.Find(vote.voter);
    if (peer != nullptr && vote.granted) peer->incarnation = vote.incarnation;
  }
  // Paper 8, thesis 6.4: committing an entry of this term commits the entries of earlier terms
  // (R5).
  AppendAsLeader(EntryKind::kNoop, std::make_shared<const std::string>());
  BindVoters(leader, ballot);
}

Follower& RaftImpl::FollowLeader(NodeId leader) {
  DQ_CHECK_MSG(!std::holds_alternative<Leader>(role_),
               absl::StrCat("two leaders in term ", term_.value()));
  if (!std::holds_alternative<Follower>(role_)) BecomeFollower(term_, leader);
  Follower& follower = std::get<Follower>(role_);
  DQ_CHECK_MSG(follower.leader == NodeId() || follower.leader == leader,
               absl::StrCat("two leaders in term ", term_.value()));
  follower.leader = leader;
  follower.leader_contact = now_;
  follower.election_deadline = now_ + election_timeout_;
  return follower;
}

void RaftImpl::OnElectionDeadline() {
  if (CanCampaign()) return BecomePreCandidate();
  const Time next = now_ + RandomElectionTimeout();
  if (Follower* follower = std::get_if<Follower>(&role_)) {
    follower->election_deadline = next;
    return;
  }
  // Something that a campaign needs is missing, for example because the disk stalls.
  BecomeFollower(term_, NodeId());
}

bool RaftImpl::CanCampaign() const {
  return log_.config().IsVoter(self_) && OwnIncarnationBound() && !Disowned() &&
         // The state machine is being replaced by a snapshot (etcd f1f74e0).
         applied_ >= install_index_ &&
         // A vote that cannot become durable wins nothing and only raises the term.
         OldestWriteAge() <= options_.election_max;
}

bool RaftImpl::HeardFromQuorum(Duration within) const {
  const Leader& leader = std::get<Leader>(role_);
  return log_.config().HasQuorum([&](NodeId id) {
    if (id == self_) return true;
    const Progress* peer = leader.Find(id);
    return peer != nullptr && Counts(*peer) && now_ - peer->last_contact <= within;
  });
}

bool RaftImpl::HeardFromLeader() const {
  if (const Follower* follower = std::get_if<Follower>(&role_)) {
    return follower->leader != NodeId() && now_ - follower->leader_contact < options_.election_min;
  }
  return std::holds_alternative<Leader>(role_) && HeardFromQuorum(options_.election_min);
}

bool RaftImpl::UpToDate(Index last_index, Term last_term) const {
  if (DQ_MUTANT(mutants::kNoLogCheckInVote)) return true;
  // Paper 5.4.1: compare the last term first, then the last index.
  return std::tuple(last_term, last_index) >= std::tuple(log_.last_term(), log_.last_index());
}

// When a leader dies, its broken connections wake all followers at nearly the same time. If two of
// them grant each other's pre-vote, they split the vote and waste an election timeout. So for one
// heartbeat interval after its own request, a pre-candidate refuses a rival with an equal log and a
// greater id; the rival grants. Afterwards it grants, because the rival may reach more of the
// cluster.
bool RaftImpl::PrefersOwnCandidacy(NodeId rival, const PreVoteRequest& request) const {
  const PreCandidate* pre = std::get_if<PreCandidate>(&role_);
  return pre != nullptr && now_ - pre->started < options_.heartbeat && self_ < rival &&
         request.last_index == log_.last_index() && request.last_term == log_.last_term();
}

// ---- Messages

void RaftImpl::OnPreVoteRequest(const Message& message, const PreVoteRequest& request) {
  // A grant is not a promise, so the own vote is irrelevant and nothing is stored. A voter also
  // answers if its own configuration does not name it yet (etcd#10998).
  NoteLogEnd(request.last_index);
  const bool granted = request.next_term > term_ && !Disowned() &&
                       UpToDate(request.last_index, request.last_term) && !HeardFromLeader() &&
                       !PrefersOwnCandidacy(message.from, request);
  SendNow(message.from, PreVoteResponse{.next_term = request.next_term,
                                        .granted = granted,
                                        .known = Known(message.from),
                                        .last_index = log_.last_index()});
}

void RaftImpl::OnPreVoteResponse(const Message& message, const PreVoteResponse& response) {
  NoteLogEnd(response.last_index);
  if (!response.granted && message.term > term_) {
    // The sender has a newer term. Without adopting it, this node's pre-votes would never succeed.
    return BecomeFollower(message.term, NodeId());
  }
  PreCandidate* pre = std::get_if<PreCandidate>(&role_);
  // A node in an older term may grant, so only the term of the election is compared.
  if (pre == nullptr || response.next_term != term_.Next()) return;
  pre->ballot.Record(message.from, message.from_incarnation, response.granted);
  if (pre->ballot.Won(log_.config())) {
    if (!MayForm()) return;  // the next response may allow it
    if (CanCampaign()) return BecomeCandidate(/*transfer=*/false);
    BecomeFollower(term_, NodeId());
  }
}

void RaftImpl::OnVoteRequest(const Message& message, const VoteRequest& request) {
  const Follower* follower = std::get_if<Follower>(&role_);
  const bool has_leader = follower != nullptr && follower->leader != NodeId();
  NoteLogEnd(request.last_index);
  const bool may_vote =
      !Disowned() && (vote_ == message.from || (vote_ == NodeId() && !has_leader));
  // Compare the log also for a repeated request (hashicorp#661).
  const bool granted = may_vote && UpToDate(request.last_index, request.last_term);
  if (granted) {
    // Only a pre-candidate can get here: candidates and leaders have voted for themselves.
    if (follower == nullptr) BecomeFollower(term_, NodeId());
    vote_ = message.from;
    // Paper 5.2: a granted vote restarts the election timer.
    std::get<Follower>(role_).election_deadline = now_ + election_timeout_;
  }
  if (DQ_MUTANT(mutants::kVoteNotPersisted)) {
    send_now_.push_back(Envelope(message.from, VoteResponse{.granted = granted}));
    return;
  }
  SendAfterPersist(message.from, VoteResponse{.granted = granted});
}

void RaftImpl::OnVoteResponse(const Message& message, const VoteResponse& response) {
  Candidate* candidate = std::get_if<Candidate>(&role_);
  if (candidate == nullptr) return;
  candidate->ballot.Record(message.from, message.from_incarnation, response.granted);
  if (candidate->ballot.Won(log_.config())) {
    // With votes of a majority of others, the own vote may not be durable yet. Then Persisted calls
    // BecomeLeader().
    if (durability_.hard_state().vote == self_ && TermDurable()) BecomeLeader();
  } else if (candidate->ballot.Lost(log_.config())) {
    BecomeFollower(term_, NodeId());
  }
}

void RaftImpl::OnTimeoutNow(const Message& message) {
  if (std::holds_alternative<Leader>(role_) || std::holds_alternative<Candidate>(role_)) return;
  FollowLeader(message.from);
  if (CanCampaign()) BecomeCandidate(/*transfer=*/true);
}

}  // namespace dqueue::raft
