#include "queue/state/tables/idempotency_table.h"

#include "base/check.h"
#include "queue/api/hash.h"
#include "queue/state/byte_codec.h"
#include "queue/state/tables/queue_table.h"

namespace dqueue::queue {
namespace {

constexpr uint64_t kEntrySeed = 0x6964656d;
constexpr size_t kAllocationOverhead = 16;

uint64_t IndexHash(std::string_view queue, std::string_view key) {
  return HashBytes(key, QueueNameHash(queue));
}

}  // namespace

uint64_t IdempotencyTable::HashOf(const Entry& entry) {
  return HashSequence(kEntrySeed)
      .Add(QueueNameHash(entry.queue()))
      .Add(entry.key())
      .Add(entry.job_id())
      .Add(entry.identity)
      .Add(entry.sequence)
      .Add(static_cast<uint64_t>(entry.end_ms))
      .Finish();
}

uint32_t IdempotencyTable::Find(std::string_view queue, std::string_view key) const {
  return index_.Find(IndexHash(queue, key), [&](uint32_t slot) {
    return entries_[slot].key() == key && entries_[slot].queue() == queue;
  });
}

bool IdempotencyTable::Add(std::string_view queue, std::string_view key, std::string_view job_id,
                           uint64_t identity, uint64_t sequence, int64_t end_ms) {
  DQ_CHECK(sequence != 0 && key.size() <= UINT32_MAX && job_id.size() <= UINT32_MAX &&
           queue.size() <= UINT32_MAX);
  const OrderedSlot place(static_cast<uint64_t>(end_ms), sequence, kNoSlot);
  if (ends_.contains(place)) return false;
  const uint32_t slot = entries_.Allocate();
  Entry& entry = entries_[slot];
  entry.text = std::make_unique_for_overwrite<char[]>(key.size() + job_id.size() + queue.size());
  PutBytes(PutBytes(PutBytes(entry.text.get(), key), job_id), queue);
  entry.identity = identity;
  entry.sequence = sequence;
  entry.end_ms = end_ms;
  entry.key_size = static_cast<uint32_t>(key.size());
  entry.id_size = static_cast<uint32_t>(job_id.size());
  entry.queue_size = static_cast<uint32_t>(queue.size());
  DQ_CHECK(ends_.insert(OrderedSlot(static_cast<uint64_t>(end_ms), sequence, slot)).second);
  index_.Insert(IndexHash(queue, key), slot);
  hash_sum_ += HashOf(entry);
  text_bytes_ += key.size() + job_id.size() + queue.size() + kAllocationOverhead;
  return true;
}

void IdempotencyTable::Drop(uint32_t slot) {
  const Entry& entry = entries_[slot];
  DQ_CHECK(entry.used());
  hash_sum_ -= HashOf(entry);
  text_bytes_ -= entry.key_size + entry.id_size + entry.queue_size + kAllocationOverhead;
  index_.Erase(IndexHash(entry.queue(), entry.key()), slot);
  DQ_CHECK(ends_.erase(OrderedSlot(static_cast<uint64_t>(entry.end_ms), entry.sequence, slot)) ==
           1);
  entries_.Free(slot);
}

uint32_t IdempotencyTable::FirstToEnd() const {
  return ends_.empty() ? kNoSlot : ends_.begin()->slot();
}

int64_t IdempotencyTable::FirstEnd() const {
  return ends_.empty() ? INT64_MAX : static_cast<int64_t>(ends_.begin()->order());
}

uint64_t IdempotencyTable::RecomputeHashSum() const {
  uint64_t sum = 0;
  for (uint32_t slot = 0; slot < entries_.end(); ++slot) {
    if (entries_[slot].used()) sum += HashOf(entries_[slot]);
  }
  return sum;
}

size_t IdempotencyTable::memory_bytes() const {
  return entries_.memory_bytes() + index_.memory_bytes() + text_bytes_ +
         ends_.size() * (sizeof(OrderedSlot) + 6);
}

std::string IdempotencyTable::Problem() const {
  uint32_t used = 0;
  for (uint32_t slot = 0; slot < entries_.end(); ++slot) {
    const Entry& entry = entries_[slot];
    if (!entry.used()) continue;
    ++used;
    const std::string key(entry.key());
    if (Find(entry.queue(), entry.key()) != slot) {
      return "idempotency key " + key + " is not found";
    }
    if (!ends_.contains(OrderedSlot(static_cast<uint64_t>(entry.end_ms), entry.sequence, slot))) {
      return "the window of idempotency key " + key + " has no end";
    }
  }
  if (used != entries_.used() || used != ends_.size() || used != index_.size()) {
    return "the number of idempotency keys is wrong";
  }
  return "";
}

}  // namespace dqueue::queue
