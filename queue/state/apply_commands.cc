// Applies the commands about existing jobs and queues (apply_enqueue.cc creates jobs). Nothing here
// reads a clock, a hold's owner or an address: the same entries give the same state on each
// replica.
#include <algorithm>

#include "base/check.h"
#include "queue/api/limits.h"
#include "queue/state/attempts.h"
#include "queue/state/lease_rules.h"
#include "queue/state/mutants.h"
#include "queue/state/state_machine_impl.h"

namespace dqueue::queue {
namespace {

// Counters stop at their greatest value.
void Increment(uint32_t* counter) {
  if (*counter != UINT32_MAX) ++*counter;
}

CommandResult Answer(ResultCode code, v1::JobState state) {
  CommandResult result;
  result.code = code;
  result.state = state;
  return result;
}

// The result of a decision that leaves the job unchanged.
CommandResult AnswerWithoutEffect(LeaseDecision decision, v1::JobState state) {
  switch (decision) {
    case LeaseDecision::kRepeated:
      return Answer(ResultCode::kOk, state);
    case LeaseDecision::kInvalidState:
      return Answer(ResultCode::kInvalidState, state);
    case LeaseDecision::kLeaseStale:
      return Answer(ResultCode::kLeaseStale, state);
    case LeaseDecision::kApply:
    case LeaseDecision::kApplyLate:
      break;
  }
  CheckFailed(__FILE__, __LINE__, "a decision without effect", {});
}

bool HasEffect(LeaseDecision decision) {
  return decision == LeaseDecision::kApply || decision == LeaseDecision::kApplyLate;
}

}  // namespace

LeaseDecision StateMachine::Impl::DecisionOn(LeaseCommand kind, const CommandView& command,
                                             const StoredJob& job) const {
  if (IsOfAnother(command, job) && !DQ_MUTANT(mutants::kReusedIdNotTold))
    return LeaseDecision::kLeaseStale;
  return Decide(kind, job.job_state(), Relate(command.token, job.last_token, job.token_end));
}

CommandResult StateMachine::Impl::Complete(const CommandView& command) {
  const uint32_t slot = FindNext(command);
  if (slot == kNoSlot) return Answer(ResultCode::kNotFound, v1::JOB_STATE_UNSPECIFIED);
  StoredJob& job = jobs[slot];
  const LeaseToken token = command.token;
  LeaseDecision decision = DecisionOn(LeaseCommand::kComplete, command, job);
  if (DQ_MUTANT(mutants::kCompleteUnfenced) && IsLive(job.job_state()))
    decision = LeaseDecision::kApply;
  if (!HasEffect(decision)) return AnswerWithoutEffect(decision, job.job_state());

  BeginChange(slot);
  if (decision == LeaseDecision::kApply) Increment(&job.delivered);
  job.last_token = std::max(job.last_token, token);
  job.token_end = TokenEnd::kComplete;
  SetOutcome(slot, job.outcome.error(), command.text, job.outcome.attempts());
  Move(slot, v1::JOB_STATE_SUCCEEDED);
  Count(slot, Total::kCompletions);
  EndChange(slot);
  if (DQ_MUTANT(mutants::kRedeliverAfterDone)) {
    ready.Insert(job.lane, DeliveryPlace(slot), job.since_ms);
    NoteReady(job);
  }
  return Answer(ResultCode::kOk, job.job_state());
}

CommandResult StateMachine::Impl::Fail(const CommandView& command) {
  const uint32_t slot = FindNext(command);
  if (slot == kNoSlot) return Answer(ResultCode::kNotFound, v1::JOB_STATE_UNSPECIFIED);
  StoredJob& job = jobs[slot];
  const LeaseToken token = command.token;
  const LeaseDecision decision = DecisionOn(LeaseCommand::kFail, command, job);
  if (!HasEffect(decision)) return AnswerWithoutEffect(decision, job.job_state());

  BeginChange(slot);
  Increment(&job.delivered);
  if (DQ_MUTANT(mutants::kAttemptsResetOnFailure)) job.failed = 0;
  Increment(&job.failed);
  job.last_token = token;
  job.token_end = TokenEnd::kFail;
  SetOutcome(slot, command.text, {}, AttemptsAfter(job, command));
  Count(slot, Total::kFailures);
  if (command.reject) {
    Kill(slot, v1::DEAD_REASON_REJECTED);
  } else if (job.failed > SpecOf(job.spec_view()).max_retries) {
    Kill(slot, v1::DEAD_REASON_FAILED);
  } else {
    Unplace(slot);
    job.run_ms = std::max(time_ms, ClampTime(command.next_run_time_ms));
    job.state =
        static_cast<uint8_t>(job.run_ms > time_ms ? v1::JOB_STATE_SCHEDULED : v1::JOB_STATE_READY);
    job.since_ms = time_ms;
    Place(slot);
  }
  EndChange(slot);
  return Answer(ResultCode::kOk, job.job_state());
}

CommandResult StateMachine::Impl::Expire(const CommandView& command) {
  const uint32_t slot = FindNext(command);
  if (slot == kNoSlot) return Answer(ResultCode::kNotFound, v1::JOB_STATE_UNSPECIFIED);
  StoredJob& job = jobs[slot];
  const LeaseToken token = command.token;
  const LeaseDecision decision = DecisionOn(LeaseCommand::kExpire, command, job);
  if (!HasEffect(decision)) return AnswerWithoutEffect(decision, job.job_state());

  BeginChange(slot);
  Increment(&job.delivered);
  Increment(&job.expired);
  job.last_token = token;
  job.token_end = TokenEnd::kExpire;
  SetOutcome(slot, "lease expired (worker " + std::string(command.worker_id) + ")", {},
             AttemptsAfter(job, command));
  Count(slot, Total::kExpirations);
  if (job.expired > SpecOf(job.spec_view()).max_expirations) {
    Kill(slot, v1::DEAD_REASON_LEASE_EXPIRED);
  } else {
    // Run time and sequence are kept, so the job returns to its place in the order of delivery.
    Move(slot, v1::JOB_STATE_READY);
  }
  EndChange(slot);
  return Answer(ResultCode::kOk, job.job_state());
}

CommandResult StateMachine::Impl::Cancel(const CommandView& command) {
  const uint32_t slot = FindNext(command);
  if (slot == kNoSlot || IsOfAnother(command, jobs[slot])) {
    return Answer(ResultCode::kNotFound, v1::JOB_STATE_UNSPECIFIED);
  }
  const v1::JobState state = jobs[slot].job_state();
  if (state == v1::JOB_STATE_CANCELLED) return Answer(ResultCode::kOk, state);
  if (!IsLive(state)) return Answer(ResultCode::kInvalidState, state);
  BeginChange(slot);
  Move(slot, v1::JOB_STATE_CANCELLED);
  Count(slot, Total::kCancellations);
  EndChange(slot);
  return Answer(ResultCode::kOk, v1::JOB_STATE_CANCELLED);
}

CommandResult StateMachine::Impl::Retry(const CommandView& command) {
  const uint32_t slot = FindNext(command);
  if (slot == kNoSlot) return Answer(ResultCode::kNotFound, v1::JOB_STATE_UNSPECIFIED);
  StoredJob& job = jobs[slot];
  if (IsOfAnother(command, job)) {
    return Answer(ResultCode::kNotFound, v1::JOB_STATE_UNSPECIFIED);
  }
  if (job.job_state() != v1::JOB_STATE_DEAD && job.job_state() != v1::JOB_STATE_CANCELLED) {
    return Answer(ResultCode::kInvalidState, job.job_state());
  }
  BeginChange(slot);
  Unplace(slot);
  job.failed = 0;
  job.expired = 0;
  job.dead_reason = v1::DEAD_REASON_UNSPECIFIED;
  job.run_ms = time_ms;
  // An expiry that has passed would kill the retried job at once.
  if (job.expire_ms <= time_ms) job.expire_ms = 0;
  job.state = v1::JOB_STATE_READY;
  job.since_ms = time_ms;
  Place(slot);
  SetKeySpent(job, false);
  Count(slot, Total::kRetries);
  EndChange(slot);
  return Answer(ResultCode::kOk, v1::JOB_STATE_READY);
}

CommandResult StateMachine::Impl::Delete(const CommandView& command) {
  const uint32_t slot = FindNext(command);
  const bool there =
      slot != kNoSlot && (!IsOfAnother(command, jobs[slot]) || DQ_MUTANT(mutants::kDeleteUntold));
  if (!there) return Answer(ResultCode::kNotFound, v1::JOB_STATE_UNSPECIFIED);
  const v1::JobState state = jobs[slot].job_state();
  const bool may_go = command.states == 0 || (command.states & JobStateBit(state)) != 0;
  if (!may_go && !DQ_MUTANT(mutants::kDeleteInAnyState))
    return Answer(ResultCode::kInvalidState, state);
  Purge(slot);
  return Answer(ResultCode::kOk, v1::JOB_STATE_UNSPECIFIED);
}

CommandResult StateMachine::Impl::SetQueue(const CommandView& command) {
  const QueueSettings settings{.paused = command.paused,
                               .refuses_enqueues = command.paused && command.refuse_enqueues};
  uint32_t queue = queues.Find(command.text);
  if (queue == kNoSlot) {
    if (!settings.paused) return Answer(ResultCode::kNotFound, v1::JOB_STATE_UNSPECIFIED);
    if (!HasRoomForQueues(1)) {
      return Answer(ResultCode::kTooManyQueues, v1::JOB_STATE_UNSPECIFIED);
    }
    queue = AddQueue(command.text);
  }
  const QueueSettings before = queues[queue].settings;
  if (settings != before) {
    SaveQueueForImage(queue);
    if (queues[queue].idle) BecomeBusy(queue);
    queues.SetSettings(queue, settings);
    if (!settings.paused && queues[queue].totals.Jobs() == 0) BecomeIdle(queue);
  }
  if (before.paused && !settings.paused) {
    NoteResumed(queue);
  }
  return Answer(ResultCode::kOk, v1::JOB_STATE_UNSPECIFIED);
}

CommandResult StateMachine::Impl::Trim(const TrimCounts& counts) {
  for (uint32_t i = 0; i < counts.finished && !purging.empty(); ++i) {
    Purge(DQ_MUTANT(mutants::kTrimTakesDead) ? FirstToPurge() : purging.begin()->slot());
  }
  for (uint32_t i = 0; i < counts.dead && !purging_dead.empty(); ++i) {
    Purge(purging_dead.begin()->slot());
  }
  for (uint32_t i = 0; i < counts.ids && !idempotency.spent().empty(); ++i) {
    DropIdempotencyKey(DQ_MUTANT(mutants::kTrimTakesIdsInUse)
                           ? idempotency.FirstToEnd()
                           : idempotency.spent().begin()->slot());
  }
  for (uint32_t i = 0; i < counts.requests && requests.size() > 0; ++i) DropFirstRequest();
  return Answer(ResultCode::kOk, v1::JOB_STATE_UNSPECIFIED);
}

// Moves the job to the dead-letter set of its queue. Between BeginChange and EndChange.
void StateMachine::Impl::Kill(uint32_t slot, v1::DeadReason reason) {
  jobs[slot].dead_reason = static_cast<uint8_t>(reason);
  Move(slot, v1::JOB_STATE_DEAD);
  Count(slot, Total::kDeaths);
}

// Between BeginChange and EndChange.
void StateMachine::Impl::SetOutcome(uint32_t slot, std::string_view error, std::string_view result,
                                    std::string_view attempts) {
  StoredJob& job = jobs[slot];
  BlockBytesOf(job) -= BlockBytes(job);
  job.outcome.Set(error, result, attempts);
  BlockBytesOf(job) += BlockBytes(job);
}

std::string StateMachine::Impl::AttemptsAfter(const StoredJob& job,
                                              const CommandView& command) const {
  // The entry is of a version that kept no attempts. Replaying it must give the state of that
  // version.
  if (command.held_ms == 0) return std::string(job.outcome.attempts());
  const bool failed = command.kind == CommandKind::kFail;
  return WithAttempt(job.outcome.attempts(), {.number = job.delivered,
                                              .end = !failed          ? v1::Attempt::END_EXPIRED
                                                     : command.reject ? v1::Attempt::END_REJECTED
                                                                      : v1::Attempt::END_FAILED,
                                              .end_ms = time_ms,
                                              .held_ms = command.held_ms,
                                              .worker_id = command.worker_id,
                                              .error = failed ? command.text : std::string_view()});
}

}  // namespace dqueue::queue
