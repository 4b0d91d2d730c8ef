// One turn of the loop. A turn never waits for disk or network.
#include <algorithm>
#include <map>
#include <utility>
#include <variant>

#include "base/check.h"
#include "node/node_impl.h"
#include "queue/broker/refusals.h"

namespace dqueue::node {
namespace {
// Estimated lengths of the kinds of work in a turn, in Shares, add up to at most 3 ms, and a piece
// of work that is longer than what is left goes beyond that: a turn stays below 5 ms.

// Batches proposed in one turn. The next turn handles messages before it proposes the rest.
constexpr int kBatchesPerTurn = 8;
// Costs of a call and of a task, for WorkBudget.
constexpr int64_t kCallNs = 1000;
constexpr int64_t kMessageNs = 2000;
constexpr int64_t kPieceNs = 150'000;  // of a snapshot
constexpr int64_t kTaskNs = 100'000;
constexpr int64_t kBatchNs = 2000;
constexpr Duration kSpaceCheckInterval = std::chrono::milliseconds(500);
}  // namespace

NodeImpl::Shares::Shares()
    : calls(std::chrono::microseconds(800)),
      tasks(std::chrono::microseconds(500)),
      timers(std::chrono::microseconds(500)),
      apply(std::chrono::microseconds(1000)),
      leases(std::chrono::microseconds(1000)),
      reads(std::chrono::microseconds(600)),
      proposals(std::chrono::microseconds(600)) {}

WorkBudget* NodeImpl::Shares::Begin(WorkBudget* share) {
  constexpr int64_t kTurnNs = 3'000'000;
  constexpr int64_t kAlwaysNs = 100'000;
  share->CapLeft(std::max(kTurnNs - SpentNs(), kAlwaysNs));
  return share;
}

int64_t NodeImpl::Shares::SpentNs() const {
  return calls.spent_ns() + tasks.spent_ns() + timers.spent_ns() + apply.spent_ns() +
         leases.spent_ns() + reads.spent_ns() + proposals.spent_ns() + others_ns;
}

bool NodeImpl::Poll(Time now) {
  if (failed_.load(std::memory_order_relaxed)) return false;
  DQ_CHECK(now >= now_);
  now_ = now;
  const TurnMeter::Span turn(&meter_, TurnPart::kTurn);
  shares_ = Shares();
  CheckMemory(now);
  TakeInbox(now);
  if (now >= raft_->Deadline()) Step(now, raft::Timeout{});
  // An entry that is applied in part comes first: the rest of the turn needs the state machine.
  while (ApplyEntries(now)) {
  }
  MaybeReplaceState();
  RunCalls(now);
  RunTasks(now);
  const bool more_timers = !RunTimers(now);
  if (now >= next_space_check_) {
    next_space_check_ = now + kSpaceCheckInterval;
    actor_->CheckSpace();
    UpdateStanding(now);
  }
  MaybeDrain(now);
  HandleOutputs(now);
  const bool more_commands = Propose(now);
  Confirm(now);
  HandleOutputs(now);
  MaybeEndTransfer(now);
  MaybeEndRecovery(now);
  bool more_image = false;
  {
    const TurnMeter::Span span(&meter_, TurnPart::kSnapshots);
    more_image = MaybeSnapshot();
    if (snapshot_in_state_) shares_.others_ns += kPieceNs;
  }
  MaybeRemoveOld();
  // A confirmation or an answer may have added work: a single node commits at once.
  return more_image || more_commands || raft_->HasOutput() || broker_->WantsConfirmation() ||
         more_in_inbox_ || !inbox_left_.empty() || !to_apply_.empty() || more_timers ||
         calls_unfinished_ || reads_unanswered_;
}

Time NodeImpl::Deadline() const {
  Time due = std::min(raft_->Deadline(), next_space_check_);
  due = std::min(due, broker_->Deadline(now_, clock_.NowMs(now_)));
  return std::min(due, TransferDeadline());
}

void NodeImpl::TakeInbox(Time now) {
  more_in_inbox_ = inbox_.Take(now, &inbox_left_);
  const TurnMeter::Span span(&meter_, TurnPart::kMessages);
  const raft::Token durable = std::exchange(inbox_left_.durable, raft::Token());
  if (durable > durable_token_) ReleaseHeld(durable);
  if (durable > raft::Token()) Step(now, raft::Persisted{durable});
  for (raft::Message& message : std::exchange(inbox_left_.messages, {})) {
    shares_.others_ns += kMessageNs;
    if (raft_->config().Find(message.from) != nullptr) {
      levels_[message.from] = message.state_level;
    }
    TakeClocks(now, message);
    NoteChunkRefused(message);
    Step(now, raft::Receive{std::move(message)});
  }
  AdvanceClock(now);
}

void NodeImpl::RunCalls(Time now) {
  const TurnMeter::Span span(&meter_, TurnPart::kCalls);
  WorkBudget* const budget = shares_.Begin(&shares_.calls);
  for (; !inbox_left_.late.empty() && !budget->Exhausted(); inbox_left_.late.pop_front()) {
    budget->Spend(kCallNs);
    std::visit([](auto& c) { c.done(queue::DeadlinePassedError()); }, inbox_left_.late.front());
  }
  if (Applying()) return;
  const int64_t time_ms = clock_.NowMs(now);
  calls_unfinished_ = !broker_->ContinueCalls(now, time_ms, budget);
  while (!calls_unfinished_ && !inbox_left_.calls.empty() && !budget->Exhausted()) {
    budget->Spend(kCallNs);
    broker_->Submit(now, time_ms, std::move(inbox_left_.calls.front()), budget);
    inbox_left_.calls.pop_front();
    calls_unfinished_ = !broker_->ContinueCalls(now, time_ms, budget);
  }
}

void NodeImpl::RunTasks(Time now) {
  if (Applying()) return;
  const TurnMeter::Span span(&meter_, TurnPart::kTasks);
  shares_.Begin(&shares_.tasks);
  while (!inbox_left_.tasks.empty() && !shares_.tasks.Exhausted()) {
    shares_.tasks.Spend(kTaskNs);
    const std::function<void(Time)> task = std::move(inbox_left_.tasks.front());
    inbox_left_.tasks.pop_front();
    task(now);
  }
}

bool NodeImpl::RunTimers(Time now) {
  if (Applying()) return true;
  const TurnMeter::Span span(&meter_, TurnPart::kTimers);
  return broker_->OnTimer(now, clock_.NowMs(now), shares_.Begin(&shares_.timers));
}

void NodeImpl::TakeClocks(Time now, const raft::Message& message) {
  if (!raft_->config().IsMember(message.from)) return;
  clock_.OnReport(now, message.from, message.wall_ms);
  if (message.cluster_ms != 0 && message.term >= status_.term &&
      status_.role != raft::Role::kLeader) {
    clock_.Follow(now, message.cluster_ms);
  }
}

void NodeImpl::AdvanceClock(Time now) {
  if (status_.role == raft::Role::kLeader) clock_.Advance(now, env_.wall_ms(), raft_->config());
}

void NodeImpl::Step(Time now, raft::Event event) {
  raft_->Step(now, std::move(event));
  if (env_.probe != nullptr) env_.probe->AfterStep(*raft_);
}

uint32_t NodeImpl::MembersLevel() const {
  uint32_t level = options_.state_level;
  for (const raft::NodeId id : raft_->config().MemberIds()) {
    if (id == self_) continue;
    const auto it = levels_.find(id);
    level = std::min(level, it == levels_.end() ? 0 : it->second);
  }
  return level;
}

bool NodeImpl::Propose(Time now) {
  const TurnMeter::Span span(&meter_, TurnPart::kProposals);
  if (Applying()) return false;  // the turn that ends this proposes
  const int64_t time_ms = clock_.NowMs(now);
  if (serving_ && state_->level() < options_.state_level) broker_->SetLevel(MembersLevel());
  shares_.Begin(&shares_.proposals);
  for (int i = 0; i < kBatchesPerTurn && !shares_.proposals.Exhausted(); ++i) {
    std::optional<queue::Batch> batch = broker_->TakeBatch(now, time_ms, &shares_.proposals);
    if (!batch) return false;
    ++metrics_.proposals;
    shares_.proposals.Spend(kBatchNs + static_cast<int64_t>(batch->payload->size() / 4));
    proposed_.emplace(batch->id, now);
    Step(now, raft::Propose{batch->id, std::move(batch->payload)});
  }
  return true;
}

void NodeImpl::Confirm(Time now) {
  if (broker_->WantsConfirmation()) Step(now, raft::Read{broker_->BeginConfirmation()});
}

bool NodeImpl::HandleOutputs(Time now) {
  bool any = false;
  do {
    while (raft_->HasOutput()) {
      any = true;
      HandleOutput(raft_->TakeOutput());
    }
  } while (ApplyEntries(now));
  MaybeServe(now);
  AnswerConfirmed(now);
  MaybePublishStatus();
  return any;
}

void NodeImpl::HandleOutput(raft::Output output) {
  const bool config_may_change =
      output.install.has_value() ||
      std::any_of(output.append.begin(), output.append.end(),
                  [](const raft::Entry& e) { return e.kind == raft::EntryKind::kConfig; });
  if (output.went_back) return HandleWentBack(*output.went_back);
  // First: a proposal that ended with the leadership needs nothing of the leases any more, which an
  // entry that is applied in part may have changed.
  if (output.status) HandleStatus(*output.status);
  for (const raft::ProposalOutcome& outcome : output.proposals) {
    broker_->OnProposal(outcome, &shares_.timers);
    if (outcome.kind != raft::ProposalOutcome::Kind::kCommitted) {
      proposed_.erase(outcome.id);
    } else {
      DQ_CHECK(committed_.empty() || committed_.back().index < outcome.index);
      committed_.push_back({outcome.index, outcome.id});
    }
  }
  if (output.install) {
    DQ_CHECK(!serving_);
    ForgetCommitted();
    AbandonSnapshot();
    restoring_ = output.install;
    mark_token_ = output.token;
    replace_state_ = true;
    MaybeReplaceState();
  }
  {
    const TurnMeter::Span span(&meter_, TurnPart::kOutputs);
    WriteAndSend(&output);
  }
  if (output.store_chunk) actor_->StoreChunk(*std::move(output.store_chunk));
  for (raft::Entry& entry : output.apply) to_apply_.push_back(std::move(entry));
  for (raft::ReadOutcome& outcome : output.reads) confirmed_.push_back(outcome);
  HandleRefusals(now_, output.refusals);
  if (config_may_change) {
    UpdatePeers();
    published_config_ = nullptr;
  }
}

void NodeImpl::ForgetCommitted() {
  const raft::Index last = to_apply_.empty() ? raft::Index() : to_apply_.back().index;
  while (!committed_.empty() && committed_.back().index > last) {
    proposed_.erase(committed_.back().batch_id);
    const raft::ProposalOutcome unknown{.id = committed_.back().batch_id,
                                        .kind = raft::ProposalOutcome::Kind::kUnknown,
                                        .index = {}};
    broker_->OnProposal(unknown, &shares_.timers);
    committed_.pop_back();
  }
}

void NodeImpl::HandleStatus(const raft::Status& status) {
  const bool was_leader = status_.role == raft::Role::kLeader;
  const bool new_term = status_.term != status.term;
  if (status.leader != status_.leader && status.leader != raft::NodeId()) {
    status_ = status;
    ++metrics_.leader_changes;
    LogLine("term " + std::to_string(status.term.value()) + ": leader is " + Hint().leader_id);
  }
  if (!was_leader && status.role == raft::Role::kLeader) ++metrics_.elections_won;
  status_ = status;
  if (serving_ && (status.role != raft::Role::kLeader || new_term)) {
    serving_ = false;
    broker_->StepDown(Hint(), &shares_.timers);
  } else if (!serving_) {
    broker_->SetHint(Hint());
  }
  if (was_leader && status.role != raft::Role::kLeader) {
    LogLine("term " + std::to_string(status.term.value()) + ": no longer leader");
  }
}

void NodeImpl::MaybeServe(Time now) {
  if (serving_ || status_.role != raft::Role::kLeader || !status_.serving || restoring_) return;
  if (!broker_->settled()) return;
  if (Applying()) return;  // the broker must see all effects of an entry or none
  // An applied entry of this term follows all entries of earlier leaders.
  if (raft_->TermAt(state_->applied_index()) != status_.term) return;
  serving_ = true;
  AdvanceClock(now);
  broker_->BecomeLeader(now, status_.term);
  broker_->SetLowSpace(!raft_->HasRoom());
  UpdateLowMemory();
}

void NodeImpl::WriteAndSend(raft::Output* output) {
  SendMessages(std::move(output->send_now));
  if (output->token == raft::Token()) {
    DQ_CHECK(!output->HasWrites() && output->send_after_persist.empty());
    return;
  }
  DQ_CHECK(output->token > last_token_);
  last_token_ = output->token;
  storage::LogWrite write;
  write.token = output->token;
  write.hard_state = output->hard_state;
  write.reset = output->install;
  write.entries = std::move(output->append);
  if (!output->send_after_persist.empty()) {
    held_.push_back({output->token, std::move(output->send_after_persist)});
  }
  log_->Submit(std::move(write));
}

void NodeImpl::ReleaseHeld(raft::Token durable) {
  durable_token_ = durable;
  while (!held_.empty() && held_.front().token <= durable) {
    std::vector<raft::Message> messages = std::move(held_.front().messages);
    held_.pop_front();
    SendMessages(std::move(messages));
  }
}

void NodeImpl::SendMessages(std::vector<raft::Message> messages) {
  if (messages.empty() || env_.peers == nullptr) return;
  std::map<raft::NodeId, std::vector<raft::Message>> by_peer;
  for (raft::Message& message : messages) {
    if (std::holds_alternative<raft::SnapshotRequest>(message.body)) {
      actor_->ReadChunk(std::move(message));  // sent by the callback chunk_read
      continue;
    }
    if (env_.probe != nullptr) env_.probe->BeforeSend(message);
    NoteRefusalSent(message);
    const raft::NodeId to = message.to;
    by_peer[to].push_back(std::move(message));
  }
  for (auto& [to, batch] : by_peer) SendTo(to, std::move(batch));
}

void NodeImpl::SendTo(raft::NodeId to, std::vector<raft::Message> messages) {
  const int64_t wall_ms = std::max<int64_t>(env_.wall_ms(), 1);
  const int64_t cluster_ms = serving_ ? clock_.NowMs(now_) : 0;
  for (raft::Message& message : messages) {
    message.wall_ms = wall_ms;
    message.cluster_ms = cluster_ms;
    message.state_level = options_.state_level;
  }
  env_.peers->Send(to, std::move(messages));
}

bool NodeImpl::ApplyEntries(Time now) {
  if (to_apply_.empty()) return false;
  const TurnMeter::Span span(&meter_, TurnPart::kApply);
  raft::Index applied;
  shares_.Begin(&shares_.apply);
  while (!to_apply_.empty()) {
    // A new entry begins in the first half of the share, so that most are applied in one turn.
    if (!Applying() && !shares_.apply.HasHalf()) break;
    if (!ApplyEntry(now, to_apply_.front())) break;
    applied = to_apply_.front().index;
    to_apply_.pop_front();
  }
  if (applied == raft::Index()) return false;
  Step(now, raft::Applied{applied});
  return true;
}

bool NodeImpl::ApplyEntry(Time now, const raft::Entry& entry) {
  if (entry.kind != raft::EntryKind::kCommand) {
    state_->ApplyNothing(entry.index);
    AfterApply(entry);
    DQ_CHECK(committed_.empty() || committed_.front().index > entry.index);
    return true;
  }
  if (!Applying()) {
    applying_own_ = !committed_.empty() && committed_.front().index == entry.index;
    collecting_effects_ = applying_own_ || serving_;
    effects_begun_ = false;
    level_before_ = state_->level();
    state_->BeginApply(entry.index, *entry.payload, collecting_effects_ ? &effects_ : nullptr);
  }
  if (state_->applying()) {
    if (!state_->ContinueApply(&shares_.apply)) return false;
    if (state_->level() != level_before_) {
      LogLine("every member knows level " + std::to_string(state_->level()) +
              " of the replicated state: it holds from now on, and older programs cannot join");
    }
    // A change of keys is published before the call that made it is answered.
    MaybePublishStatus();
    AfterApply(entry);
  }
  if (!effects_begun_ && collecting_effects_) {
    effects_begun_ = true;
    std::optional<uint64_t> batch_id;
    if (applying_own_) {
      batch_id = committed_.front().batch_id;
      const auto proposed = proposed_.extract(*batch_id);
      if (!proposed.empty()) metrics_.commit_time.Observe(now - proposed.mapped());
      committed_.pop_front();
    }
    broker_->BeginApplied(batch_id, &effects_);
  }
  if (broker_->applying() && !broker_->ContinueApplied(now, &shares_.apply)) return false;
  DQ_CHECK(committed_.empty() || committed_.front().index > entry.index);
  return true;
}

void NodeImpl::AfterApply(const raft::Entry& entry) {
  applied_bytes_ += entry.SizeBytes();
  if (milestones_.empty() || applied_bytes_ - milestones_.back().bytes >= MilestoneBytes()) {
    milestones_.push_back({entry.index, applied_bytes_});
  }
  if (env_.probe != nullptr) env_.probe->AfterApply(entry, state_->Digest());
}

void NodeImpl::MaybeEndRecovery(Time now) {
  if (metrics_.recovery_time || restoring_) return;
  const raft::Index applied = state_->applied_index();
  // An applied entry of a newer term has replaced the rest of the recovered log.
  if (applied >= recovered_last_ || raft_->TermAt(applied) > recovered_term_) {
    metrics_.recovery_time = now - opened_at_;
  }
}

void NodeImpl::AnswerConfirmed(Time now) {
  if (Applying()) return;
  while (!confirmed_.empty()) {
    const raft::ReadOutcome outcome = confirmed_.front();
    if (outcome.confirmed && state_->applied_index() < outcome.index) break;
    confirmed_.pop_front();
    const TurnMeter::Span span(&meter_, TurnPart::kLeases);
    broker_->OnConfirmation(now, clock_.NowMs(now), outcome, shares_.Begin(&shares_.leases));
  }
  const TurnMeter::Span span(&meter_, TurnPart::kReads);
  reads_unanswered_ =
      !broker_->ContinueReads(now, clock_.NowMs(now), shares_.Begin(&shares_.reads));
}

void NodeImpl::UpdatePeers() {
  if (env_.peers == nullptr) return;
  std::vector<raft::Member> peers;
  for (const raft::NodeId id : raft_->config().MemberIds()) {
    if (id == self_) continue;
    raft::Member member = *raft_->config().Find(id);
    for (const MemberSpec& spec : options_.members) {
      if (spec.name == member.name) member.address = spec.address;
    }
    peers.push_back(std::move(member));
  }
  env_.peers->SetPeers(peers);
}

}  // namespace dqueue::node
