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
// Batches proposed in one turn. The next turn handles messages before it proposes the rest.
constexpr int kBatchesPerTurn = 8;
constexpr Duration kSpaceCheckInterval = std::chrono::milliseconds(500);
}  // namespace

bool NodeImpl::Poll(Time now) {
  if (failed_.load(std::memory_order_relaxed)) return false;
  DQ_CHECK(now >= now_);
  now_ = now;
  const TurnMeter::Span turn(&meter_, TurnPart::kTurn);
  TakeInbox(now);
  if (now >= raft_->Deadline()) Step(now, raft::Timeout{});
  {
    const TurnMeter::Span span(&meter_, TurnPart::kTimers);
    broker_->OnTimer(now, clock_.NowMs(now));
  }
  if (now >= next_space_check_) {
    next_space_check_ = now + kSpaceCheckInterval;
    actor_->CheckSpace();
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
  }
  MaybeRemoveOld();
  // A confirmation or an answer may have added work: a single node commits at once.
  return more_image || more_commands || more_calls_ || raft_->HasOutput() ||
         broker_->WantsConfirmation();
}

Time NodeImpl::Deadline() const {
  Time due = std::min(raft_->Deadline(), next_space_check_);
  due = std::min(due, broker_->Deadline(now_, clock_.NowMs(now_)));
  return std::min(due, TransferDeadline());
}

void NodeImpl::TakeInbox(Time now) {
  InboxContents in = inbox_.Take(now, &more_calls_);
  {
    const TurnMeter::Span span(&meter_, TurnPart::kMessages);
    if (in.durable > durable_token_) ReleaseHeld(in.durable);
    if (in.durable > raft::Token()) Step(now, raft::Persisted{in.durable});
    for (raft::Message& message : in.messages) {
      if (raft_->config().Find(message.from) != nullptr) {
        levels_[message.from] = message.state_level;
      }
      TakeClocks(now, message);
      Step(now, raft::Receive{std::move(message)});
    }
  }
  AdvanceClock(now);
  {
    const TurnMeter::Span span(&meter_, TurnPart::kCalls);
    const int64_t time_ms = clock_.NowMs(now);
    for (queue::AnyCall& call : in.late) {
      std::visit([](auto& c) { c.done(queue::DeadlinePassedError()); }, call);
    }
    for (queue::AnyCall& call : in.calls) broker_->Submit(now, time_ms, std::move(call));
  }
  const TurnMeter::Span span(&meter_, TurnPart::kTasks);
  for (const auto& task : in.tasks) task(now);
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
  const int64_t time_ms = clock_.NowMs(now);
  if (serving_ && state_->level() < options_.state_level) broker_->SetLevel(MembersLevel());
  for (int i = 0; i < kBatchesPerTurn; ++i) {
    std::optional<queue::Batch> batch = broker_->TakeBatch(now, time_ms);
    if (!batch) return false;
    ++metrics_.proposals;
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
  while (raft_->HasOutput()) {
    any = true;
    HandleOutput(now, raft_->TakeOutput());
  }
  return any;
}

void NodeImpl::HandleOutput(Time now, raft::Output output) {
  const bool config_may_change =
      output.install.has_value() ||
      std::any_of(output.append.begin(), output.append.end(),
                  [](const raft::Entry& e) { return e.kind == raft::EntryKind::kConfig; });
  // Before HandleStatus(): a proposal that ended with the leadership must be answered only once.
  for (const raft::ProposalOutcome& outcome : output.proposals) {
    broker_->OnProposal(outcome);
    if (outcome.kind != raft::ProposalOutcome::Kind::kCommitted) {
      proposed_.erase(outcome.id);
    } else {
      DQ_CHECK(committed_.empty() || committed_.back().index < outcome.index);
      committed_.push_back({outcome.index, outcome.id});
    }
  }
  if (output.status) HandleStatus(*output.status);
  if (output.install) {
    DQ_CHECK(!serving_);
    if (snapshot_in_state_) {
      state_->AbandonSnapshot();
      actor_->AbandonWrite();
      snapshot_in_state_ = snapshot_in_actor_ = false;
    }
    restoring_ = output.install;
    mark_token_ = output.token;
    actor_->Restore(*output.install);
  }
  {
    const TurnMeter::Span span(&meter_, TurnPart::kOutputs);
    WriteAndSend(&output);
  }
  if (output.store_chunk) actor_->StoreChunk(*std::move(output.store_chunk));
  if (!output.apply.empty()) ApplyEntries(now, output.apply);
  for (raft::ReadOutcome& outcome : output.reads) confirmed_.push_back(outcome);
  MaybeServe(now);
  AnswerConfirmed(now);
  if (config_may_change) {
    UpdatePeers();
    published_config_ = nullptr;
  }
  MaybePublishStatus();
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
    broker_->StepDown(Hint());
  } else if (!serving_) {
    broker_->SetHint(Hint());
  }
  if (was_leader && status.role != raft::Role::kLeader) {
    LogLine("term " + std::to_string(status.term.value()) + ": no longer leader");
  }
}

