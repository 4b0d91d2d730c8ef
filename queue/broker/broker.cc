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
#include "queue/broker/item_calls.h"
#include "queue/broker/leases/deletions.h"
#include "queue/broker/leases/grants.h"
#include "queue/broker/leases/job_presenter.h"
#include "queue/broker/leases/lease_calls.h"
#include "queue/broker/leases/lease_requests.h"
#include "queue/broker/leases/lease_updates.h"
#include "queue/broker/leases/lease_waits.h"
#include "queue/broker/log_clock.h"
#include "queue/broker/reads/groupings.h"
#include "queue/broker/reads/lookups.h"
#include "queue/broker/refusals.h"
#include "queue/broker/reports/worker_registry.h"

namespace dqueue::queue {
namespace {

// Where the ids of batches and rounds begin. Not at 1: raft may still answer those of an earlier
// broker of this process.
uint64_t FirstId(uint64_t seed, uint64_t of) { return HashSequence(seed).Add(of).Finish() >> 2; }

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
        commands(options, state, clock, grants, deletions, FirstId(seed, 3)),
        enqueues(options, admission, clock, state, jobs, commands, seed),
        lease_ends(admission, clock, grants, commands, workers, items, seed) {}

  // Passes the call to the part that serves its type.
  template <class C>
  void Submit(Time now, C call);
  void StepDown(const LeaderHint& hint, Work::Failure failure);
  void Consume(const StateEvent& event);
  // Drops the times of queues that were forgotten.
  void ForgetTimes();

  const BrokerOptions options;
  StateMachine& state;
  uint64_t term = 0;              // of the last leadership
  uint64_t forgotten_queues = 0;  // at the last ForgetTimes

  WorkerRegistry workers;
  JobTimes times;
  CallTimers timers;
  LogClock clock{state};
  Confirmations confirmations;
  Admission admission{options, commands, confirmations, lease_waits, lookups};
  ItemCalls items{admission, clock, workers, confirmations};

  LeaseWaits lease_waits{state, workers, confirmations, timers};
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
                         lease_requests, confirmations, workers, times};
  LeaseUpdates lease_updates{options, clock, grants, items};
  Groupings groupings{state};
  Lookups lookups{state, admission, clock, jobs, groupings, confirmations, timers, workers};
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
  grants.Clear();
  deletions.Clear();
  workers.Clear();
  state.ReleaseAll();
  timers.Clear();
  const Error error =
      failure == Work::Failure::kShutdown ? ShuttingDownError() : admission.NotServing();
  lease_waits.FailAll(error);
  lookups.FailAll(error);
  confirmations.FailAll(failure);
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
  impl_->StepDown(impl_->admission.hint(), Work::Failure::kShutdown);
  impl_->commands.AbandonInFlight();
}

void Broker::Submit(Time now, int64_t wall_ms, AnyCall call) {
  impl_->clock.SetWall(wall_ms);
  std::visit([&](auto& c) { impl_->Submit(now, std::move(c)); }, call);
}

void Broker::BecomeLeader(Time now, raft::Term term) {
  Impl& impl = *impl_;
  if (impl.admission.serving() && term.value() == impl.term) return;
  DQ_CHECK(term.value() > impl.term);
  if (impl.admission.serving()) impl.StepDown({}, Work::Failure::kNotServing);
  DQ_CHECK(impl.lease_waits.size() == 0 && impl.lookups.size() == 0 && impl.confirmations.idle());
  impl.term = term.value();
  impl.admission.BecomeLeader();
  impl.clock.Begin(now);
  impl.commands.Begin();
  impl.grants.Begin(term);
  impl.enqueues.Begin(term);
  impl.lease_ends.Begin(term);
}

void Broker::StepDown(const LeaderHint& hint) { impl_->StepDown(hint, Work::Failure::kNotServing); }

void Broker::SetHint(const LeaderHint& hint) { impl_->admission.SetHint(hint); }
void Broker::SetLowSpace(bool low_space) { impl_->admission.SetLowSpace(low_space); }
void Broker::SetLevel(uint32_t level) { impl_->commands.SetLevel(level); }
void Broker::SetLowMemory(const std::optional<MemoryShortage>& shortage) {
  impl_->admission.SetLowMemory(shortage);
}
void Broker::Drain() { impl_->admission.Drain(); }

std::optional<Batch> Broker::TakeBatch(Time now, int64_t wall_ms) {
  if (!impl_->admission.serving()) return std::nullopt;
  return impl_->commands.TakeBatch(now, wall_ms);
}

void Broker::OnProposal(const raft::ProposalOutcome& outcome) {
  impl_->commands.OnProposal(outcome);
}

void Broker::OnApplied(Time now, std::optional<uint64_t> batch_id, const Effects& effects) {
  if (impl_->admission.serving()) {
    for (const StateEvent& event : effects.events) impl_->Consume(event);
  }
  if (!batch_id) return;
  impl_->commands.OnApplied(now, *batch_id, effects.results);
  if (impl_->times.full()) impl_->ForgetTimes();
  impl_->lease_calls.ServeUnconfirmed(now);
}

bool Broker::WantsConfirmation() const { return impl_->confirmations.Wanted(); }

uint64_t Broker::BeginConfirmation() {
  DQ_CHECK(impl_->admission.serving());
  return impl_->confirmations.Begin();
}

void Broker::OnConfirmation(Time now, int64_t wall_ms, const raft::ReadOutcome& outcome) {
  impl_->clock.SetWall(wall_ms);
  std::optional<Confirmations::Round> round = impl_->confirmations.End(outcome.id);
  if (!round) return;  // of an earlier leadership: its calls were answered then
  DQ_CHECK(impl_->admission.serving());
  impl_->lookups.OnRoundEnded(now, round->reads, outcome.confirmed);
  for (WorkPart& part : round->parts) {
    if (outcome.confirmed) {
      part.Done();
    } else {
      part.Fail(Work::Failure::kNotServing);
    }
  }
  if (outcome.confirmed) {
    impl_->lease_calls.OnConfirmed(now, std::move(round->lease_calls));
  } else {
    impl_->lease_calls.OnNotConfirmed(round->lease_calls);
  }
}

Time Broker::Deadline(Time now, int64_t wall_ms) const {
  if (!impl_->admission.serving()) return Time::max();
  Time due = std::min(impl_->commands.Due(now, wall_ms), impl_->timers.Next());
  if (!impl_->sweeps.empty() || !impl_->groupings.empty()) due = now;
  // Overdue work waits until the node takes batches again. The node must not spin meanwhile.
  return std::max(due, now + std::chrono::milliseconds(1));
}

void Broker::OnTimer(Time now, int64_t) {
  while (const std::optional<uint64_t> number = impl_->timers.Due(now)) {
    DQ_CHECK(impl_->lease_waits.OnTimer(now, *number) || impl_->lookups.OnTimer(*number));
  }
  impl_->commands.DropOverdue(now);
  impl_->sweeps.Step(now);
  impl_->groupings.Step(now);
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
