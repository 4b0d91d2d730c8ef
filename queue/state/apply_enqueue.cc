// The command that makes jobs. Whether a job is new is decided by its id first, then by its
// idempotency key. Several jobs are looked at in order, as if each saw those before it created;
// only if none is refused are they.
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

// A job that may be created.
struct EnqueueCandidate {
  EnqueueCandidate(const JobOrder& job, uint64_t hash)
      : order(&job),
        id_hash(hash),
        priority(static_cast<uint8_t>(std::min<uint32_t>(job.priority, kPriorityMax))) {}

  // Made when first needed: most jobs meet nobody.
  const SpecBlock& Spec() {
    if (!spec.bytes) spec = EncodeSpec(*order);
    return spec;
  }
  uint64_t Identity() {
    if (!identity) {
      identity = ContentIdentity(order->queue, order->type, priority, SpecOf(Spec().view()));
    }
    return *identity;
  }

  const JobOrder* order;
  uint64_t id_hash;
  uint32_t queue = kNoSlot;  // kNoSlot: not looked up, or to be made
  uint8_t priority;
  SpecBlock spec;
  std::optional<uint64_t> identity;
};

// How a candidate stands to the jobs that are there.
struct EnqueueMeeting {
  ResultCode code = ResultCode::kOk;  // kOk: it is new
  std::string_view existing_id = {};
};

// The jobs that the same command is going to create.
struct EnqueuedTogether {
  using QueueAndKey = std::pair<absl::string_view, absl::string_view>;
  absl::flat_hash_map<absl::string_view, EnqueueCandidate*> by_id;
  absl::flat_hash_map<QueueAndKey, EnqueueCandidate*> by_key;
  absl::flat_hash_set<absl::string_view> new_queues;
};

uint64_t StateMachine::Impl::IdentityOf(const JobRecord& job) const {
  return ContentIdentity(queues[ready.queue_of(job.lane)].name, ready.type_of(job.lane),
                         job.priority, SpecOf(job.spec_view()));
}

EnqueueMeeting StateMachine::Impl::MeetById(EnqueueCandidate& candidate,
                                            EnqueuedTogether* together) {
  const std::string_view id = candidate.order->id;
  const auto compare = [&](uint64_t identity) {
    return EnqueueMeeting{
        identity == candidate.Identity() ? ResultCode::kExisting : ResultCode::kDuplicateJob, id};
  };
  const uint32_t slot = FindJob(id, candidate.id_hash);
  if (slot != kNoSlot) return compare(IdentityOf(jobs[slot]));
  if (together != nullptr) {
    const auto it = together->by_id.find(AbslView(id));
    if (it != together->by_id.end()) return compare(it->second->Identity());
  }
  return {};
}

EnqueueMeeting StateMachine::Impl::MeetByKey(EnqueueCandidate& candidate,
                                             EnqueuedTogether* together) {
  const JobOrder& order = *candidate.order;
  const uint32_t queue = candidate.queue;
  if (order.idempotency_key.empty()) return {};
  const auto compare = [&](uint64_t identity, std::string_view owner_id) {
    return EnqueueMeeting{
        identity == candidate.Identity() ? ResultCode::kExisting : ResultCode::kIdempotencyMismatch,
        owner_id};
  };
  if (queue != kNoSlot) {
    const uint32_t entry = keys.Find(queue, queues[queue].name_hash, order.idempotency_key);
    // An entry whose window has ended may still wait for a bounded step to drop it.
    if (entry != kNoSlot && keys[entry].end_ms > time_ms) {
      return compare(keys[entry].identity, keys[entry].job_id());
    }
  }
  if (together != nullptr) {
    const auto it = together->by_key.find({AbslView(order.queue), AbslView(order.idempotency_key)});
    if (it != together->by_key.end()) {
      return compare(it->second->Identity(), it->second->order->id);
    }
  }
  return {};
}

EnqueueMeeting StateMachine::Impl::Meet(EnqueueCandidate& candidate, EnqueuedTogether* together) {
  const JobOrder& order = *candidate.order;
  EnqueueMeeting met = MeetById(candidate, together);
  if (met.code != ResultCode::kOk) return met;
  candidate.queue = queues.Find(order.queue);
  const bool new_queue = candidate.queue == kNoSlot;
  met = MeetByKey(candidate, together);
  if (met.code != ResultCode::kOk) return met;
  size_t new_queues = new_queue ? 1 : 0;
  if (together != nullptr) {
    if (new_queue) together->new_queues.insert(AbslView(order.queue));
    new_queues = together->new_queues.size();
    together->by_id.emplace(AbslView(order.id), &candidate);
    if (!order.idempotency_key.empty() && order.idempotency_window_ms > 0) {
      together->by_key.emplace(std::pair(AbslView(order.queue), AbslView(order.idempotency_key)),
                               &candidate);
    }
  }
  if (new_queue && queues.size() + new_queues > kQueuesMax) {
    return {ResultCode::kTooManyQueues, {}};
  }
  if (!new_queue && queues[candidate.queue].settings.refuses_enqueues) {
    return {ResultCode::kQueuePaused, {}};
  }
  return {};
}

