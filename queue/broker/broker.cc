#include "queue/broker/broker.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "queue/api/limits.h"
#include "queue/broker/broker_impl.h"
#include "queue/api/hash.h"

namespace dqueue::queue {

namespace {

// Where the numbers of batches and rounds begin. Not at 1: raft may still answer those of an
// earlier broker of this process.
uint64_t FirstId(uint64_t seed, uint64_t of) { return HashSequence(seed).Add(of).Finish() >> 2; }

}  // namespace

std::string BrokerOptions::Problem() const {
  const int64_t lease_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(lease_timeout).count();
  if (lease_ms < kLeaseMsMin || lease_ms > kLeaseMsMax) {
    return "lease_timeout (" + std::to_string(lease_ms) + " ms) must be " +
           std::to_string(kLeaseMsMin) + " to " + std::to_string(kLeaseMsMax) + " ms";
  }
  if (max_retries < 0 || max_retries > kRetriesMax) {
    return "max_retries (" + std::to_string(max_retries) + ") must be 0 to " +
           std::to_string(kRetriesMax);
  }
  const std::pair<const char*, size_t> counts[] = {{"max_waiting_calls", max_waiting_calls},
                                                   {"max_batch_commands", max_batch_commands},
                                                   {"max_batch_bytes", max_batch_bytes},
                                                   {"max_pending_bytes", max_pending_bytes},
                                                   {"max_pending_commands", max_pending_commands}};
  for (const auto& [name, value] : counts) {
    if (value == 0) return std::string(name) + " must be at least 1";
  }
  return "";
}

BrokerImpl::BrokerImpl(const BrokerOptions& options, StateMachine* state, uint64_t seed)
    : options_(options),
      state_(state),
      seed_(seed),
      random_(HashSequence(seed).Add(uint64_t{1}).Finish()),
      ids_(HashSequence(seed).Add(uint64_t{2}).Finish()),
      next_batch_(FirstId(seed, 3)),
      lease_requests_(1),
      next_round_(FirstId(seed, 4)) {
  DQ_CHECK(state_ != nullptr);
  DQ_CHECK_MSG(options_.Problem().empty(), options_.Problem());
}

BrokerImpl::~BrokerImpl() {
  StepDown(hint_, Work::Failure::kShutdown);
  for (auto& [id, batch] : in_flight_) {
    for (const CommandRef& ref : batch.commands) {
      if (ref.work != nullptr) PartFailed(ref.work, Work::Failure::kUnknown);
    }
  }
}

void BrokerImpl::BecomeLeader(Time now, raft::Term term) {
  if (serving_ && term.value() == term_) return;
  DQ_CHECK(term.value() > term_);
  if (serving_) StepDown({}, Work::Failure::kNotServing);
  DQ_CHECK(chunks_.empty() && lease_waits_.empty() && read_waits_.empty() && gathering_.empty());
  serving_ = true;
  term_ = term.value();
  ++epoch_;
  hint_ = {};
  last_time_ms_ = std::max(last_time_ms_, state_->time_ms());
  last_time_at_ = now;
  own_batches_after_ = Time::min();
  own_batch_refused_ = false;
  leases_.Begin(term);
  // A stream of its own for each leadership: a node that comes back with its old seed must not
  // repeat its ids.
  random_.seed(HashSequence(seed_).Add(uint64_t{1}).Add(term_).Finish());
  ids_.Reseed(HashSequence(seed_).Add(uint64_t{2}).Add(term_).Finish());
}

void BrokerImpl::StepDown(const LeaderHint& hint, Work::Failure failure) {
  hint_ = hint;
  if (!serving_) {
    DQ_CHECK(chunks_.empty() && lease_waits_.empty() && read_waits_.empty() && rounds_.empty());
    return;
  }
  serving_ = false;
  ++epoch_;
  leases_.Clear();
  deletions_.clear();
  lease_requests_.resize(1);
  free_lease_requests_.clear();
  lease_request_numbers_.clear();
  workers_.Clear();
  state_->ReleaseAll();
  sleepers_.clear();
  timers_.clear();
  pending_commands_ = 0;
  pending_bytes_ = 0;

  const Error error = failure == Work::Failure::kShutdown ? ShuttingDownError() : NotServing();
  for (auto& [number, wait] : std::exchange(lease_waits_, {})) wait.call.done(error);
  for (auto& [number, wait] : std::exchange(read_waits_, {})) {
    std::visit([&error](auto& call) { call.done(error); }, wait.call);
  }
  std::map<uint64_t, Gathering> rounds = std::exchange(rounds_, {});
  for (auto& [id, round] : rounds) {
    for (Work* work : round.works) PartFailed(work, failure);
  }
  for (Work* work : std::exchange(gathering_, {}).works) PartFailed(work, failure);
  waiting_works_ = 0;
  for (PickWork* work : std::exchange(picking_, {})) PartFailed(work, failure);
  for (const auto& grouping : std::exchange(grouping_, {})) grouping->call.done(error);
  for (const Chunk& chunk : std::exchange(chunks_, {})) {
    for (const CommandRef& ref : chunk.commands) PartFailed(ref.work, failure);
  }
}

Broker::Gauges BrokerImpl::gauges() const {
  Broker::Gauges gauges;
  gauges.leases = leases_.size();
  gauges.waiting_leases = lease_waits_.size();
  gauges.waiting_reads = read_waits_.size() + waiting_works_;
  gauges.pending_commands = pending_commands_;
  gauges.pending_bytes = pending_bytes_;
  return gauges;
}

void BrokerImpl::OnEvents(const std::vector<StateEvent>& events) {
  if (!serving_) return;
  for (const StateEvent& event : events) {
    std::visit([this](const auto& e) { On(e); }, event);
  }
}

void BrokerImpl::On(const JobsReady& event) {
  for (uint32_t i = 0; i < event.count && !sleepers_.empty(); ++i) {
    WakeFirst(event.queue, event.type);
  }
}

void BrokerImpl::On(const HoldEnded& event) {
  const JobRef job = event.job;
  if (!deletions_.empty()) {
    const auto deletion = deletions_.find(event.sequence);
    if (deletion != deletions_.end()) deletion->second.held = false;
  }
  if (event.last_token >= leases_.Fence(job)) leases_.ForgetFence(job);
  const LeaseInfo* lease = leases_.Find(job);
  if (lease == nullptr) return;
  if (lease->acking()) {
    // Another of its commands may still have an effect (a completion behind the expiry): nobody
    // may lease the job before the last is decided.
    leases_.SetHeld(job, false);
    return;
  }
  // Cancelled, say: if the job is brought back, older tokens must not count again.
  EndLease(job, /*remember=*/event.last_token < lease->token, /*release=*/false);
}

void BrokerImpl::On(const JobPurged& event) {
  leases_.ForgetFence(event.job);
  // Only a command in flight can have kept it, which the log will refuse: of a job that is over, or
  // was deleted though an earlier leader's lease of it went on.
  if (leases_.Find(event.job) != nullptr) {
    EndLease(event.job, /*remember=*/false, /*release=*/false);
  }
}

void BrokerImpl::ReleaseJob(JobRef job) {
  if (!state_->Release(job) || sleepers_.empty()) return;
  const JobView view = state_->View(job);
  WakeFirst(view.queue, view.type);
}

Error BrokerImpl::NotServing() const {
  // While serving, the hint is about the past: who comes next is not known yet.
  return NotServingError(serving_ ? LeaderHint{} : hint_);
}

std::optional<Error> BrokerImpl::Admit(Time now, Time deadline) const {
  if (deadline <= now) return DeadlinePassedError();
  if (draining_) return ShuttingDownError();
  if (!serving_) return NotServing();
  return std::nullopt;
}

std::optional<Error> BrokerImpl::AdmitWork(Time now, Time deadline) const {
  if (auto error = Admit(now, deadline)) return error;
  // Long polls do not count here: they must not keep workers from ending or extending their work.
  if (waiting_works_ >= options_.max_waiting_calls) {
    return OverloadedError("calls that wait for a confirmation", options_.max_waiting_calls);
  }
  return std::nullopt;
}

std::optional<Error> BrokerImpl::AdmitCommands(Time now, Time deadline, size_t commands,
                                               size_t bytes) const {
  if (auto error = AdmitWork(now, deadline)) return error;
  // One call always fits, or it could never be served.
  if (pending_commands_ == 0) return std::nullopt;
  if (pending_commands_ + commands > options_.max_pending_commands) {
    return OverloadedError("commands that wait to be replicated", options_.max_pending_commands);
  }
  if (pending_bytes_ + bytes > options_.max_pending_bytes) {
    return OverloadedError("bytes of commands that wait to be replicated",
                           options_.max_pending_bytes);
  }
  return std::nullopt;
}

std::optional<Error> BrokerImpl::AdmitWaiting(Time now, Time deadline) const {
  if (auto error = Admit(now, deadline)) return error;
  if (lease_waits_.size() + read_waits_.size() + waiting_works_ >= options_.max_waiting_calls) {
    return OverloadedError("calls that wait", options_.max_waiting_calls);
  }
  return std::nullopt;
}

// The wall clock. While that is behind the log (it was set back, or an earlier leader's was ahead),
// the log's time goes on at half its speed: delays last longer, but nothing stands still until the
// wall clock has caught up.
int64_t BrokerImpl::LogTimeMs(Time now, int64_t wall_ms) const {
  const int64_t elapsed_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now - last_time_at_).count();
  return std::max({wall_ms, last_time_ms_ + elapsed_ms / 2, state_->time_ms(), int64_t{0}});
}

