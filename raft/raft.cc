// Construction, events, and the Output.
#include "raft/raft.h"

#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "raft/raft_impl.h"

namespace dqueue::raft {

RaftImpl::RaftImpl(const Options& options, const Recovered& recovered, const LogReader* reader,
                   uint64_t seed, Time now)
    : options_(options),
      cluster_(recovered.cluster),
      self_(recovered.self),
      incarnation_(recovered.incarnation),
      boots_(recovered.boots),
      started_(now),
      started_term_(recovered.hard_state.term),
      // Nodes that were given the same seed must draw different timeouts (hashicorp#50).
      random_(Random::Mix(seed) ^ Random::Mix(self_.value()) ^ incarnation_.value()),
      now_(now),
      term_(recovered.hard_state.term),
      vote_(recovered.hard_state.vote),
      log_(recovered, reader, options.cache_bytes),
      durability_(recovered.hard_state, recovered.last_index),
      snapshot_(recovered.snapshot),
      commit_(std::max(recovered.snapshot.index,
                       std::min(recovered.hard_state.commit, recovered.last_index))),
      handed_out_(recovered.snapshot.index),
      applied_(recovered.snapshot.index),
      install_index_(recovered.snapshot.index),
      election_timeout_(RandomElectionTimeout()) {
  const std::string problem = options.Problem();
  DQ_CHECK_MSG(problem.empty(), problem);
  DQ_CHECK(self_ != NodeId());
  DQ_CHECK_MSG(incarnation_ != Incarnation(), "a formatted disk has an incarnation");
  DQ_CHECK_MSG(term_ >= log_.last_term(),
               absl::StrCat("the log's last term ", log_.last_term().value(),
                            " is newer than the stored term ", term_.value()));
  hard_state_submitted_ = recovered.hard_state;
  hard_state_submitted_.commit = std::min(recovered.hard_state.commit, recovered.last_index);
  Follower follower;
  follower.election_deadline = now + election_timeout_;
  // A cluster of one has no leader to wait for.
  const Configuration& config = log_.config();
  if (config.MemberIds().size() == 1 && config.IsVoter(self_)) follower.election_deadline = now;
  role_ = follower;
}

Duration RaftImpl::RandomElectionTimeout() {
  const auto range = (options_.election_max - options_.election_min).count();
  return options_.election_min + Duration(random_.Below(static_cast<uint64_t>(range)));
}

void RaftImpl::Step(Time now, Event event) {
  DQ_CHECK_MSG(now >= now_, "time went back");
  now_ = now;
  ++events_;
  if (lost_) return;  // R13
  std::visit([this](auto&& e) { On(std::move(e)); }, std::move(event));
  DQ_CHECK(applied_ <= handed_out_ && handed_out_ <= commit_ && commit_ <= log_.last_index());
  DQ_CHECK(durability_.index() <= log_.last_index());
  DQ_CHECK(hard_state_submitted_.term <= term_);
}

void RaftImpl::On(Persisted event) {
  durability_.Complete(event.token);
  log_.Evict(durability_.index());
  if (std::holds_alternative<Candidate>(role_)) CountOwnVote();
  if (std::holds_alternative<Leader>(role_)) MaybeCommit();
}

void RaftImpl::On(Applied event) {
  DQ_CHECK_MSG(event.index <= handed_out_,
               absl::StrCat("applied ", event.index.value(), ", handed out ", handed_out_.value()));
  applied_ = std::max(applied_, event.index);
}

void RaftImpl::On(PeerUnreachable event) {
  if (Leader* leader = std::get_if<Leader>(&role_)) {
    if (Progress* peer = leader->Find(event.peer)) peer->Unreachable();
    return;
  }
  Follower* follower = std::get_if<Follower>(&role_);
  if (follower == nullptr || follower->leader == NodeId() || follower->leader != event.peer) return;
  // A hint. If the leader is alive, its next heartbeat undoes this, and nodes that hear it refuse
  // the pre-vote. If it was killed, waiting for the election timeout would only waste time.
  follower->leader = NodeId();
  const auto spread = static_cast<uint64_t>(options_.heartbeat.count()) + 1;
  follower->election_deadline =
      std::min(follower->election_deadline, now_ + Duration(random_.Below(spread)));
}

void RaftImpl::On(Capacity event) {
  low_space_ = event.low_space;
  low_memory_ = event.low_memory;
  if (Leader* leader = std::get_if<Leader>(&role_); leader != nullptr && !low_space_) {
    leader->full_transfer_retry_at = Time();
  }
}

void RaftImpl::On(Timeout) {
  if (now_ < Deadline()) return;
  if (Leader* leader = std::get_if<Leader>(&role_)) {
    LeaderDeadline(*leader);
  } else {
    OnElectionDeadline();
  }
  DQ_CHECK(Deadline() > now_);
}

Time RaftImpl::Deadline() const {
  if (lost_) return Time::max();
  struct {
    Time operator()(const Follower& f) const { return f.election_deadline; }
    Time operator()(const PreCandidate& c) const { return c.election_deadline; }
    Time operator()(const Candidate& c) const { return c.election_deadline; }
    Time operator()(const Leader& l) const { return l.next_heartbeat; }
  } deadline;
  return std::visit(deadline, role_);
}

Message RaftImpl::Envelope(NodeId to, MessageBody body) const {
  DQ_CHECK(to != NodeId() && to != self_);
  return {.cluster = cluster_,
          .from = self_,
          .from_incarnation = incarnation_,
          .from_boot = boots_.empty() ? Boot() : boots_.back(),
          .to = to,
          .term = term_,
          .body = std::move(body)};
}

void RaftImpl::SendNow(NodeId to, MessageBody body) {
  if (TermDurable()) {
    send_now_.push_back(Envelope(to, std::move(body)));
  } else {
    SendAfterPersist(to, std::move(body));
  }
}

void RaftImpl::SendAfterPersist(NodeId to, MessageBody body) {
  send_after_persist_.push_back(Envelope(to, std::move(body)));
}

HardState RaftImpl::HardStateToWrite() const {
  // A crash keeps only what is durable now; the stored commit must not be above it (etcd#10219).
  return {.term = term_, .vote = vote_, .commit = std::min(commit_, durability_.index())};
}

bool RaftImpl::HasOutput() const {
  if (lost_) return went_back_.has_value();
  if (!refusals_.empty()) return true;
  if (term_ != hard_state_submitted_.term || vote_ != hard_state_submitted_.vote) return true;
  if (install_ || log_.HasUnsubmitted() || store_chunk_) return true;
  if (!send_now_.empty() || !send_after_persist_.empty()) return true;
  if (!proposal_outcomes_.empty() || !read_outcomes_.empty()) return true;
  if (ApplyDue() || GetStatus() != status_reported_) return true;
  const Leader* leader = std::get_if<Leader>(&role_);
  return leader != nullptr && LeaderHasWork(*leader);
}

Output RaftImpl::TakeOutput() {
  if (lost_) {
    Output out;
    out.went_back = std::exchange(went_back_, std::nullopt);
    return out;
  }
  if (Leader* leader = std::get_if<Leader>(&role_)) FlushLeader(*leader);

  Output out;
  const bool new_entries = install_ || log_.HasUnsubmitted();
  const HardState hard_state = HardStateToWrite();
  DQ_CHECK(hard_state.commit >= hard_state_submitted_.commit);
  // A newer commit hint alone is not worth a write.
  if (hard_state.term != hard_state_submitted_.term ||
      hard_state.vote != hard_state_submitted_.vote ||
      (new_entries && hard_state.commit > hard_state_submitted_.commit)) {
    out.hard_state = hard_state;
    hard_state_submitted_ = hard_state;
  }
  out.install = std::exchange(install_, std::nullopt);
  out.append = log_.TakeUnsubmitted();
  out.send_now = std::exchange(send_now_, {});
  out.send_after_persist = std::exchange(send_after_persist_, {});
  last_ack_.reset();
  if (out.HasWrites() || !out.send_after_persist.empty()) {
    out.token = durability_.Submit(log_.last_index(), out.hard_state, now_);
  }

  if (ApplyDue()) {
    out.apply = log_.Read(handed_out_.Next(), commit_, std::numeric_limits<uint64_t>::max(),
                          options_.max_apply_bytes);
    DQ_CHECK(out.apply.front().index == handed_out_.Next());
    handed_out_ = out.apply.back().index;
  }
  out.proposals = std::exchange(proposal_outcomes_, {});
  out.reads = std::exchange(read_outcomes_, {});
  out.refusals = std::exchange(refusals_, {});
  out.store_chunk = std::exchange(store_chunk_, std::nullopt);
  if (const Status status = GetStatus(); status != status_reported_) {
    status_reported_ = status;
    out.status = status;
  }
  return out;
}

static_assert(std::variant_size_v<RoleState> == 4);
static_assert(
    std::is_same_v<std::variant_alternative_t<size_t(Role::kFollower), RoleState>, Follower>);
static_assert(std::is_same_v<std::variant_alternative_t<size_t(Role::kPreCandidate), RoleState>,
                             PreCandidate>);
static_assert(
    std::is_same_v<std::variant_alternative_t<size_t(Role::kCandidate), RoleState>, Candidate>);
static_assert(std::is_same_v<std::variant_alternative_t<size_t(Role::kLeader), RoleState>, Leader>);

Status RaftImpl::GetStatus() const {
  Status status;
  status.role = static_cast<Role>(role_.index());
  status.term = term_;
  if (const Follower* follower = std::get_if<Follower>(&role_)) status.leader = follower->leader;
  if (const Leader* leader = std::get_if<Leader>(&role_)) {
    status.leader = self_;
    status.serving = commit_ >= leader->noop;
  }
  return status;
}

bool RaftImpl::HasRoom() const {
  const Leader* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr || low_space_) return false;
  return log_.config().HasQuorum([this, leader](NodeId id) {
    if (id == self_) return true;
    const Progress* peer = leader->Find(id);
    return peer != nullptr && !peer->low_space;
  });
}

