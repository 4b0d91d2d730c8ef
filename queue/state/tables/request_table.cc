#include "queue/state/tables/request_table.h"

#include "base/check.h"
#include "queue/api/hash.h"
#include "queue/state/byte_codec.h"

namespace dqueue::queue {
namespace {

constexpr uint64_t kEntrySeed = 0x72657175;
constexpr uint64_t kHighSeed = 0x68696768;
constexpr uint64_t kLowSeed = 0x6c6f77;
constexpr size_t kRequestKeyBytes = 16;

// `high` alone is a hash already, but of bytes that the log has: it could be anything.
uint64_t IndexHash(const RequestKey& key) {
  return HashSequence(kEntrySeed).Add(key.high).Add(key.low).Finish();
}

}  // namespace

RequestKey RequestKeyOfId(std::string_view id) {
  return {HashBytes(id, kHighSeed), HashBytes(id, kLowSeed)};
}

bool ParseRequestKey(std::string_view bytes, RequestKey* out) {
  if (bytes.size() != kRequestKeyBytes) return false;
  ByteReader reader(bytes);
  out->high = reader.Fixed64();
  out->low = reader.Fixed64();
  return reader.ok();
}

uint64_t RequestTable::HashOf(const Entry& entry) {
  return HashSequence(kEntrySeed)
      .Add(entry.key.high)
      .Add(entry.key.low)
      .Add(entry.identity)
      .Add(entry.sequence)
      .Add(static_cast<uint64_t>(entry.end_ms))
      .Finish();
}

uint32_t RequestTable::Find(const RequestKey& key) const {
  return index_.Find(IndexHash(key), [&](uint32_t slot) { return entries_[slot].key == key; });
}

void RequestTable::Add(const RequestKey& key, uint64_t identity, uint64_t sequence,
                       int64_t end_ms) {
  DQ_CHECK(sequence != 0);
  if (const uint32_t before = Find(key); before != kNoSlot) {
    index_.Erase(IndexHash(key), before);
    entries_[before].replaced = true;
  }
  const uint32_t slot = entries_.Allocate();
  Entry& entry = entries_[slot];
  entry.key = key;
  entry.identity = identity;
  entry.sequence = sequence;
  entry.end_ms = end_ms;
  if (last_ == kNoSlot) {
    first_ = slot;
  } else {
    entries_[last_].next = slot;
  }
  last_ = slot;
  index_.Insert(IndexHash(key), slot);
  hash_sum_ += HashOf(entry);
}

void RequestTable::DropFirst() {
  DQ_CHECK(first_ != kNoSlot);
  const uint32_t slot = first_;
  const Entry& entry = entries_[slot];
  hash_sum_ -= HashOf(entry);
  if (!entry.replaced) index_.Erase(IndexHash(entry.key), slot);
  first_ = entry.next;
  if (first_ == kNoSlot) last_ = kNoSlot;
  entries_.Free(slot);
}

uint64_t RequestTable::RecomputeHashSum() const {
  uint64_t sum = 0;
  for (uint32_t slot = first_; slot != kNoSlot; slot = entries_[slot].next) {
    sum += HashOf(entries_[slot]);
  }
  return sum;
}

std::string RequestTable::Problem() const {
  uint32_t listed = 0;
  uint32_t found = 0;
  for (uint32_t slot = first_; slot != kNoSlot; slot = entries_[slot].next) {
    if (!entries_[slot].used()) return "a request that was dropped is listed";
    if (!entries_[slot].replaced && Find(entries_[slot].key) != slot) {
      return "a request is not found by its key";
    }
    if (!entries_[slot].replaced) ++found;
    if (entries_[slot].next == kNoSlot && slot != last_) return "the newest request is another";
    if (++listed > entries_.used()) break;
  }
  if (listed != entries_.used() || found != index_.size()) {
    return "the number of requests is wrong";
  }
  return "";
}

}  // namespace dqueue::queue
