#include "queue/state/tables/idempotency_table.h"

#include <algorithm>

#include "base/check.h"
#include "queue/api/hash.h"
#include "queue/state/byte_codec.h"
#include "queue/state/tables/heap_bytes.h"
#include "queue/state/tables/queue_table.h"

namespace dqueue::queue {
namespace {

constexpr uint64_t kEntrySeed = 0x6964656d;

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
  if (ends_.contains(place) || spent_.contains(place)) return false;
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
  used_bytes_ += BytesOf(entry);
  return true;
}

void IdempotencyTable::Drop(uint32_t slot) {
  Entry& entry = entries_[slot];
  DQ_CHECK(entry.used());
  hash_sum_ -= HashOf(entry);
  used_bytes_ -= BytesOf(entry);
  index_.Erase(IndexHash(entry.queue(), entry.key()), slot);
  DQ_CHECK(OrderOf(entry).erase(
               OrderedSlot(static_cast<uint64_t>(entry.end_ms), entry.sequence, slot)) == 1);
  entries_.Free(slot);
}

void IdempotencyTable::SetSpent(uint32_t slot, bool spent) {
  Entry& entry = entries_[slot];
  DQ_CHECK(entry.used());
  if (entry.spent == spent) return;
  const OrderedSlot place(static_cast<uint64_t>(entry.end_ms), entry.sequence, slot);
  DQ_CHECK(OrderOf(entry).erase(place) == 1);
  entry.spent = spent;
  DQ_CHECK(OrderOf(entry).insert(place).second);
}

uint32_t IdempotencyTable::FirstToEnd() const {
  if (ends_.empty() && spent_.empty()) return kNoSlot;
  if (spent_.empty()) return ends_.begin()->slot();
  if (ends_.empty()) return spent_.begin()->slot();
  return std::min(*ends_.begin(), *spent_.begin()).slot();
}

int64_t IdempotencyTable::FirstEnd() const {
  const uint32_t first = FirstToEnd();
  return first == kNoSlot ? INT64_MAX : entries_[first].end_ms;
}

size_t IdempotencyTable::BytesOf(const Entry& entry) {
  return sizeof(Entry) + SlotIndex::kEntryBytes + TreeEntryBytes(sizeof(OrderedSlot)) +
         HeapBytes(entry.key_size + entry.id_size + entry.queue_size);
}

uint64_t IdempotencyTable::RecomputeHashSum() const {
  uint64_t sum = 0;
  for (uint32_t slot = 0; slot < entries_.end(); ++slot) {
    if (entries_[slot].used()) sum += HashOf(entries_[slot]);
  }
  return sum;
}

size_t IdempotencyTable::memory_bytes() const {
  return used_bytes_ + (entries_.memory_bytes() - entries_.used() * sizeof(Entry)) +
         index_.memory_bytes() -
         std::min(index_.memory_bytes(), index_.size() * SlotIndex::kEntryBytes);
}

std::string IdempotencyTable::Problem() const {
  uint32_t used = 0;
  size_t bytes = 0;
  for (uint32_t slot = 0; slot < entries_.end(); ++slot) {
    const Entry& entry = entries_[slot];
    if (!entry.used()) continue;
    ++used;
    const std::string key(entry.key());
    if (Find(entry.queue(), entry.key()) != slot) {
      return "idempotency key " + key + " is not found";
    }
    bytes += BytesOf(entry);
    if (!OrderOf(entry).contains(
            OrderedSlot(static_cast<uint64_t>(entry.end_ms), entry.sequence, slot))) {
      return "the window of idempotency key " + key + " has no end";
    }
  }
  if (used != entries_.used() || used != ends_.size() + spent_.size() || used != index_.size()) {
    return "the number of idempotency keys is wrong";
  }
  if (bytes != used_bytes_) return "the bytes of idempotency keys are wrong";
  return "";
}

}  // namespace dqueue::queue
