#include "queue/broker/broker.h"

#include <algorithm>
#include <chrono>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/check.h"
#include "queue/api/hash.h"
#include "queue/broker/admission.h"
#include "queue/broker/call_timers.h"
#include "queue/broker/commands/propose_api_keys.h"
#include "queue/broker/commands/propose_enqueue.h"
#include "queue/broker/commands/propose_job_changes.h"
#include "queue/broker/commands/propose_lease_ends.h"
#include "queue/broker/commands/propose_queue_settings.h"
#include "queue/broker/commands/sweeps.h"
#include "queue/broker/confirmations.h"
#include "queue/broker/decided_parts.h"
#include "queue/broker/elsewhere.h"
#include "queue/broker/item_calls.h"
#include "queue/broker/leases/deletions.h"
#include "queue/broker/leases/grants.h"
#include "queue/broker/leases/job_presenter.h"
#include "queue/broker/leases/lease_calls.h"
#include "queue/broker/leases/lease_requests.h"
#include "queue/broker/leases/lease_updates.h"
#include "queue/broker/leases/lease_waits.h"
#include "queue/broker/log_clock.h"
#include "queue/broker/pace.h"
#include "queue/broker/partial_calls.h"
#include "queue/broker/reads/groupings.h"
#include "queue/broker/reads/lookups.h"
#include "queue/broker/refusals.h"
#include "queue/broker/reports/worker_registry.h"

namespace dqueue::queue {
namespace {

// Where the ids of batches and rounds begin. Not at 1: raft may still answer those of an earlier
// broker of this process.
uint64_t FirstId(uint64_t seed, uint64_t of) { return HashSequence(seed).Add(of).Finish() >> 2; }

// Holds that one step ends after a leadership.
constexpr size_t kReleasedInAStep = 64;

// Whether the part serves calls of type C.
template <class Part, class C>
constexpr bool Serves() {
  return requires(Part & part, C call) { part.Submit(Time(), std::move(call)); };
}

}  // namespace

// The parts, in the order in which they depend on one another.
struct Broker::Impl {
  Impl(const BrokerOptions& broker_options, StateMachine& machine, uint64_t seed)
      : options(broker_options),
        state(machine),
        confirmations(FirstId(seed, 4)),
        commands(options, state, pace, decided, clock, grants, deletions, FirstId(seed, 3)),
        enqueues(options, admission, clock, state, jobs, commands, partial, elsewhere, seed),
        lease_ends(admission, clock, grants, commands, workers, items, seed) {}

  // Passes the call to the part that serves its type.
  template <class C>
  void Submit(Time now, C call);
  void StepDown(const LeaderHint& hint, Work::Failure failure);
  // Ends holds of an earlier leadership, as far as the budget goes.
  void ReleaseHolds() {
    while (!released && !pace.Exhausted()) {
      pace.Spend(kReleasedInAStep * kFindNs);
      released = state.ReleaseSome(kReleasedInAStep);
    }
  }
  void Consume(const StateEvent& event);
  // Drops the times of queues that were forgotten.
  void ForgetTimes();
  // Tells what the call into the broker has decided, as far as the budget goes.
  void Tell(Time now) {
    decided.Continue();
    lease_waits.Continue();
    enqueues.returned().Continue(now);
  }
  // Something is left to tell.
  bool telling() const {
    return !decided.empty() || lease_waits.waking() || !enqueues.returned().empty();
  }

  const BrokerOptions options;
  StateMachine& state;
  Pace pace;
  Elsewhere elsewhere;
  DecidedParts decided{pace};
  PartialCalls partial;
  // The entry whose effects are being consumed.
  struct Applied {
    const Effects* effects = nullptr;  // null: none
    size_t next_event = 0;
    bool own = false;  // of a batch of this broker
  };
  Applied applied;
  bool released = true;           // holds of earlier leaderships have ended
  uint64_t term = 0;              // of the last leadership
  uint64_t forgotten_queues = 0;  // at the last ForgetTimes

  WorkerRegistry workers;
  JobTimes times;
  CallTimers timers;
  LogClock clock{state};
  Confirmations confirmations;
  Admission admission{options, pace, commands, confirmations, lease_waits, lookups};
  ItemCalls items{admission, clock, workers, confirmations, partial};

