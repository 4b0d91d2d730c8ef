// Ready jobs in the order of delivery. There is one lane for each (queue, type) that has jobs; it
// holds the ready ones in order. Each queue keeps its lanes' heads in order, so that the best job
// of a queue, of some of its types, or of several queues is found in O(log n).
//
// A lane is also the interned name of its queue and type: a job stores its lane only. A lane lives
// while any job, also a finished one, belongs to it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "queue/state/tables/ordered_slots.h"
#include "queue/state/tables/slab.h"

namespace dqueue::queue {

class ReadyIndex {
 public:
  // The number must be free; at most one above the highest so far. `name_hash` enters the lanes'
  // hashes.
  void AddQueue(uint32_t queue, uint64_t name_hash);
  // The queue must have no lane. Its number is free again.
  void RemoveQueue(uint32_t queue);

  // The lane of (queue, type), with one more job in it. Created if there is none.
  uint32_t AcquireLane(uint32_t queue, std::string_view type);
  // One job less. The lane is freed with its last job, which must not be ready.
  void ReleaseLane(uint32_t lane);
  uint32_t queue_of(uint32_t lane) const { return lanes_[lane].queue; }
  std::string_view type_of(uint32_t lane) const { return lanes_[lane].type; }
  // Of the names of queue and type: the same on every replica.
  uint64_t hash_of(uint32_t lane) const { return lanes_[lane].hash; }

  // `job` orders by DeliveryOrder and sequence. It must not be in its lane; since_ms is when it
  // became ready. False, without effect, if the lane has a job of the same place already.
  bool Insert(uint32_t lane, const OrderedSlot& job, int64_t since_ms);
  // It must be there, and since_ms be the same.
  void Erase(uint32_t lane, const OrderedSlot& job, int64_t since_ms);
  bool Contains(uint32_t lane, const OrderedSlot& job) const;

  // The best jobs of these queues, and if not empty of these types, are appended to *slots and
  // erased: `since_of(slot)` says since when a job is ready. The number appended.
  template <class SinceOf>
  size_t Take(std::span<const uint32_t> queues, std::span<const std::string> types, size_t max,
              const SinceOf& since_of, std::vector<uint32_t>* slots);
  // Whether Take would find one.
  bool HasReady(std::span<const uint32_t> queues, std::span<const std::string> types) const;

  // The number of types of the queue that have ready jobs.
  size_t ReadyTypes(uint32_t queue) const { return queues_[queue]->heads.size(); }

  size_t size() const { return size_; }
  size_t lane_count() const { return lanes_.used(); }
  // When the job of the queue that has been ready for longest became so; INT64_MAX if none is.
  int64_t OldestSince(uint32_t queue) const;
  int64_t OldestSince() const;
  size_t memory_bytes() const;
  // Of queues and types: the part of memory_bytes() that jobs have no share in.
  size_t names_bytes() const;
  // Empty if heads, ages and counts agree with the lanes. For tests and CheckConsistency.
  std::string Problem() const;
  // The number of jobs that name the lane (AcquireLane less ReleaseLane).
  uint32_t jobs_of(uint32_t lane) const { return lanes_[lane].jobs; }
  uint32_t lanes_end() const { return lanes_.end(); }

 private:
  struct Lane {
    OrderedSlots ready;
    std::string type;
    uint64_t hash = 0;
    uint32_t queue = kNoSlot;
    uint32_t jobs = 0;
    uint32_t link = kNoSlot;
    uint32_t& free_link() { return link; }
  };
  struct Queue {
    uint64_t name_hash = 0;
    absl::btree_map<std::string, uint32_t, std::less<>> lanes;  // by type
    OrderedSlots heads;                        // of lanes with ready jobs; slot() is the lane
    absl::btree_map<int64_t, uint32_t> since;  // how many became ready then
  };
  // Where Take may get its next job from: a whole queue, or one lane.
  struct Source {
    uint32_t queue;
    uint32_t lane;  // kNoSlot: the queue's best
    OrderedSlot head;
  };

  void EraseHead(uint32_t lane, int64_t since_ms);
  void EraseAt(uint32_t lane, OrderedSlots::const_iterator job, int64_t since_ms);
  void ReplaceHead(Queue& queue, uint32_t lane, const OrderedSlot* before,
                   const OrderedSlot* after);
  void AddSince(uint32_t queue, int64_t since_ms);
  void DropSince(uint32_t queue, int64_t since_ms);
  bool RefreshSource(Source* source) const;
  std::vector<Source> Sources(std::span<const uint32_t> queues,
                              std::span<const std::string> types) const;
  uint32_t BestLane(const Source& source) const;

  Slab<Lane> lanes_;
  std::vector<std::unique_ptr<Queue>> queues_;  // null: the number is free
  // (oldest since, queue) of each queue with ready jobs.
  absl::btree_set<std::pair<int64_t, uint32_t>> oldest_;
  size_t size_ = 0;
  size_t since_entries_ = 0;
  size_t lane_bytes_ = 0;
  size_t queue_count_ = 0;
};

template <class SinceOf>
size_t ReadyIndex::Take(std::span<const uint32_t> queues, std::span<const std::string> types,
                        size_t max, const SinceOf& since_of, std::vector<uint32_t>* slots) {
  std::vector<Source> sources = Sources(queues, types);
  // A heap with the best head on top: the standard's heaps put the greatest there.
  const auto worse = [](const Source& a, const Source& b) { return b.head < a.head; };
  std::make_heap(sources.begin(), sources.end(), worse);
  size_t taken = 0;
  while (taken < max && !sources.empty()) {
    std::pop_heap(sources.begin(), sources.end(), worse);
    Source& source = sources.back();
    const OrderedSlot job = source.head;
    EraseHead(BestLane(source), since_of(job.slot()));
    slots->push_back(job.slot());
    ++taken;
    if (RefreshSource(&source)) {
      std::push_heap(sources.begin(), sources.end(), worse);
    } else {
      sources.pop_back();
    }
  }
  return taken;
}

}  // namespace dqueue::queue
