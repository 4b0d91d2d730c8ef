// Memory of the state by what it holds, and what must go to stay within limits.
#include <algorithm>

#include "queue/state/state_machine_impl.h"
#include "queue/state/tables/heap_bytes.h"

namespace dqueue::queue {
namespace {

constexpr size_t kOrderBytes = TreeEntryBytes(sizeof(OrderedSlot));
// Of a job beside its blocks: the record, its place in the index of ids, and in one order.
constexpr size_t kRecordBytes = sizeof(StoredJob) + SlotIndex::kEntryBytes + kOrderBytes;

// What is kept of one kind above its limit, when what is proposed has gone.
uint64_t Excess(uint64_t kept, uint64_t proposed, uint64_t limit) {
  return limit == 0 || kept <= limit + proposed ? 0 : kept - proposed - limit;
}

// How many entries of `order` must go, from its front on but for the first `proposed`. *bytes: the
// sum of their bytes_of(slot).
template <class BytesOf>
uint32_t CountToTrim(const OrderedSlots& order, uint64_t count_over, uint64_t bytes_over,
                     uint32_t proposed, uint32_t max, const BytesOf& bytes_of, uint64_t* bytes) {
  if (count_over == 0 && bytes_over == 0) return 0;
  auto entry = order.begin();
  for (uint32_t i = 0; i < proposed && entry != order.end(); ++i) ++entry;
  uint32_t count = 0;
  for (; entry != order.end() && count < max; ++entry) {
    if (count >= count_over && *bytes >= bytes_over) break;
    ++count;
    *bytes += bytes_of(entry->slot());
  }
  return count;
}

}  // namespace

size_t StateMachine::Impl::BytesOf(const StoredJob& job) const {
  return kRecordBytes + BlockBytes(job);
}

StateMemory StateMachine::Impl::Memory() const {
  const size_t orders = due.size() + expiring.size() + purging.size() + purging_dead.size();
  const size_t everything =
      jobs.memory_bytes() + by_id.memory_bytes() + orders * kOrderBytes + ready.memory_bytes() +
      live_block_bytes + finished_block_bytes + dead_block_bytes + queues.memory_bytes() +
      idempotency.memory_bytes() + requests.memory_bytes() + held.capacity() * sizeof(held[0]) +
      batch.commands.capacity() * sizeof(CommandView) +
      batch.jobs.capacity() * sizeof(EnqueuedJob) + id_hashes.capacity() * sizeof(id_hashes[0]);
  const size_t live = jobs.used() - purging.size() - purging_dead.size();
  StateMemory memory;
  memory.live = live * kRecordBytes + expiring.size() * kOrderBytes + live_block_bytes;
  memory.finished = purging.size() * kRecordBytes + finished_block_bytes;
  memory.dead = purging_dead.size() * kRecordBytes + dead_block_bytes;
  memory.ids = idempotency.used_bytes() + requests.used_bytes();
  memory.names = queues.memory_bytes() + ready.names_bytes();
  const uint64_t counted = memory.total();
  memory.spare = everything > counted ? everything - counted : 0;
  memory.names += api_keys.memory_bytes();
  memory.image = walk.ahead.capacity() + walk.queues_ahead.capacity();
  return memory;
}

StateMemory StateMachine::memory() const { return impl_->Memory(); }

void TrimPlan::Add(const TrimPlan& other) {
  counts.finished += other.counts.finished;
  counts.dead += other.counts.dead;
  counts.ids += other.counts.ids;
  finished_bytes += other.finished_bytes;
  dead_bytes += other.dead_bytes;
  ids_bytes += other.ids_bytes;
  counts.requests += other.counts.requests;
  requests_bytes += other.requests_bytes;
}

void TrimPlan::Subtract(const TrimPlan& other) {
  counts.finished -= other.counts.finished;
  counts.dead -= other.counts.dead;
  counts.ids -= other.counts.ids;
  finished_bytes -= other.finished_bytes;
  dead_bytes -= other.dead_bytes;
  ids_bytes -= other.ids_bytes;
  counts.requests -= other.counts.requests;
  requests_bytes -= other.requests_bytes;
}

TrimPlan StateMachine::PlanTrim(const KeepLimits& limits, const TrimPlan& proposed,
                                uint32_t max) const {
  const Impl& state = *impl_;
  const StateMemory memory = state.Memory();
  const auto plan = [&](const OrderedSlots& order, uint64_t kept, uint64_t kept_bytes,
                        uint32_t proposed_count, uint64_t proposed_bytes, const auto& bytes_of,
                        uint64_t* bytes) {
    return CountToTrim(order, Excess(kept, proposed_count, limits.count),
                       Excess(kept_bytes, proposed_bytes, limits.bytes), proposed_count, max,
                       bytes_of, bytes);
  };
  const auto of_job = [&](uint32_t slot) { return state.BytesOf(state.jobs[slot]); };
  const auto of_id = [&](uint32_t slot) {
    return IdempotencyTable::BytesOf(state.idempotency[slot]);
  };
  TrimPlan out;
  out.counts.finished =
      plan(state.purging, state.purging.size(), memory.finished, proposed.counts.finished,
           proposed.finished_bytes, of_job, &out.finished_bytes);
  out.counts.dead = plan(state.purging_dead, state.purging_dead.size(), memory.dead,
                         proposed.counts.dead, proposed.dead_bytes, of_job, &out.dead_bytes);
  // The ids of live jobs count, but only the others can go.
  out.counts.ids =
      plan(state.idempotency.spent(), state.idempotency.size(), state.idempotency.used_bytes(),
           proposed.counts.ids, proposed.ids_bytes, of_id, &out.ids_bytes);
  const uint64_t over = Excess(state.requests.used_bytes(), proposed.requests_bytes, limits.bytes);
  constexpr uint64_t kRequestBytes = RequestTable::kEntryBytes;
  out.counts.requests =
      static_cast<uint32_t>(std::min<uint64_t>(max, (over + kRequestBytes - 1) / kRequestBytes));
  out.requests_bytes = out.counts.requests * kRequestBytes;
  return out;
}

bool StateMachine::ExceedsFar(const KeepLimits& limits) const {
  const Impl& state = *impl_;
  const StateMemory memory = state.Memory();
  const auto far = [](uint64_t kept, uint64_t limit) {
    return limit != 0 && kept > limit + limit / 32;
  };
  const auto exceeds = [&](size_t count, uint64_t bytes) {
    return far(count, limits.count) || far(bytes, limits.bytes);
  };
  return exceeds(state.purging.size(), memory.finished) ||
         exceeds(state.purging_dead.size(), memory.dead) ||
         far(state.requests.used_bytes(), limits.bytes) ||
         (!state.idempotency.spent().empty() &&
          exceeds(state.idempotency.size(), state.idempotency.used_bytes()));
}

}  // namespace dqueue::queue