bool RaftImpl::HasMemory() const {
  const Leader* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr || low_memory_) return false;
  // Without a quorum that has disk space, that is the reason to tell.
  const bool has_room = HasRoom();
  return log_.config().HasQuorum([&](NodeId id) {
    if (id == self_) return true;
    const Progress* peer = leader->Find(id);
    return peer != nullptr && !peer->low_memory && !(has_room && peer->low_space);
  });
}

View RaftImpl::GetView() const {
  View view{.status = GetStatus(),
            .commit = commit_,
            .applied = applied_,
            .last_index = log_.last_index(),
            .durable_index = durability_.index(),
            .first_index = log_.first_index(),
            .snapshot_index = snapshot_.index,
            .low_space = false,
            .low_memory = false,
            .config = log_.config(),
            .members = {},
            .dropped_messages = dropped_messages_,
            .refused_messages = refused_messages_};
  const Leader* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr) return view;
  view.low_space = !HasRoom();
  view.low_memory = !HasMemory();
  for (const NodeId id : view.config.MemberIds()) {
    MemberView member{.id = id,
                      .match = durability_.index(),
                      .voter = view.config.IsVoter(id),
                      .reachable = true};
    if (const Progress* peer = leader->Find(id)) {
      member.match = peer->match();
      member.reachable = now_ - peer->last_contact <= options_.election_max;
    }
    view.members.push_back(member);
  }
  return view;
}

