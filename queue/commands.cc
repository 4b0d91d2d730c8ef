// What each command of the log does. Nothing here looks at a clock, a hold's owner or an address:
// the same entries give the same state everywhere.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "queue/lease_rules.h"
#include "queue/limits.h"
#include "queue/state_machine_impl.h"
#include "raft/check.h"
#include "raft/mutant.h"
#include "raft/string_seam.h"

namespace dqueue::queue {
namespace {

LeaseToken TokenOf(const log::v1::Token& token) { return {token.term(), token.sequence()}; }

uint8_t PriorityOf(const log::v1::Enqueue::Job& job) {
  return static_cast<uint8_t>(std::min<uint32_t>(job.priority(), kPriorityMax));
}

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

// The answer of a ruling that leaves the job as it is.
CommandResult AnswerWithoutEffect(Ruling ruling, v1::JobState state) {
  switch (ruling) {
    case Ruling::kRepeated:
      return Answer(ResultCode::kOk, state);
    case Ruling::kInvalidState:
      return Answer(ResultCode::kInvalidState, state);
    case Ruling::kLeaseStale:
      return Answer(ResultCode::kLeaseStale, state);
    case Ruling::kApply:
    case Ruling::kApplyLate:
      break;
  }
  CheckFailed(__FILE__, __LINE__, "a ruling without effect", {});
}

bool HasEffect(Ruling ruling) { return ruling == Ruling::kApply || ruling == Ruling::kApplyLate; }

// One job of an enqueue, looked at but not created yet.
struct Candidate {
  const log::v1::Enqueue::Job* job = nullptr;
  SpecBlock spec;
  std::optional<uint64_t> identity;