  LeaseWaits lease_waits{state, pace, workers, confirmations, timers};
  Deletions deletions{state, lease_waits};
  LeaseRequests lease_requests;
  Grants grants{options, state, deletions, lease_waits, lease_requests, workers, times};
  JobPresenter jobs{state, grants};
  CommandLog commands;

  EnqueueProposer enqueues;
  LeaseEndProposer lease_ends;
  JobChangeProposer job_changes{state, grants, deletions, commands, items};
  QueueSettingsProposer queue_settings{state, admission, commands};
  ApiKeyProposer api_keys{admission, commands};
  Sweeps sweeps{options, state, admission, commands, grants, deletions, job_changes, confirmations};
  LeaseCalls lease_calls{state,          admission,     clock,   grants, lease_waits,
                         lease_requests, confirmations, workers, times,  elsewhere};
  LeaseUpdates lease_updates{options, clock, grants, items};
  Groupings groupings{state};
  Lookups lookups{state,     admission,     elsewhere, clock,  jobs,
                  groupings, confirmations, timers,    workers};
};

template <class C>
void Broker::Impl::Submit(Time now, C call) {
  const auto submit = [&](auto&... parts) {
    static_assert((Serves<std::remove_reference_t<decltype(parts)>, C>() + ...) == 1,
                  "one part serves each type of call");
    const auto try_part = [&](auto& part) {
      if constexpr (Serves<std::remove_reference_t<decltype(part)>, C>()) {
        part.Submit(now, std::move(call));
      }
    };
    (try_part(parts), ...);
  };
  submit(enqueues, lease_ends, job_changes, queue_settings, api_keys, sweeps, lease_calls,
         lease_updates, lookups);
}

void Broker::Impl::StepDown(const LeaderHint& hint, Work::Failure failure) {
  const bool was_serving = admission.serving();
  admission.StepDown(hint);
  if (!was_serving) {
    DQ_CHECK(commands.pending_commands() == 0 && lease_waits.size() == 0 && lookups.size() == 0 &&
             confirmations.idle());
    return;
  }
  partial.DropAll();
  enqueues.returned().AnswerAll();
  grants.Clear(&elsewhere);
  deletions.Clear();
  elsewhere.Free(workers.TakeAll());
  released = false;
  timers.Clear();
  const Error error =
      failure == Work::Failure::kShutdown ? ShuttingDownError() : admission.NotServing();
  lease_waits.FailAll(error, &elsewhere);
  lookups.FailAll(error, &elsewhere);
  confirmations.FailAll(failure, &decided);
  sweeps.FailAll(failure);
  groupings.FailAll(error);
  commands.End(failure);
}

void Broker::Impl::Consume(const StateEvent& event) {
  if (const auto* ended = std::get_if<HoldEnded>(&event)) {
    deletions.OnHoldEnded(ended->sequence);
    grants.OnHoldEnded(*ended);
  } else if (const auto* ready = std::get_if<JobsReady>(&event)) {
    lease_waits.OnReady(*ready);
  } else if (const auto* resumed = std::get_if<QueueResumed>(&event)) {
    lease_waits.OnResumed(*resumed);
  } else {
    grants.OnPurged(std::get<JobPurged>(event));
  }
}

void Broker::Impl::ForgetTimes() {
  if (state.forgotten_queues() == forgotten_queues) return;
  forgotten_queues = state.forgotten_queues();
  times.ForgetQueues([this](const std::string& queue) { return state.HasQueue(queue); });
}

Broker::Broker(const BrokerOptions& options, StateMachine* state, uint64_t seed) {
  DQ_CHECK(state != nullptr);
  DQ_CHECK_MSG(options.Problem().empty(), options.Problem());
  impl_ = std::make_unique<Impl>(options, *state, seed);
}

Broker::~Broker() {
  impl_->elsewhere.Set(nullptr);
  impl_->partial.DropAll();
  impl_->StepDown(impl_->admission.hint(), Work::Failure::kShutdown);
  impl_->commands.AbandonInFlight();
  impl_->Tell(Time());
  impl_->state.ReleaseAll();
}

void Broker::Submit(Time now, int64_t wall_ms, AnyCall call, WorkBudget* budget) {
  const Pace::Scope scope(&impl_->pace, budget);
  DQ_CHECK(budget == nullptr || impl_->partial.empty());
  impl_->clock.SetWall(wall_ms);
  std::visit([&](auto& c) { impl_->Submit(now, std::move(c)); }, call);
  impl_->Tell(now);
}

bool Broker::ContinueCalls(Time now, int64_t wall_ms, WorkBudget* budget) {
  if (impl_->partial.empty()) return true;
  const Pace::Scope scope(&impl_->pace, budget);
  impl_->clock.SetWall(wall_ms);
  impl_->partial.Continue(now);
  impl_->Tell(now);
  return impl_->partial.empty();
}

void Broker::BecomeLeader(Time now, raft::Term term) {
  Impl& impl = *impl_;
  if (impl.admission.serving() && term.value() == impl.term) return;
  DQ_CHECK(term.value() > impl.term);
  if (impl.admission.serving()) impl.StepDown({}, Work::Failure::kNotServing);
  if (!std::exchange(impl.released, true)) impl.state.ReleaseAll();
  DQ_CHECK(impl.lease_waits.size() == 0 && impl.lookups.size() == 0 && impl.confirmations.idle());
  impl.term = term.value();
  impl.admission.BecomeLeader();
  impl.clock.Begin(now);
  impl.commands.Begin();
  impl.grants.Begin(term);
  impl.enqueues.Begin(term);
  impl.lease_ends.Begin(term);
}

void Broker::StepDown(const LeaderHint& hint, WorkBudget* budget) {
  const Pace::Scope scope(&impl_->pace, budget);
  impl_->StepDown(hint, Work::Failure::kNotServing);
  impl_->decided.Continue();
  impl_->ReleaseHolds();
}

bool Broker::settled() const { return impl_->released; }

void Broker::SetHint(const LeaderHint& hint) { impl_->admission.SetHint(hint); }
void Broker::SetLowSpace(bool low_space) { impl_->admission.SetLowSpace(low_space); }
void Broker::SetLevel(uint32_t level) { impl_->commands.SetLevel(level); }
void Broker::SetLowMemory(const std::optional<MemoryShortage>& shortage) {
  impl_->admission.SetLowMemory(shortage);
}
void Broker::Drain() { impl_->admission.Drain(); }

std::optional<Batch> Broker::TakeBatch(Time now, int64_t wall_ms, WorkBudget* budget) {
  if (!impl_->admission.serving()) return std::nullopt;
  const Pace::Scope scope(&impl_->pace, budget);
  std::optional<Batch> batch = impl_->commands.TakeBatch(now, wall_ms);
  impl_->Tell(now);
  return batch;
}

void Broker::OnProposal(const raft::ProposalOutcome& outcome, WorkBudget* budget) {
  const Pace::Scope scope(&impl_->pace, budget);
  impl_->commands.OnProposal(outcome);
  impl_->decided.Continue();
}

void Broker::BeginApplied(std::optional<uint64_t> batch_id, const Effects* effects) {
  DQ_CHECK(!applying());
  if (batch_id) impl_->commands.BeginApplied(*batch_id, effects->results);
  impl_->applied = {.effects = effects, .own = batch_id.has_value()};
}

bool Broker::ContinueApplied(Time now, WorkBudget* budget) {
  Impl& impl = *impl_;
  DQ_CHECK(applying());
  const Pace::Scope scope(&impl.pace, budget);
  const std::vector<StateEvent>& events = impl.applied.effects->events;
  for (size_t& i = impl.applied.next_event; i < events.size() && impl.admission.serving(); ++i) {
    if (impl.pace.Exhausted()) return false;
    impl.pace.Spend(kResultNs);
    impl.Consume(events[i]);
  }
  if (!impl.commands.ContinueApplied(now)) return false;
  if (impl.applied.own && impl.times.full()) impl.ForgetTimes();
  impl.applied = {};
  impl.lease_calls.ServeUnconfirmed(now);
  impl.Tell(now);
  return true;
}

bool Broker::applying() const { return impl_->applied.effects != nullptr; }

void Broker::OnApplied(Time now, std::optional<uint64_t> batch_id, const Effects& effects) {
  BeginApplied(batch_id, &effects);
  DQ_CHECK(ContinueApplied(now, nullptr));
}

bool Broker::WantsConfirmation() const { return impl_->confirmations.Wanted(); }

uint64_t Broker::BeginConfirmation() {
  DQ_CHECK(impl_->admission.serving());
  return impl_->confirmations.Begin();
}

void Broker::OnConfirmation(Time now, int64_t wall_ms, const raft::ReadOutcome& outcome,
                            WorkBudget* budget) {
  Impl& impl = *impl_;
  const Pace::Scope scope(&impl.pace, budget);
  impl.clock.SetWall(wall_ms);
  std::optional<Confirmations::Round> round = impl.confirmations.End(outcome.id);
  if (!round) return;  // of an earlier leadership: its calls were answered then
  DQ_CHECK(impl.admission.serving());
  impl.lookups.OnRoundEnded(round->reads, outcome.confirmed);
  if (budget == nullptr) impl.lookups.Continue(now);
  for (WorkPart& part : round->parts) {
    impl.decided.Add(std::move(part),
                     outcome.confirmed ? Work::Failure::kNone : Work::Failure::kNotServing);
  }
  if (outcome.confirmed) {
    impl.lease_calls.OnConfirmed(now, std::move(round->lease_calls));
  } else {
    impl.lease_calls.OnNotConfirmed(round->lease_calls);
  }
  impl.Tell(now);
}

bool Broker::ContinueReads(Time now, int64_t wall_ms, WorkBudget* budget) {
  if (!impl_->lookups.answering()) return true;
  const Pace::Scope scope(&impl_->pace, budget);
  impl_->clock.SetWall(wall_ms);
  impl_->lookups.Continue(now);
  return !impl_->lookups.answering();
}

Time Broker::Deadline(Time now, int64_t wall_ms) const {
  const Impl& impl = *impl_;
  const bool telling = impl.telling() || !impl.released;
  const Time soon = now + std::chrono::milliseconds(1);
  if (!impl.admission.serving()) return telling ? soon : Time::max();
  Time due = std::min(impl.commands.Due(now, wall_ms), impl.timers.Next());
  if (!impl.sweeps.empty() || !impl.groupings.empty() || telling || impl.lookups.answering()) {
    due = now;
  }
  // Overdue work waits until the node takes batches again. The node must not spin meanwhile.
  return std::max(due, soon);
}

bool Broker::OnTimer(Time now, int64_t wall_ms, WorkBudget* budget) {
  Impl& impl = *impl_;
  const Pace::Scope scope(&impl.pace, budget);
  impl.clock.SetWall(wall_ms);
  impl.Tell(now);
  impl.ReleaseHolds();
  while (!impl.pace.Exhausted()) {
    const std::optional<uint64_t> number = impl.timers.Due(now);
    if (!number) break;
    DQ_CHECK(impl.lease_waits.OnTimer(now, *number) || impl.lookups.OnTimer(*number));
  }
  impl.commands.DropOverdue(now);
  if (!impl.pace.Exhausted()) impl.sweeps.Step(now);
  if (!impl.pace.Exhausted()) impl.groupings.Step(now);
  impl.Tell(now);
  return impl.released && !impl.telling() && !impl.timers.Due(now);
}

void Broker::AnswerElsewhere(std::function<void(std::function<void()>)> runner) {
  impl_->elsewhere.Set(std::move(runner));
}

Broker::Gauges Broker::gauges() const {
  const Impl& impl = *impl_;
  return {.leases = impl.grants.size(),
          .waiting_leases = impl.lease_waits.size(),
          .waiting_reads = impl.lookups.size() + impl.confirmations.waiting_parts(),
          .pending_commands = impl.commands.pending_commands(),
          .pending_bytes = impl.commands.pending_bytes(),
          .trimmed_finished = impl.commands.trimmed_finished(),
          .trimmed_dead = impl.commands.trimmed_dead(),
          .trimmed_ids = impl.commands.trimmed_ids()};
}

const JobTimes& Broker::times() {
  impl_->ForgetTimes();
  return impl_->times;
}
void Broker::SetTimes(JobTimes times) { impl_->times = std::move(times); }

void Broker::OnGrant(std::function<void(const std::string& job_id, LeaseToken token)> callback) {
  impl_->lease_calls.OnGrant(std::move(callback));
}

}  // namespace dqueue::queue
