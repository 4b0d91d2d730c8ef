// The Enqueue command: creates jobs. A job is new if neither its id nor, within its window, its
// idempotency key is taken; the id is checked first. The jobs of one command are checked in order,
// each as if those before it existed. They are created only if none is refused.
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "base/check.h"
#include "base/string_seam.h"
#include "queue/api/limits.h"
#include "queue/state/state_machine_impl.h"

namespace dqueue::queue {

// A job of the command, while it is checked.
struct EnqueueCandidate {
  EnqueueCandidate(const EnqueuedJob& job, uint64_t hash)
      : new_job(&job),
        id_hash(hash),
        priority(static_cast<uint8_t>(std::min<uint32_t>(job.priority, kPriorityMax))) {}

  // Encoded when first needed: most jobs are new and are not compared with another one.
  const SpecBlock& Spec() {
    if (!spec.bytes) spec = EncodeSpec(*new_job);
    return spec;
  }
  uint64_t Identity() {
    if (!identity) {
      identity = ContentIdentity(new_job->queue, new_job->type, priority, SpecOf(Spec().view()));
    }
    return *identity;
  }

  const EnqueuedJob* new_job;
  uint64_t id_hash;
  uint32_t queue = kNoSlot;  // kNoSlot: not looked up, or not there when it was
  uint8_t priority;
  SpecBlock spec;
  std::optional<uint64_t> identity;
  uint64_t sequence = 0;  // of the job, once it is created
};

// The result of checking a candidate against the existing jobs.
struct EnqueueCheck {
  ResultCode code = ResultCode::kOk;  // kOk: it is new
  std::string_view existing_id = {};
  uint64_t existing_sequence = 0;              // of the existing job, unless `together` has it
  const EnqueueCandidate* together = nullptr;  // an earlier candidate of the same command
};

// The candidates of the same command that were found new so far.
struct EnqueuedTogether {
  using QueueAndKey = std::pair<absl::string_view, absl::string_view>;
  absl::flat_hash_map<absl::string_view, EnqueueCandidate*> by_id;
  absl::flat_hash_map<QueueAndKey, EnqueueCandidate*> by_key;
  absl::flat_hash_set<absl::string_view> new_queues;  // or idle ones
};

// An Enqueue of several jobs: all are checked, then all new ones are created. Nothing else changes
// the state in between.
struct EnqueueOfMany {
  explicit EnqueueOfMany(size_t jobs) {
    candidates.reserve(jobs);  // `together` points into it
    checks.reserve(jobs);
  }
  size_t first_id = 0;  // of its ids in id_hashes
  std::vector<EnqueueCandidate> candidates;
  std::vector<EnqueueCheck> checks;
  EnqueuedTogether together;
  size_t next_to_create = 0;
};

// The cost of comparing a job with the others of its command.
constexpr int64_t kCheckTogetherNs = 600;

uint64_t StateMachine::Impl::IdentityOf(const StoredJob& job) const {
  return ContentIdentity(queues[ready.queue_of(job.lane)].name, ready.type_of(job.lane),
                         job.priority, SpecOf(job.spec_view()));
}

EnqueueCheck StateMachine::Impl::CheckId(EnqueueCandidate& candidate, EnqueuedTogether* together) {
  const std::string_view id = candidate.new_job->id;
  const auto compare = [&](uint64_t identity, uint64_t sequence, const EnqueueCandidate* other) {
    return EnqueueCheck{
        identity == candidate.Identity() ? ResultCode::kExisting : ResultCode::kDuplicateJob, id,
        sequence, other};
  };
  const uint32_t slot = FindJob(id, candidate.id_hash);
  if (slot != kNoSlot) return compare(IdentityOf(jobs[slot]), jobs[slot].sequence, nullptr);
  if (together != nullptr) {
    const auto it = together->by_id.find(AbslView(id));
    if (it != together->by_id.end()) return compare(it->second->Identity(), 0, it->second);
  }
  return {};
}

uint64_t StateMachine::Impl::RequestIdentityOf(const JobSpecView& spec,
                                               uint64_t content_identity) const {
  // A job with an id of its own must have the same one.
  return spec.request_key.empty() ? content_identity
                                  : HashSequence(content_identity).Add(spec.id).Finish();
}

// Whether the job is one of a repeated request, and the job of the first is gone.
EnqueueCheck StateMachine::Impl::CheckRequest(EnqueueCandidate& candidate) {
  const EnqueuedJob& new_job = *candidate.new_job;
  RequestKey key;
  if (!ParseRequestKey(new_job.request_key, &key)) {
    if (!new_job.id_of_request) return {};
    key = RequestKeyOfId(new_job.id);
  }
  const uint32_t entry = requests.Find(key);
  if (entry == kNoSlot || requests[entry].end_ms <= time_ms) return {};
  const uint64_t identity =
      RequestIdentityOf(SpecOf(candidate.Spec().view()), candidate.Identity());
  return {.code = identity == requests[entry].identity ? ResultCode::kExisting
                                                       : ResultCode::kDuplicateJob,
          .existing_id = new_job.id,
          .existing_sequence = requests[entry].sequence};
}

EnqueueCheck StateMachine::Impl::CheckIdempotencyKey(EnqueueCandidate& candidate,
                                                     EnqueuedTogether* together) {
  const EnqueuedJob& new_job = *candidate.new_job;
  if (new_job.idempotency_key.empty()) return {};
  const auto compare = [&](uint64_t identity, std::string_view owner_id, uint64_t sequence,
                           const EnqueueCandidate* other) {
    return EnqueueCheck{
        identity == candidate.Identity() ? ResultCode::kExisting : ResultCode::kIdempotencyMismatch,
        owner_id, sequence, other};
  };
  const uint32_t entry = idempotency.Find(new_job.queue, new_job.idempotency_key);
  // An entry whose window has ended may still wait for a bounded step to drop it.
  if (entry != kNoSlot && idempotency[entry].end_ms > time_ms) {
    return compare(idempotency[entry].identity, idempotency[entry].job_id(),
                   idempotency[entry].sequence, nullptr);
  }
  if (together != nullptr) {
    const auto it =
        together->by_key.find({AbslView(new_job.queue), AbslView(new_job.idempotency_key)});
    if (it != together->by_key.end()) {
      return compare(it->second->Identity(), it->second->new_job->id, 0, it->second);
    }
  }
  return {};
}

EnqueueCheck StateMachine::Impl::CheckNew(EnqueueCandidate& candidate, EnqueuedTogether* together) {
  const EnqueuedJob& new_job = *candidate.new_job;
  EnqueueCheck check = CheckId(candidate, together);
  if (check.code == ResultCode::kOk && requests.size() > 0) check = CheckRequest(candidate);
  if (check.code != ResultCode::kOk) return check;
  candidate.queue = queues.Find(new_job.queue);
  const bool new_queue = candidate.queue == kNoSlot || (level > 0 && queues[candidate.queue].idle);
  check = CheckIdempotencyKey(candidate, together);
  if (check.code != ResultCode::kOk) return check;
  size_t new_queues = new_queue ? 1 : 0;
  if (together != nullptr) {
    if (new_queue) together->new_queues.insert(AbslView(new_job.queue));
    new_queues = together->new_queues.size();
    together->by_id.emplace(AbslView(new_job.id), &candidate);
    if (!new_job.idempotency_key.empty() && new_job.idempotency_window_ms > 0) {
      together->by_key.emplace(
          std::pair(AbslView(new_job.queue), AbslView(new_job.idempotency_key)), &candidate);
    }
  }
  if (new_queue && !HasRoomForQueues(new_queues)) return {.code = ResultCode::kTooManyQueues};
  if (!new_queue && queues[candidate.queue].settings.refuses_enqueues) {
    return {.code = ResultCode::kQueuePaused};
  }
  return {};
}

CommandResult StateMachine::Impl::EnqueueOne(const EnqueuedJob& new_job) {
  LookAhead(next_id);
  EnqueueCandidate candidate(new_job, id_hashes[next_id++]);
  const EnqueueCheck check = CheckNew(candidate, nullptr);
  CommandResult result;
  result.code = check.code;
  if (check.code == ResultCode::kOk) {
    result.state = jobs[Create(candidate)].job_state();
    result.sequence = candidate.sequence;
    return result;
  }
  result.sequence = check.existing_sequence;
  result.existing_id = std::string(check.existing_id);
  if (check.code == ResultCode::kExisting) {
    const uint32_t slot = FindJob(check.existing_id);
    if (slot != kNoSlot) result.state = jobs[slot].job_state();
  }
  return result;
}

std::optional<CommandResult> StateMachine::Impl::EnqueueMany(std::span<const EnqueuedJob> new_jobs,
                                                             WorkBudget* budget) {
  if (in_progress.many == nullptr) {
    in_progress.many = std::make_shared<EnqueueOfMany>(new_jobs.size());
    in_progress.many->first_id = std::exchange(next_id, next_id + new_jobs.size());
  }
  EnqueueOfMany& many = *in_progress.many;
  while (many.candidates.size() < new_jobs.size()) {
    if (budget->Exhausted()) return std::nullopt;
    const size_t item = many.candidates.size();
    budget->Spend(kCheckTogetherNs);
    LookAhead(many.first_id + item);
    EnqueueCandidate& candidate =
        many.candidates.emplace_back(new_jobs[item], id_hashes[many.first_id + item]);
    const EnqueueCheck& check = many.checks.emplace_back(CheckNew(candidate, &many.together));
    if (check.code == ResultCode::kOk || check.code == ResultCode::kExisting) continue;
    CommandResult refused;
    refused.code = check.code;
    refused.failed_item = static_cast<uint32_t>(item);
    refused.existing_id = std::string(check.existing_id);
    in_progress.many = nullptr;
    return refused;
  }
  for (; many.next_to_create < new_jobs.size(); ++many.next_to_create) {
    if (many.checks[many.next_to_create].code != ResultCode::kOk) continue;
    if (budget->Exhausted()) return std::nullopt;
    budget->Spend(CostOf(new_jobs[many.next_to_create]));
    Create(many.candidates[many.next_to_create]);
  }
  CommandResult result = ResultOf(many);
  in_progress.many = nullptr;
  return result;
}

// All jobs are checked and created.
CommandResult StateMachine::Impl::ResultOf(const EnqueueOfMany& many) const {
  CommandResult result;
  bool created = many.checks.empty();
  result.sequences.reserve(many.checks.size());
  for (size_t item = 0; item < many.checks.size(); ++item) {
    const EnqueueCheck& check = many.checks[item];
    if (check.code == ResultCode::kOk) {
      created = true;
      result.sequences.push_back(many.candidates[item].sequence);
      continue;
    }
    result.existing.emplace_back(static_cast<uint32_t>(item), std::string(check.existing_id));
    result.sequences.push_back(check.together != nullptr ? check.together->sequence
                                                         : check.existing_sequence);
  }
  if (!created) result.code = ResultCode::kExisting;
  return result;
}

uint32_t StateMachine::Impl::Create(EnqueueCandidate& candidate) {
  const EnqueuedJob& new_job = *candidate.new_job;
  const bool has_key = !new_job.idempotency_key.empty() && new_job.idempotency_window_ms > 0;
  const uint64_t identity = has_key ? candidate.Identity() : 0;
  uint32_t queue = candidate.queue;
  // Another job of the same command may have created it since, or have taken the place of an idle
  // one.
  if (!queues.used(queue) || queues[queue].name != new_job.queue)
    queue = queues.Find(new_job.queue);
  if (queue == kNoSlot) queue = AddQueue(new_job.queue);
  if (queues[queue].idle) BecomeBusy(queue);

  if (candidate.Spec().has_identity) SetIdentity(candidate.Identity(), &candidate.spec);
  const uint32_t slot = jobs.Allocate();
  StoredJob& job = jobs[slot];
  job.spec = std::move(candidate.spec.bytes);
  job.spec_size = candidate.spec.size;
  job.sequence = next_sequence++;
  candidate.sequence = job.sequence;
  job.create_ms = time_ms;
  job.run_ms = std::max(time_ms, ClampTime(new_job.run_time_ms));
  // 0 means never. A negative time is long past.
  if (new_job.expire_time_ms != 0) {
    job.expire_ms = std::max<int64_t>(1, ClampTime(new_job.expire_time_ms));
  }
  job.since_ms = time_ms;
  job.lane = ready.AcquireLane(queue, new_job.type);
  job.priority = candidate.priority;
  job.of_request = new_job.id_of_request || !SpecOf(job.spec_view()).request_key.empty();
  job.state =
      static_cast<uint8_t>(job.run_ms > time_ms ? v1::JOB_STATE_SCHEDULED : v1::JOB_STATE_READY);
  job.fixed_hash = FixedHash(job, ready.hash_of(job.lane));
  by_id.Insert(candidate.id_hash, slot);
  Count(slot, Total::kEnqueued);
  EndChange(slot);

  if (has_key) {
    const uint32_t ended = idempotency.Find(new_job.queue, new_job.idempotency_key);
    if (ended != kNoSlot) DropIdempotencyKey(ended);
    DQ_CHECK(idempotency.Add(new_job.queue, new_job.idempotency_key, new_job.id, identity,
                             job.sequence, TimeAfter(time_ms, new_job.idempotency_window_ms)));
  }
  Place(slot);
  return slot;
}

}  // namespace dqueue::queue