CommandResult StateMachine::Impl::Enqueue(std::span<const JobOrder> orders) {
  return orders.size() == 1 ? EnqueueOne(orders[0]) : EnqueueAll(orders);
}

CommandResult StateMachine::Impl::EnqueueOne(const JobOrder& order) {
  LookAhead(next_id);
  EnqueueCandidate candidate(order, id_hashes[next_id++]);
  const EnqueueMeeting met = Meet(candidate, nullptr);
  CommandResult result;
  result.code = met.code;
  if (met.code == ResultCode::kOk) {
    result.state = jobs[Create(candidate)].job_state();
    return result;
  }
  result.existing_id = std::string(met.existing_id);
  if (met.code == ResultCode::kExisting) {
    const uint32_t slot = FindJob(met.existing_id);
    if (slot != kNoSlot) result.state = jobs[slot].job_state();
  }
  return result;
}

CommandResult StateMachine::Impl::EnqueueAll(std::span<const JobOrder> orders) {
  std::vector<EnqueueCandidate> candidates;
  candidates.reserve(orders.size());  // `together` points into it
  EnqueuedTogether together;
  std::vector<EnqueueCandidate*> to_create;
  CommandResult result;
  const size_t first_id = std::exchange(next_id, next_id + orders.size());
  for (const JobOrder& order : orders) {
    const auto item = static_cast<uint32_t>(candidates.size());
    LookAhead(first_id + item);
    EnqueueCandidate& candidate = candidates.emplace_back(order, id_hashes[first_id + item]);
    const EnqueueMeeting met = Meet(candidate, &together);
    if (met.code == ResultCode::kOk) {
      to_create.push_back(&candidate);
    } else if (met.code == ResultCode::kExisting) {
      result.existing.emplace_back(item, std::string(met.existing_id));
    } else {
      CommandResult refused;
      refused.code = met.code;
      refused.failed_item = item;
      refused.existing_id = std::string(met.existing_id);
      return refused;
    }
  }
  for (EnqueueCandidate* candidate : to_create) Create(*candidate);
  if (to_create.empty() && !orders.empty()) result.code = ResultCode::kExisting;
  return result;
}

uint32_t StateMachine::Impl::Create(EnqueueCandidate& candidate) {
  const JobOrder& order = *candidate.order;
  const bool has_key = !order.idempotency_key.empty() && order.idempotency_window_ms > 0;
  const uint64_t identity = has_key ? candidate.Identity() : 0;
  uint32_t queue = candidate.queue;
  // Another job of the same command may have made it since.
  if (queue == kNoSlot) queue = queues.Find(order.queue);
  if (queue == kNoSlot) queue = AddQueue(order.queue);

  candidate.Spec();
  const uint32_t slot = jobs.Allocate();
  JobRecord& job = jobs[slot];
  job.spec = std::move(candidate.spec.bytes);
  job.spec_size = candidate.spec.size;
  job.sequence = next_sequence++;
  job.create_ms = time_ms;
  job.run_ms = std::max(time_ms, ClampTime(order.run_time_ms));
  // 0 means never; anything before that, long ago.
  if (order.expire_time_ms != 0) {
    job.expire_ms = std::max<int64_t>(1, ClampTime(order.expire_time_ms));
  }
  job.since_ms = time_ms;
  job.lane = ready.AcquireLane(queue, order.type);
  job.priority = candidate.priority;
  job.state =
      static_cast<uint8_t>(job.run_ms > time_ms ? v1::JOB_STATE_SCHEDULED : v1::JOB_STATE_READY);
  job.fixed_hash = FixedHash(job, ready.hash_of(job.lane));
  by_id.Insert(candidate.id_hash, slot);
  AddBlockBytes(job);
  Count(slot, Total::kEnqueued);
  EndChange(slot);

  if (has_key) {
    const uint64_t queue_hash = queues[queue].name_hash;
    const uint32_t ended = keys.Find(queue, queue_hash, order.idempotency_key);
    if (ended != kNoSlot) DropKey(ended);
    DQ_CHECK(keys.Add(queue, queue_hash, order.idempotency_key, order.id, identity, job.sequence,
                      TimeAfter(time_ms, order.idempotency_window_ms)));
  }
  Place(slot);
  return slot;
}

}  // namespace dqueue::queue
