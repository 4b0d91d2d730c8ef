#include "queue/state/state_machine.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "queue/api/hash.h"
#include "queue/api/limits.h"
#include "queue/state/mutants.h"
#include "queue/state/state_machine_impl.h"

namespace dqueue::queue {
namespace {

// Housekeeping steps of each kind that one entry does at most, so that it cannot block the loop for
// long. The next entry continues; NextTickMs asks for it at once.
constexpr int kStepMax = 4096;

// Idle queues that one entry forgets at most.
constexpr int kForgetQueuesMax = 1024;

// Costs of one step, one command and one job, for WorkBudget: with cold caches and a million jobs.
constexpr int64_t kHousekeepingNs = 1400;
constexpr int64_t kCommandNs = 1000;
constexpr int64_t kKeyCommandNs = 5000;
// Ticks for housekeeping (purges, ends of idempotency windows) are rounded up to whole seconds, so
// that an idle cluster does not write an entry for every job that it purges.
constexpr int64_t kHousekeepingGrainMs = 1000;

constexpr uint64_t kIdSeed = 0x6964;
constexpr uint64_t kDigestSeed = 0x64696765;

int64_t FirstTime(const OrderedSlots& slots) {
  return slots.empty() ? INT64_MAX : static_cast<int64_t>(slots.begin()->order());
}

}  // namespace

// ---- the log ----

void StateMachine::Impl::BeginApply(raft::Index index, std::string_view bytes, Effects* effects) {
  DQ_CHECK_MSG(index == applied.Next(), "entry " + std::to_string(index.value()) +
                                            " cannot follow " + std::to_string(applied.value()));
  DQ_CHECK_MSG(in_progress.phase == EntryInProgress::Phase::kIdle, "one entry at a time");
  in_progress.phase = EntryInProgress::Phase::kRead;
  in_progress.index = index;
  in_progress.reader.Begin(bytes, &batch);
  collected = effects;
}

bool StateMachine::Impl::ContinueApply(WorkBudget* budget) {
  using Phase = EntryInProgress::Phase;
  if (in_progress.phase == Phase::kRead) {
    const std::optional<ReadStatus> status = in_progress.reader.Continue(budget);
    if (!status) return false;
    BeginEffects(*status);
  }
  while (in_progress.phase != Phase::kExecute) {
    if (budget->Exhausted()) return false;
    Housekeep(budget);
  }
  for (; in_progress.next_command < batch.commands.size(); ++in_progress.next_command) {
    if (budget->Exhausted()) return false;
    std::optional<CommandResult> result = Execute(batch.commands[in_progress.next_command], budget);
    if (!result) return false;
    if (collected != nullptr) collected->results.push_back(*std::move(result));
  }
  EndEntry();
  return true;
}

void StateMachine::Impl::BeginEffects(ReadStatus status) {
  const auto name = [this] { return "entry " + std::to_string(in_progress.index.value()); };
  DQ_CHECK_MSG(status != ReadStatus::kMalformed, name() + " is no batch of commands");
  DQ_CHECK_MSG(status == ReadStatus::kOk,
               name() + " holds a command or field unknown to this version: upgrade this node");
  if (collected != nullptr) {
    collected->Clear();
    collected->results.reserve(batch.commands.size());
  }
  noted_lane = kNoSlot;
  level = std::max(level, batch.level);
  if (level == 0) {
    for (EnqueuedJob& job : batch.jobs) {
      job.id_of_request = false;
      job.request_key = {};
    }
  }
  id_hashes.clear();
  next_id = 0;
  for (const CommandView& command : batch.commands) {
    if (NamesJob(command.kind)) id_hashes.push_back(JobIdHash(command.id));
    for (const EnqueuedJob& order : EnqueuedJobsOf(command))
      id_hashes.push_back(JobIdHash(order.id));
  }
  time_ms = std::max(time_ms, ClampTime(batch.time_ms));
  in_progress.phase = EntryInProgress::Phase::kDue;
  in_progress.steps = 0;
  in_progress.next_command = 0;
}

void StateMachine::Impl::EndEntry() {
  collected = nullptr;
  queues.Settle();
  applied = in_progress.index;
  in_progress.phase = EntryInProgress::Phase::kIdle;
}

std::optional<CommandResult> StateMachine::Impl::Execute(const CommandView& command,
                                                         WorkBudget* budget) {
  if (command.kind == CommandKind::kEnqueue) {
    const std::span<const EnqueuedJob> new_jobs = EnqueuedJobsOf(command);
    if (new_jobs.size() != 1) return EnqueueMany(new_jobs, budget);
    budget->Spend(CostOf(new_jobs[0]));
    return EnqueueOne(new_jobs[0]);
  }
  const TrimCounts& trim = command.trim;
  budget->Spend((int64_t{trim.finished} + trim.dead + trim.ids + trim.requests) * kHousekeepingNs);
  budget->Spend(IsOfKeys(command.kind) ? kKeyCommandNs + CostOfBytes(command.text) * 4
                                       : kCommandNs + CostOfBytes(command.text));
  return ExecuteWhole(command);
}

CommandResult StateMachine::Impl::ExecuteWhole(const CommandView& command) {
  switch (command.kind) {
    case CommandKind::kComplete:
      return Complete(command);
    case CommandKind::kFail:
      return Fail(command);
    case CommandKind::kExpire:
      return Expire(command);
    case CommandKind::kCancel:
      return Cancel(command);
    case CommandKind::kRetry:
      return Retry(command);
    case CommandKind::kDelete:
      return Delete(command);
    case CommandKind::kSetQueue:
      return SetQueue(command);
    case CommandKind::kCreateKey:
    case CommandKind::kRevokeKey:
    case CommandKind::kUseKeys:
      return api_keys.Apply(command.kind, command.text, time_ms);
    case CommandKind::kTrim:
      return Trim(command.trim);
    case CommandKind::kEnqueue:
    case CommandKind::kNone:
      break;
  }
  CheckFailed(__FILE__, __LINE__, "ReadBatch lets no command through without a kind", {});
}

std::span<const EnqueuedJob> StateMachine::Impl::EnqueuedJobsOf(const CommandView& command) const {
  return std::span(batch.jobs).subspan(command.first_job, command.job_count);
}

// Prefetches in three steps, each some ids after the one before: the index, the record, the spec
// block with the id in it.
void StateMachine::Impl::LookAhead(size_t position) const {
  const auto at = [&](size_t distance, const auto& step) {
    if (position + distance < id_hashes.size()) step(id_hashes[position + distance]);
  };
  at(12, [&](uint64_t hash) { by_id.Prefetch(hash); });
  at(8, [&](uint64_t hash) {
    const uint32_t slot = by_id.Guess(hash);
    if (slot == kNoSlot) return;
    const char* const record = reinterpret_cast<const char*>(&jobs[slot]);
    __builtin_prefetch(record);
    __builtin_prefetch(record + sizeof(StoredJob) - 1);
  });
  at(4, [&](uint64_t hash) {
    const uint32_t slot = by_id.Guess(hash);
    if (slot != kNoSlot) __builtin_prefetch(jobs[slot].spec.get());
  });
}

uint32_t StateMachine::Impl::FindNext(const CommandView& command) {
  LookAhead(next_id);
  return FindJob(command.id, id_hashes[next_id++]);
}

bool StateMachine::Impl::HousekeepingIsDue() const {
  using Phase = EntryInProgress::Phase;
  switch (in_progress.phase) {
    case Phase::kDue:
      return FirstTime(due) <= time_ms;
    case Phase::kExpiring:
      return FirstTime(expiring) <= time_ms;
    case Phase::kPurging:
      return std::min(FirstTime(purging), FirstTime(purging_dead)) <= time_ms;
    case Phase::kKeys:
      return idempotency.FirstEnd() <= time_ms;
    case Phase::kRequests:
      return requests.size() > 0 && requests[requests.First()].end_ms <= time_ms;
    case Phase::kQueues:
      return FirstForgetting() <= time_ms;
    case Phase::kIdle:
    case Phase::kRead:
    case Phase::kExecute:
      break;
  }
  CheckFailed(__FILE__, __LINE__, "this phase is no housekeeping", {});
}

void StateMachine::Impl::Housekeep(WorkBudget* budget) {
  using Phase = EntryInProgress::Phase;
  const int steps_max = in_progress.phase == Phase::kQueues ? kForgetQueuesMax : kStepMax;
  if (in_progress.steps == steps_max || !HousekeepingIsDue()) {
    in_progress.phase = static_cast<Phase>(static_cast<uint8_t>(in_progress.phase) + 1);
    in_progress.steps = 0;
    return;
  }
  ++in_progress.steps;
  budget->Spend(kHousekeepingNs);
  if (in_progress.phase == Phase::kDue) {
    const uint32_t slot = due.begin()->slot();
    BeginChange(slot);
    Move(slot, v1::JOB_STATE_READY);
    EndChange(slot);
  } else if (in_progress.phase == Phase::kExpiring) {
    const uint32_t slot = expiring.begin()->slot();
    BeginChange(slot);
    Kill(slot, v1::DEAD_REASON_JOB_EXPIRED);
    EndChange(slot);
  } else if (in_progress.phase == Phase::kPurging) {
    Purge(FirstToPurge());
  } else if (in_progress.phase == Phase::kKeys) {
    DropIdempotencyKey(idempotency.FirstToEnd());
  } else if (in_progress.phase == Phase::kRequests) {
    DropFirstRequest();
  } else {
    ForgetQueue(queues.FirstIdle());
  }
}

int64_t StateMachine::Impl::FirstForgetting() const {
  const int64_t since_ms = queues.FirstIdleSince();
  if (level == 0 || since_ms == INT64_MAX) return INT64_MAX;
  return TimeAfter(since_ms, kQueueIdleMs);
}

int64_t StateMachine::Impl::NextTickMs() const {
  int64_t housekeeping = std::min(
      {FirstTime(purging), FirstTime(purging_dead), idempotency.FirstEnd(), FirstForgetting()});
  if (housekeeping != INT64_MAX) {
    housekeeping =
        (housekeeping + kHousekeepingGrainMs - 1) / kHousekeepingGrainMs * kHousekeepingGrainMs;
  }
  return std::min({FirstTime(due), FirstTime(expiring), housekeeping});
}

uint64_t StateMachine::Impl::DigestOf(const HashSums& sums) const {
  HashSequence hash(kDigestSeed);
  hash.Add(applied.value())
      .Add(static_cast<uint64_t>(time_ms))
      .Add(next_sequence)
      .Add(sums.jobs)
      .Add(sums.keys)
      .Add(sums.queues);
  // Left out if there are no keys, so that digests of older images stay valid.
  if (sums.api_keys != 0) hash.Add(sums.api_keys);
  if (level > 0) hash.Add(level).Add(sums.requests).Add(queues.forgotten_hash());
  return hash.Finish();
}

HashSums StateMachine::Impl::Sums() const {
  return {.jobs = job_hash_sum,
          .keys = idempotency.hash_sum(),
          .queues = queues.hash_sum(),
          .api_keys = api_keys.hash_sum(),
          .requests = requests.hash_sum()};
}

// ---- jobs and their places ----

uint64_t JobIdHash(std::string_view id) { return HashBytes(id, kIdSeed); }

uint32_t StateMachine::Impl::FindJob(std::string_view id, uint64_t id_hash) const {
  return by_id.Find(id_hash, [&](uint32_t slot) { return IdOf(jobs[slot].spec_view()) == id; });
}

const StoredJob& StateMachine::Impl::Checked(JobRef job) const {
  DQ_CHECK(job.slot < jobs.end());
  const StoredJob& record = jobs[job.slot];
  DQ_CHECK_MSG(record.state != 0, "the job was purged");
  return record;
}

uint32_t StateMachine::Impl::FindOpenQueue(std::string_view name) const {
  const uint32_t queue = queues.Find(name);
  if (queue == kNoSlot) return kNoSlot;
  return queues[queue].settings.paused && !DQ_MUTANT(mutants::kPauseNotChecked) ? kNoSlot : queue;
}

uint32_t StateMachine::Impl::AddQueue(std::string_view name) {
  if (level > 0 && queues.size() >= kQueuesMax) ForgetQueue(queues.FirstIdle());
  const uint32_t queue = queues.Add(name);
  ready.AddQueue(queue, queues[queue].name_hash);
  // The number may have been another queue's when the walk over an image began.
  if (walk.phase != ImageWalk::Phase::kIdle) queues[queue].image = walk.number;
  return queue;
}

bool StateMachine::Impl::HasRoomForQueues(size_t more) const {
  const uint32_t can_go = level > 0 ? queues.idle_size() : 0;
  return queues.size() - can_go + more <= kQueuesMax;
}

void StateMachine::Impl::ForgetQueue(uint32_t queue) {
  DQ_CHECK_MSG(queue != kNoSlot, "no idle queue is left to make room");
  SaveQueueForImage(queue);
  if (walk.phase != ImageWalk::Phase::kIdle && walk.header.level == 0) {
    walk.forgotten_queues.try_emplace(queues[queue].name, queue);
  }
  ready.RemoveQueue(queue);
  queues.Forget(queue);
}

void StateMachine::Impl::BecomeIdle(uint32_t queue) {
  SaveQueueForImage(queue);
  queues.SetIdle(queue, level > 0 ? time_ms : 0);
}

void StateMachine::Impl::BecomeBusy(uint32_t queue) {
  SaveQueueForImage(queue);
  queues.SetBusy(queue);
}

bool StateMachine::Impl::CanBeTaken(const StoredJob& job) const {
  return !queues[ready.queue_of(job.lane)].settings.paused;
}

void StateMachine::Impl::NoteReady(const StoredJob& job) {
  if (collected == nullptr) return;
  const uint32_t lane = job.lane;
  if (lane == noted_lane) {
    ++std::get<JobsReady>(collected->events.back()).count;
    return;
  }
  collected->events.push_back(
      JobsReady{queues[ready.queue_of(lane)].name, std::string(ready.type_of(lane)), 1});
  noted_lane = lane;
}

void StateMachine::Impl::NoteHoldEnded(uint32_t slot) {
  if (collected == nullptr) return;
  collected->events.emplace_back(
      std::in_place_type<HoldEnded>,
      HoldEnded{JobRef{slot}, jobs[slot].sequence, jobs[slot].last_token});
  noted_lane = kNoSlot;
}

void StateMachine::Impl::NotePurged(uint32_t slot) {
  if (collected == nullptr) return;
  collected->events.emplace_back(std::in_place_type<JobPurged>, JobPurged{JobRef{slot}});
  noted_lane = kNoSlot;
}

void StateMachine::Impl::NoteResumed(uint32_t queue) {
  if (collected == nullptr) return;
  collected->events.emplace_back(std::in_place_type<QueueResumed>,
                                 QueueResumed{queues[queue].name});
  noted_lane = kNoSlot;
}

OrderedSlot StateMachine::Impl::DeliveryPlace(uint32_t slot) const {
  return OrderedSlot(jobs[slot].DeliveryOrder(), jobs[slot].sequence, slot);
}

bool StateMachine::Impl::IsExpiring(const StoredJob& job) const {
  return job.expire_ms != 0 && IsLive(job.job_state());
}

void StateMachine::Impl::BeginChange(uint32_t slot) {
  SaveForImage(slot);
  job_hash_sum -= RecordHash(jobs[slot]);
}

void StateMachine::Impl::EndChange(uint32_t slot) { job_hash_sum += RecordHash(jobs[slot]); }

bool StateMachine::Impl::InsertPlace(uint32_t slot) {
  const StoredJob& job = jobs[slot];
  switch (job.job_state()) {
    case v1::JOB_STATE_SCHEDULED:
      return due.insert(OrderedSlot(static_cast<uint64_t>(job.run_ms), job.sequence, slot)).second;
    case v1::JOB_STATE_READY:
      return ready.Insert(job.lane, DeliveryPlace(slot), job.since_ms);
    default:
      return PurgingOf(job)
          .insert(OrderedSlot(static_cast<uint64_t>(PurgeTime(job)), job.sequence, slot))
          .second;
  }
}

void StateMachine::Impl::ErasePlace(uint32_t slot) {
  const StoredJob& job = jobs[slot];
  switch (job.job_state()) {
    case v1::JOB_STATE_SCHEDULED:
      DQ_CHECK(due.erase(OrderedSlot(static_cast<uint64_t>(job.run_ms), job.sequence, slot)) == 1);
      break;
    case v1::JOB_STATE_READY:
      ready.Erase(job.lane, DeliveryPlace(slot), job.since_ms);
      break;
    default:
      DQ_CHECK(PurgingOf(job).erase(
                   OrderedSlot(static_cast<uint64_t>(PurgeTime(job)), job.sequence, slot)) == 1);
  }
}

void StateMachine::Impl::Unplace(uint32_t slot) {
  StoredJob& job = jobs[slot];
  if (job.held()) {
    UnholdSlot(slot);
    NoteHoldEnded(slot);
  } else {
    ErasePlace(slot);
  }
  if (IsExpiring(job)) {
    DQ_CHECK(
        expiring.erase(OrderedSlot(static_cast<uint64_t>(job.expire_ms), job.sequence, slot)) == 1);
  }
  Count(slot, TotalOf(job.job_state()), -1);
  BlockBytesOf(job) -= BlockBytes(job);
}

void StateMachine::Impl::Place(uint32_t slot) {
  const StoredJob& job = jobs[slot];
  DQ_CHECK(InsertPlace(slot));
  if (IsExpiring(job)) {
    DQ_CHECK(expiring.insert(OrderedSlot(static_cast<uint64_t>(job.expire_ms), job.sequence, slot))
                 .second);
  }
  Count(slot, TotalOf(job.job_state()));
  BlockBytesOf(job) += BlockBytes(job);
  if (job.job_state() == v1::JOB_STATE_READY && CanBeTaken(job)) NoteReady(job);
}

void StateMachine::Impl::Move(uint32_t slot, v1::JobState state) {
  Unplace(slot);
  jobs[slot].state = static_cast<uint8_t>(state);
  jobs[slot].since_ms = time_ms;
  Place(slot);
  if (IsFinished(state)) SetKeySpent(jobs[slot], true);
}

void StateMachine::Impl::Count(uint32_t slot, Total total, int64_t change) {
  const uint32_t queue = ready.queue_of(jobs[slot].lane);
  SaveQueueForImage(queue);
  queues.Count(queue, total, change);
}

void StateMachine::Impl::SetKeySpent(const StoredJob& job, bool spent) {
  const std::string_view key = SpecOf(job.spec_view()).idempotency_key;
  if (key.empty()) return;
  const uint32_t entry = idempotency.Find(queues[ready.queue_of(job.lane)].name, key);
  // The entry may be gone, or a later job's.
  if (entry == kNoSlot || idempotency[entry].sequence != job.sequence) return;
  idempotency.SetSpent(entry, spent);
}

OrderedSlots& StateMachine::Impl::PurgingOf(const StoredJob& job) {
  return job.job_state() == v1::JOB_STATE_DEAD ? purging_dead : purging;
}

uint32_t StateMachine::Impl::FirstToPurge() const {
  if (purging.empty() && purging_dead.empty()) return kNoSlot;
  if (purging.empty()) return purging_dead.begin()->slot();
  if (purging_dead.empty()) return purging.begin()->slot();
  return std::min(*purging.begin(), *purging_dead.begin()).slot();
}

size_t& StateMachine::Impl::BlockBytesOf(const StoredJob& job) {
  if (IsLive(job.job_state())) return live_block_bytes;
  return job.job_state() == v1::JOB_STATE_DEAD ? dead_block_bytes : finished_block_bytes;
}

void StateMachine::Impl::Purge(uint32_t slot) {
  StoredJob& job = jobs[slot];
  const uint32_t queue = ready.queue_of(job.lane);
  RememberRequest(job);
  BeginChange(slot);
  if (DQ_MUTANT(mutants::kRedeliverAfterDone) && IsFinished(job.job_state())) {
    if (job.held()) {
      UnholdSlot(slot);
      NoteHoldEnded(slot);
    } else if (ready.Contains(job.lane, DeliveryPlace(slot))) {
      ready.Erase(job.lane, DeliveryPlace(slot), job.since_ms);
    }
  }
  Unplace(slot);
  if (IsLive(job.job_state())) SetKeySpent(job, true);
  Count(slot, Total::kPurged);
  by_id.Erase(JobIdHash(IdOf(job.spec_view())), slot);
  ready.ReleaseLane(job.lane);
  jobs.Free(slot);
  NotePurged(slot);
  const QueueRecord& record = queues[queue];
  if (record.totals.Jobs() == 0 && record.settings == QueueSettings{}) BecomeIdle(queue);
}

void StateMachine::Impl::RememberRequest(const StoredJob& job) {
  const int64_t end_ms = TimeAfter(job.create_ms, kRequestIdMs);
  if (!job.of_request || end_ms <= time_ms) return;
  const JobSpecView spec = SpecOf(job.spec_view());
  RequestKey key = RequestKeyOfId(spec.id);
  if (!spec.request_key.empty()) DQ_CHECK(ParseRequestKey(spec.request_key, &key));
  const uint64_t identity = spec.identity != 0 ? spec.identity : IdentityOf(job);
  if (requests.size() >= kRequestsMax) DropFirstRequest();
  requests.Add(key, RequestIdentityOf(spec, identity), job.sequence, end_ms);
}

void StateMachine::Impl::DropFirstRequest() {
  SaveFirstRequestForImage();
  requests.DropFirst();
}

void StateMachine::Impl::DropIdempotencyKey(uint32_t slot) {
  SaveIdempotencyKeyForImage(slot);
  idempotency.Drop(slot);
}

void StateMachine::Impl::HoldSlot(uint32_t slot) {
  StoredJob& job = jobs[slot];
  DQ_CHECK(!job.held());
  job.hold = static_cast<uint32_t>(held.size());
  held.push_back(slot);
  ++queues[ready.queue_of(job.lane)].held;
}

void StateMachine::Impl::UnholdSlot(uint32_t slot) {
  StoredJob& job = jobs[slot];
  DQ_CHECK(job.hold < held.size() && held[job.hold] == slot);
  jobs[held.back()].hold = job.hold;
  held[job.hold] = held.back();
  held.pop_back();
  job.hold = kNoSlot;
  --queues[ready.queue_of(job.lane)].held;
}

// ---- the interface ----

StateMachine::StateMachine() : impl_(std::make_unique<Impl>()) {}
StateMachine::~StateMachine() = default;

void StateMachine::Apply(raft::Index index, std::string_view batch, Effects* effects) {
  WorkBudget unlimited = WorkBudget::Unlimited();
  impl_->BeginApply(index, batch, effects);
  DQ_CHECK(impl_->ContinueApply(&unlimited));
}

void StateMachine::BeginApply(raft::Index index, std::string_view batch, Effects* effects) {
  impl_->BeginApply(index, batch, effects);
}

bool StateMachine::ContinueApply(WorkBudget* budget) {
  DQ_CHECK_MSG(applying(), "no entry was begun");
  return impl_->ContinueApply(budget);
}

bool StateMachine::applying() const {
  return impl_->in_progress.phase != EntryInProgress::Phase::kIdle;
}

void StateMachine::ApplyNothing(raft::Index index) {
  DQ_CHECK(index == impl_->applied.Next() && !applying());
  impl_->applied = index;
}

raft::Index StateMachine::applied_index() const { return impl_->applied; }
int64_t StateMachine::time_ms() const { return impl_->time_ms; }
int64_t StateMachine::NextTickMs() const { return impl_->NextTickMs(); }

uint64_t StateMachine::Digest() const { return impl_->DigestOf(impl_->Sums()); }

uint64_t StateMachine::RecomputeDigest() const { return impl_->RecomputeDigest(); }
std::string StateMachine::CheckConsistency() const { return impl_->CheckConsistency(); }

JobRef StateMachine::Find(std::string_view id) const { return JobRef{impl_->FindJob(id)}; }

JobView StateMachine::View(JobRef job) const {
  const StoredJob& record = impl_->Checked(job);
  const JobSpecView spec = SpecOf(record.spec_view());
  JobView view;
  view.id = spec.id;
  view.queue = impl_->queues[impl_->ready.queue_of(record.lane)].name;
  view.type = impl_->ready.type_of(record.lane);
  view.state = record.job_state();
  view.held = record.held();
  view.sequence = record.sequence;
  view.last_token = record.last_token;
  view.token_end = record.token_end;
  view.lease_duration_ms = spec.lease_duration_ms;
  view.failed = record.failed;
  view.expired = record.expired;
  view.max_retries = spec.max_retries;
  view.backoff = spec.backoff;
  view.backoff_base_ms = spec.backoff_base_ms;
  view.backoff_max_ms = spec.backoff_max_ms;
  view.jitter_permille = spec.jitter_permille;
  view.expire_time_ms = record.expire_ms;
  view.since_ms = record.since_ms;
  return view;
}

LeaseToken StateMachine::LastToken(JobRef job) const { return impl_->Checked(job).last_token; }

uint64_t StateMachine::Sequence(JobRef job) const { return impl_->Checked(job).sequence; }

size_t StateMachine::TakeReady(std::span<const std::string> queues,
                               std::span<const std::string> types, size_t max,
                               std::vector<JobRef>* out) {
  std::vector<uint32_t> numbers;
  for (const std::string& name : queues) {
    const uint32_t queue = impl_->FindOpenQueue(name);
    if (queue != kNoSlot) numbers.push_back(queue);
  }
  std::vector<uint32_t> slots;
  const auto since_of = [&](uint32_t slot) { return impl_->jobs[slot].since_ms; };
  impl_->ready.Take(numbers, types, max, since_of, &slots);
  for (const uint32_t slot : slots) {
    impl_->HoldSlot(slot);
    out->push_back(JobRef{slot});
  }
  return slots.size();
}

bool StateMachine::HasReady(std::span<const std::string> queues,
                            std::span<const std::string> types) const {
  for (const std::string& name : queues) {
    const uint32_t queue = impl_->FindOpenQueue(name);
    if (queue != kNoSlot && impl_->ready.HasReady({&queue, 1}, types)) return true;
  }
  return false;
}

size_t StateMachine::ReadyTypes(std::string_view queue) const {
  const uint32_t number = impl_->FindOpenQueue(queue);
  return number == kNoSlot ? 0 : impl_->ready.ReadyTypes(number);
}

bool StateMachine::Hold(JobRef job) {
  const StoredJob& record = impl_->Checked(job);
  if (record.job_state() != v1::JOB_STATE_READY || record.held()) return false;
  impl_->ErasePlace(job.slot);
  impl_->HoldSlot(job.slot);
  return true;
}

bool StateMachine::Release(JobRef job) {
  const StoredJob& record = impl_->Checked(job);
  DQ_CHECK_MSG(record.held(), "only a held job can be released");
  impl_->UnholdSlot(job.slot);
  if (DQ_MUTANT(mutants::kRedeliverAfterDone) && IsFinished(record.job_state())) {
    impl_->ready.Insert(record.lane, impl_->DeliveryPlace(job.slot), record.since_ms);
  } else {
    DQ_CHECK(impl_->InsertPlace(job.slot));
  }
  return impl_->CanBeTaken(record);
}

void StateMachine::ReleaseAll() {
  while (!impl_->held.empty()) Release(JobRef{impl_->held.back()});
}

bool StateMachine::ReleaseSome(size_t max) {
  for (size_t i = 0; i < max && !impl_->held.empty(); ++i) Release(JobRef{impl_->held.back()});
  return impl_->held.empty();
}

bool StateMachine::HasQueue(std::string_view queue) const {
  return impl_->queues.Find(queue) != kNoSlot;
}

uint32_t StateMachine::level() const { return impl_->level; }
UsedIds StateMachine::used_request_ids() const {
  return {.count = impl_->requests.size(), .bytes = impl_->requests.memory_bytes()};
}
uint64_t StateMachine::forgotten_queues() const { return impl_->queues.forgotten_count(); }
uint64_t StateMachine::job_count() const { return impl_->jobs.used(); }

}  // namespace dqueue::queue
