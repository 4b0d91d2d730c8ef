// Slots kept in an order that replicas agree on: by a number (a time; a priority and a time), then
// by the job's enqueue sequence, which no two jobs share. Never by slot: slots differ between a
// replica that replayed the log and one that was restored from a snapshot.
#pragma once

#include <cstdint>
#include <cstring>

#include "absl/container/btree_set.h"

namespace dqueue::queue {

// 20 bytes, not 24: there are one or two of these for each job.
class OrderedSlot {
 public:
  OrderedSlot() = default;
  OrderedSlot(uint64_t order, uint64_t sequence, uint32_t slot) {
    std::memcpy(words_, &order, sizeof order);
    std::memcpy(words_ + 2, &sequence, sizeof sequence);
    words_[4] = slot;
  }
  uint64_t order() const { return Load(words_); }
  uint64_t sequence() const { return Load(words_ + 2); }
  uint32_t slot() const { return words_[4]; }

  friend bool operator<(const OrderedSlot& a, const OrderedSlot& b) {
    const uint64_t x = a.order();
    const uint64_t y = b.order();
    return x != y ? x < y : a.sequence() < b.sequence();
  }
  friend bool operator==(const OrderedSlot& a, const OrderedSlot& b) {
    return a.order() == b.order() && a.sequence() == b.sequence();
  }

 private:
  static uint64_t Load(const uint32_t* words) {
    uint64_t value;
    std::memcpy(&value, words, sizeof value);
    return value;
  }

  uint32_t words_[5] = {};
};

// Appending in order fills nodes; elsewhere they are about two thirds full.
using OrderedSlots = absl::btree_set<OrderedSlot>;

}  // namespace dqueue::queue