// ---- Raft

Raft::Raft(const Options& options, const Recovered& recovered, const LogReader* reader,
           uint64_t seed, Time now)
    : impl_(std::make_unique<RaftImpl>(options, recovered, reader, seed, now)) {}
Raft::~Raft() = default;

void Raft::Step(Time now, Event event) { impl_->Step(now, std::move(event)); }
Time Raft::Deadline() const { return impl_->Deadline(); }
bool Raft::HasOutput() const { return impl_->HasOutput(); }
Output Raft::TakeOutput() { return impl_->TakeOutput(); }
Status Raft::status() const { return impl_->GetStatus(); }
View Raft::GetView() const { return impl_->GetView(); }
bool Raft::HasRoom() const { return impl_->HasRoom(); }
bool Raft::HasMemory() const { return impl_->HasMemory(); }
uint64_t Raft::cached_bytes() const { return impl_->log().cached_bytes(); }
const Configuration& Raft::config() const { return impl_->log().config(); }
std::string Raft::EncodedConfigAt(Index index) const {
  return EncodeConfiguration(impl_->log().ConfigAt(index));
}
Index Raft::CompactionLimit() const { return impl_->CompactionLimit(); }
Term Raft::TermAt(Index index) const { return impl_->log().TermAt(index); }

const char* RoleName(Role role) {
  switch (role) {
    case Role::kFollower:
      return "follower";
    case Role::kPreCandidate:
      return "pre-candidate";
    case Role::kCandidate:
      return "candidate";
    case Role::kLeader:
      return "leader";
  }
  return "?";
}

}  // namespace dqueue::raft