JobRef BrokerImpl::FindVisible(std::string_view id, const QueueAccessPtr& access) const {
  const JobRef job = state_->Find(id);
  if (access == nullptr || job == JobRef{}) return job;
  return access->Allows(state_->View(job).queue) ? job : JobRef{};
}

Broker::Broker(const BrokerOptions& options, StateMachine* state, uint64_t seed)
    : impl_(std::make_unique<BrokerImpl>(options, state, seed)) {}
Broker::~Broker() = default;

void Broker::Submit(Time now, int64_t wall_ms, AnyCall call) {
  impl_->wall_ms_ = wall_ms;
  std::visit([&](auto& c) { impl_->Submit(now, wall_ms, std::move(c)); }, call);
}
void Broker::BecomeLeader(Time now, raft::Term term) { impl_->BecomeLeader(now, term); }
void Broker::StepDown(const LeaderHint& hint) { impl_->StepDown(hint, Work::Failure::kNotServing); }
void Broker::SetHint(const LeaderHint& hint) { impl_->hint_ = hint; }
void Broker::SetLowSpace(bool low_space) { impl_->low_space_ = low_space; }
void Broker::Drain() { impl_->draining_ = true; }
std::optional<Batch> Broker::TakeBatch(Time now, int64_t wall_ms) {
  return impl_->TakeBatch(now, wall_ms);
}
void Broker::OnProposal(const raft::ProposalOutcome& outcome) { impl_->OnProposal(outcome); }
void Broker::OnApplied(Time now, std::optional<uint64_t> batch_id, const Effects& effects) {
  impl_->OnApplied(now, batch_id, effects);
}
bool Broker::WantsConfirmation() const { return impl_->WantsConfirmation(); }
uint64_t Broker::BeginConfirmation() { return impl_->BeginConfirmation(); }
void Broker::OnConfirmation(Time now, int64_t wall_ms, const raft::ReadOutcome& outcome) {
  impl_->wall_ms_ = wall_ms;
  impl_->OnConfirmation(now, outcome);
}
Time Broker::Deadline(Time now, int64_t wall_ms) const { return impl_->Deadline(now, wall_ms); }
void Broker::OnTimer(Time now, int64_t) { impl_->OnTimer(now); }
Broker::Gauges Broker::gauges() const { return impl_->gauges(); }
const JobTimes& Broker::times() const { return impl_->times_; }
void Broker::SetTimes(JobTimes times) { impl_->times_ = std::move(times); }
void Broker::OnGrant(std::function<void(const std::string& job_id, LeaseToken token)> callback) {
  impl_->on_grant_ = std::move(callback);
}

}  // namespace dqueue::queue
