#include "queue/state/tables/idempotency_table.h"

#include "base/check.h"
#include "queue/api/hash.h"
#include "queue/state/byte_codec.h"

namespace dqueue::queue {
namespace {

constexpr uint64_t kEntrySeed = 0x6964656d;
constexpr size_t kAllocationOverhead = 16;

}  // namespace

uint64_t IdempotencyTable::IndexHash(uint64_t queue_hash, std::string_view key) {
  return HashBytes(key, queue_hash);
}

uint64_t IdempotencyTable::HashOf(const Entry& entry, uint64_t queue_hash) {
  return HashSequence(kEntrySeed)
      .Add(queue_hash)
      .Add(entry.key())
      .Add(entry.job_id())
      .Add(entry.identity)
      .Add(entry.sequence)
      .Add(static_cast<uint64_t>(entry.end_ms))
      .Finish();
}

uint32_t IdempotencyTable::Find(uint32_t queue, uint64_t queue_hash, std::string_view key) const {
  return index_.Find(IndexHash(queue_hash, key), [&](uint32_t slot) {
    return entries_[slot].queue == queue && entries_[slot].key() == key;
  });
}

bool IdempotencyTable::Add(uint32_t queue, uint64_t queue_hash, std::string_view key,
                           std::string_view job_id, uint64_t identity, uint64_t sequence,
                           int64_t end_ms) {
  DQ_CHECK(queue != kNoSlot && key.size() <= UINT32_MAX && job_id.size() <= UINT32_MAX);
  const OrderedSlot place(static_cast<uint64_t>(end_ms), sequence, kNoSlot);
  if (ends_.contains(place)) return false;
  const uint32_t slot = entries_.Allocate();
  Entry& entry = entries_[slot];
  entry.text = std::make_unique_for_overwrite<char[]>(key.size() + job_id.size());
  PutBytes(PutBytes(entry.text.get(), key), job_id);
  entry.identity = identity;
  entry.sequence = sequence;
  entry.end_ms = end_ms;
  entry.key_size = static_cast<uint32_t>(key.size());
  entry.id_size = static_cast<uint32_t>(job_id.size());
  entry.queue = queue;
  DQ_CHECK(ends_.insert(OrderedSlot(static_cast<uint64_t>(end_ms), sequence, slot)).second);
  index_.Insert(IndexHash(queue_hash, key), slot);
  hash_sum_ += HashOf(entry, queue_hash);
  text_bytes_ += key.size() + job_id.size() + kAllocationOverhead;
  return true;
}

void IdempotencyTable::Drop(uint32_t slot, uint64_t queue_hash) {
  const Entry& entry = entries_[slot];
  DQ_CHECK(entry.used());
  hash_sum_ -= HashOf(entry, queue_hash);
  text_bytes_ -= entry.key_size + entry.id_size + kAllocationOverhead;
  index_.Erase(IndexHash(queue_hash, entry.key()), slot);
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

size_t IdempotencyTable::memory_bytes() const {
  return entries_.memory_bytes() + index_.memory_bytes() + text_bytes_ +
         ends_.size() * (sizeof(OrderedSlot) + 6);
}

}  // namespace dqueue::queue