  uint64_t Identity() {
    if (!identity) {
      identity = ContentIdentity(job->queue(), job->type(), PriorityOf(*job), SpecOf(spec.view()));
    }
    return *identity;
  }
};

using QueueAndKey = std::pair<absl::string_view, absl::string_view>;

}  // namespace

// Jobs are looked at in order, as if each saw those before it created; only if none is refused are
// they created. First the id decides, then the idempotency key.
CommandResult StateMachine::Impl::Enqueue(const log::v1::Enqueue& command) {
  CommandResult result;
  const size_t count = static_cast<size_t>(command.jobs_size());
  std::vector<Candidate> candidates;
  candidates.reserve(count);
  std::vector<size_t> to_create;
  // What this command is about to add, if it has several jobs.
  absl::flat_hash_map<absl::string_view, size_t> new_ids;
  absl::flat_hash_map<QueueAndKey, size_t> new_keys;
  absl::flat_hash_set<absl::string_view> new_queues;

  for (size_t i = 0; i < count; ++i) {
    const log::v1::Enqueue::Job& job = command.jobs(static_cast<int>(i));
    candidates.push_back(Candidate{&job, EncodeSpec(job), std::nullopt});
    Candidate& candidate = candidates.back();
    const auto refuse = [&](ResultCode code, std::string_view existing_id) {
      CommandResult refusal;
      refusal.code = code;
      refusal.failed_item = static_cast<uint32_t>(i);
      refusal.existing_id = std::string(existing_id);
      return refusal;
    };
    const auto is_there = [&](std::string_view id) {
      if (count == 1) {
        result.existing_id = std::string(id);
      } else {
        result.existing.emplace_back(static_cast<uint32_t>(i), std::string(id));
      }
    };

    const uint32_t slot = FindJob(job.id());
    if (slot != kNoSlot) {
      const JobRecord& old = jobs[slot];
      const uint64_t old_identity =
          ContentIdentity(queues[ready.queue_of(old.lane)].name, ready.type_of(old.lane),
                          old.priority, SpecOf(old.spec_view()));
      if (old_identity != candidate.Identity()) return refuse(ResultCode::kDuplicateJob, job.id());
      is_there(job.id());
      continue;
    }
    if (count > 1) {
      const auto same_id = new_ids.find(AbslView(job.id()));
      if (same_id != new_ids.end()) {
        if (candidates[same_id->second].Identity() != candidate.Identity()) {
          return refuse(ResultCode::kDuplicateJob, job.id());
        }
        is_there(job.id());
        continue;
      }
    }

    const uint32_t queue = queues.Find(job.queue());
    if (!job.idempotency_key().empty()) {
      const uint32_t entry = queue == kNoSlot
                                 ? kNoSlot
                                 : keys.Find(queue, queues[queue].name_hash, job.idempotency_key());
      // An entry whose window has ended may still wait for a bounded step to drop it.
      if (entry != kNoSlot && keys[entry].end_ms > time_ms) {
        const std::string_view id = keys[entry].job_id();
        if (keys[entry].identity != candidate.Identity()) {
          return refuse(ResultCode::kIdempotencyMismatch, id);
        }
        is_there(id);
        continue;
      }
      if (count > 1 && job.idempotency_window_ms() > 0) {
        const auto [same_key, inserted] = new_keys.try_emplace(
            QueueAndKey(AbslView(job.queue()), AbslView(job.idempotency_key())), i);
        if (!inserted) {
          Candidate& earlier = candidates[same_key->second];
          if (earlier.Identity() != candidate.Identity()) {
            return refuse(ResultCode::kIdempotencyMismatch, earlier.job->id());
          }
          is_there(earlier.job->id());
          continue;
        }
      }
    }

    if (queue == kNoSlot && new_queues.insert(AbslView(job.queue())).second &&
        queues.size() + new_queues.size() > kQueuesMax) {
      return refuse(ResultCode::kTooManyQueues, {});
    }
    if (count > 1) new_ids.emplace(AbslView(job.id()), i);
    to_create.push_back(i);
  }

  for (const size_t i : to_create) {
    if (!candidates[i].job->idempotency_key().empty()) candidates[i].Identity();
    Create(*candidates[i].job, std::move(candidates[i].spec), candidates[i].identity);
  }
  if (to_create.empty() && count > 0) result.code = ResultCode::kExisting;
  if (count == 1) {
    const std::string& id = to_create.empty() ? result.existing_id : candidates.front().job->id();
    const uint32_t slot = FindJob(id);
    if (slot != kNoSlot) result.state = jobs[slot].job_state();
  }
  return result;
}

void StateMachine::Impl::Create(const log::v1::Enqueue::Job& job, SpecBlock spec,
                                std::optional<uint64_t> identity) {
  uint32_t queue = queues.Find(job.queue());
  if (queue == kNoSlot) {
    queue = queues.Add(job.queue());
    ready.AddQueue(queues[queue].name_hash);
  }
  const uint32_t slot = jobs.Allocate();
  JobRecord& record = jobs[slot];
  record.spec = std::move(spec.bytes);
  record.spec_size = spec.size;
  record.sequence = next_sequence++;
  record.create_ms = time_ms;
  record.run_ms = std::max(time_ms, ClampTime(job.run_time_ms()));
  if (job.expire_time_ms() != 0)
    record.expire_ms = std::max<int64_t>(1, ClampTime(job.expire_time_ms()));
  record.since_ms = time_ms;
  record.lane = ready.AcquireLane(queue, job.type());
  record.priority = PriorityOf(job);
  record.state =
      static_cast<uint8_t>(record.run_ms > time_ms ? v1::JOB_STATE_SCHEDULED : v1::JOB_STATE_READY);
  record.fixed_hash = FixedHash(record, ready.hash_of(record.lane));
  by_id.Insert(JobIdHash(job.id()), slot);
  AddBlockBytes(record);
  Count(slot, Total::kEnqueued);
  EndChange(slot);

  const std::string& key = job.idempotency_key();
  if (!key.empty() && job.idempotency_window_ms() > 0) {
    const uint64_t queue_hash = queues[queue].name_hash;
    const uint32_t ended = keys.Find(queue, queue_hash, key);
    if (ended != kNoSlot) DropKey(ended);
    DQ_CHECK(identity.has_value());
    DQ_CHECK(keys.Add(queue, queue_hash, key, job.id(), *identity, record.sequence,
                      TimeAfter(time_ms, job.idempotency_window_ms())));
  }
  Place(slot);
}

CommandResult StateMachine::Impl::Complete(const log::v1::Complete& command) {
  const uint32_t slot = FindJob(command.id());
  if (slot == kNoSlot) return Answer(ResultCode::kNotFound, v1::JOB_STATE_UNSPECIFIED);
  JobRecord& job = jobs[slot];
  const LeaseToken token = TokenOf(command.token());
  Ruling ruling =
      Rule(LeaseCommand::kComplete, job.job_state(), Relate(token, job.last_token, job.token_end));
  if (DQ_MUTANT(kCompleteUnfenced) && IsLive(job.job_state())) ruling = Ruling::kApply;
  if (!HasEffect(ruling)) return AnswerWithoutEffect(ruling, job.job_state());

  BeginChange(slot);
  if (ruling == Ruling::kApply) Increment(&job.delivered);
  job.last_token = std::max(job.last_token, token);
  job.token_end = TokenEnd::kComplete;
  SetOutcome(slot, job.outcome.error(), command.result());
  Move(slot, v1::JOB_STATE_SUCCEEDED);
  Count(slot, Total::kCompletions);
  EndChange(slot);
  if (DQ_MUTANT(kRedeliverAfterDone)) {
    ready.Insert(job.lane, DeliveryPlace(slot), job.since_ms);
    if (observer != nullptr) observer->OnReady(JobRef{slot}, queues[ready.queue_of(job.lane)].name);
  }
  return Answer(ResultCode::kOk, job.job_state());
}

CommandResult StateMachine::Impl::Fail(const log::v1::Fail& command) {
  const uint32_t slot = FindJob(command.id());
  if (slot == kNoSlot) return Answer(ResultCode::kNotFound, v1::JOB_STATE_UNSPECIFIED);
  JobRecord& job = jobs[slot];
  const LeaseToken token = TokenOf(command.token());
  const Ruling ruling =
      Rule(LeaseCommand::kFail, job.job_state(), Relate(token, job.last_token, job.token_end));
  if (!HasEffect(ruling)) return AnswerWithoutEffect(ruling, job.job_state());

  BeginChange(slot);
  Increment(&job.delivered);
  if (DQ_MUTANT(kAttemptsResetOnFailure)) job.failed = 0;
  Increment(&job.failed);
  job.last_token = token;
  job.token_end = TokenEnd::kFail;
  SetOutcome(slot, command.error(), {});
  Count(slot, Total::kFailures);
  if (command.reject()) {
    Kill(slot, v1::DEAD_REASON_REJECTED);
  } else if (job.failed > SpecOf(job.spec_view()).max_retries) {
    Kill(slot, v1::DEAD_REASON_FAILED);
  } else {
    Unplace(slot);
    job.run_ms = std::max(time_ms, ClampTime(command.next_run_time_ms()));
    job.state =
        static_cast<uint8_t>(job.run_ms > time_ms ? v1::JOB_STATE_SCHEDULED : v1::JOB_STATE_READY);
    job.since_ms = time_ms;
    Place(slot);
  }
  EndChange(slot);
  return Answer(ResultCode::kOk, job.job_state());
}

CommandResult StateMachine::Impl::Expire(const log::v1::Expire& command) {
  const uint32_t slot = FindJob(command.id());
  if (slot == kNoSlot) return Answer(ResultCode::kNotFound, v1::JOB_STATE_UNSPECIFIED);
  JobRecord& job = jobs[slot];
  const LeaseToken token = TokenOf(command.token());
  const Ruling ruling =
      Rule(LeaseCommand::kExpire, job.job_state(), Relate(token, job.last_token, job.token_end));
  if (!HasEffect(ruling)) return AnswerWithoutEffect(ruling, job.job_state());

  BeginChange(slot);
  Increment(&job.delivered);
  Increment(&job.expired);
  job.last_token = token;
  job.token_end = TokenEnd::kExpire;
  SetOutcome(slot, "lease expired (worker " + command.worker_id() + ")", {});
  Count(slot, Total::kExpirations);
  if (job.expired > SpecOf(job.spec_view()).max_expirations) {
    Kill(slot, v1::DEAD_REASON_LEASE_EXPIRED);
  } else {
    // Run time and sequence stay, and with them its place in the order of delivery.
    Move(slot, v1::JOB_STATE_READY);
  }
  EndChange(slot);
  return Answer(ResultCode::kOk, job.job_state());
}

CommandResult StateMachine::Impl::Cancel(const log::v1::Cancel& command) {
  const uint32_t slot = FindJob(command.id());
  if (slot == kNoSlot) return Answer(ResultCode::kNotFound, v1::JOB_STATE_UNSPECIFIED);
  const v1::JobState state = jobs[slot].job_state();
  if (state == v1::JOB_STATE_CANCELLED) return Answer(ResultCode::kOk, state);
  if (!IsLive(state)) return Answer(ResultCode::kInvalidState, state);
  BeginChange(slot);
  Move(slot, v1::JOB_STATE_CANCELLED);
  Count(slot, Total::kCancellations);
  EndChange(slot);
  return Answer(ResultCode::kOk, v1::JOB_STATE_CANCELLED);
}

CommandResult StateMachine::Impl::Retry(const log::v1::Retry& command) {
  const uint32_t slot = FindJob(command.id());
  if (slot == kNoSlot) return Answer(ResultCode::kNotFound, v1::JOB_STATE_UNSPECIFIED);
  JobRecord& job = jobs[slot];
  if (job.job_state() != v1::JOB_STATE_DEAD && job.job_state() != v1::JOB_STATE_CANCELLED) {
    return Answer(ResultCode::kInvalidState, job.job_state());
  }
  BeginChange(slot);
  Unplace(slot);
  job.failed = 0;
  job.expired = 0;
  job.dead_reason = v1::DEAD_REASON_UNSPECIFIED;
  job.run_ms = time_ms;
  // Somebody wants it to run after all: an expiry that has passed would kill it again at once.
  if (job.expire_ms <= time_ms) job.expire_ms = 0;
  job.state = v1::JOB_STATE_READY;
  job.since_ms = time_ms;
  Place(slot);
  Count(slot, Total::kRetries);
  EndChange(slot);
  return Answer(ResultCode::kOk, v1::JOB_STATE_READY);
}

// To the dead-letter set of its queue. Between BeginChange and EndChange.
void StateMachine::Impl::Kill(uint32_t slot, v1::DeadReason reason) {
  jobs[slot].dead_reason = static_cast<uint8_t>(reason);
  Move(slot, v1::JOB_STATE_DEAD);
  Count(slot, Total::kDeaths);
}

// Between BeginChange and EndChange.
void StateMachine::Impl::SetOutcome(uint32_t slot, std::string_view error,
                                    std::string_view result) {
  JobRecord& job = jobs[slot];
  block_bytes -= job.outcome.allocated();
  job.outcome.Set(error, result);
  block_bytes += job.outcome.allocated();
}

}  // namespace dqueue::queue