void NodeImpl::MaybeServe(Time now) {
  if (serving_ || status_.role != raft::Role::kLeader || !status_.serving || restoring_) return;
  // An applied entry of this term follows all entries of earlier leaders.
  if (raft_->TermAt(state_->applied_index()) != status_.term) return;
  serving_ = true;
  AdvanceClock(now);
  broker_->BecomeLeader(now, status_.term);
  broker_->SetLowSpace(!raft_->HasRoom());
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

void NodeImpl::ApplyEntries(Time now, const std::vector<raft::Entry>& entries) {
  DQ_CHECK(!restoring_);
  const TurnMeter::Span span(&meter_, TurnPart::kApply);
  for (const raft::Entry& entry : entries) {
    const bool proposed_here = !committed_.empty() && committed_.front().index == entry.index;
    if (entry.kind == raft::EntryKind::kCommand) {
      const bool collect_effects = proposed_here || serving_;
      const uint32_t level_before = state_->level();
      state_->Apply(entry.index, *entry.payload, collect_effects ? &effects_ : nullptr);
      if (state_->level() != level_before) {
        LogLine("every member knows level " + std::to_string(state_->level()) +
                " of the replicated state: it holds from now on, and older programs cannot join");
      }
      // A change of keys is published before the call that made it is answered.
      MaybePublishStatus();
    } else {
      state_->ApplyNothing(entry.index);
    }
    applied_bytes_ += entry.SizeBytes();
    if (milestones_.empty() || applied_bytes_ - milestones_.back().bytes >= MilestoneBytes()) {
      milestones_.push_back({entry.index, applied_bytes_});
    }
    if (env_.probe != nullptr) env_.probe->AfterApply(entry, state_->Digest());
    if (proposed_here) {
      const auto proposed = proposed_.extract(committed_.front().batch_id);
      if (!proposed.empty()) metrics_.commit_time.Observe(now - proposed.mapped());
      broker_->OnApplied(now, committed_.front().batch_id, effects_);
      committed_.pop_front();
    } else if (serving_ && entry.kind == raft::EntryKind::kCommand) {
      broker_->OnApplied(now, std::nullopt, effects_);
    }
    DQ_CHECK(committed_.empty() || committed_.front().index > entry.index);
  }
  Step(now, raft::Applied{entries.back().index});
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
  while (!confirmed_.empty()) {
    const raft::ReadOutcome outcome = confirmed_.front();
    if (outcome.confirmed && state_->applied_index() < outcome.index) return;
    confirmed_.pop_front();
    const TurnMeter::Span span(&meter_, TurnPart::kReads);
    broker_->OnConfirmation(now, clock_.NowMs(now), outcome);
  }
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
