#include "queue/state/tables/ready_index.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "queue/api/hash.h"
#include "queue/state/tables/heap_bytes.h"

namespace dqueue::queue {
namespace {

constexpr uint64_t kLaneSeed = 0x6c616e65;

// In a queue's heads, a lane's head is stored with the lane in place of the slot.
OrderedSlot HeadEntry(const OrderedSlot& job, uint32_t lane) {
  return OrderedSlot(job.order(), job.sequence(), lane);
}

}  // namespace

void ReadyIndex::AddQueue(uint32_t queue, uint64_t name_hash) {
  DQ_CHECK(queue <= queues_.size());
  if (queue == queues_.size()) queues_.emplace_back();
  DQ_CHECK(queues_[queue] == nullptr);
  queues_[queue] = std::make_unique<Queue>();
  queues_[queue]->name_hash = name_hash;
  ++queue_count_;
}

void ReadyIndex::RemoveQueue(uint32_t queue) {
  DQ_CHECK(queues_[queue] != nullptr && queues_[queue]->lanes.empty());
  queues_[queue].reset();
  --queue_count_;
}

uint32_t ReadyIndex::AcquireLane(uint32_t queue, std::string_view type) {
  Queue& q = *queues_[queue];
  auto it = q.lanes.find(type);
  if (it == q.lanes.end()) {
    const uint32_t slot = lanes_.Allocate();
    Lane& lane = lanes_[slot];
    lane.type = std::string(type);
    lane.hash = HashSequence(kLaneSeed).Add(q.name_hash).Add(type).Finish();
    lane.queue = queue;
    lane_bytes_ += 2 * type.size() + sizeof(std::string) + sizeof(uint32_t);
    it = q.lanes.emplace(std::string(type), slot).first;
  }
  ++lanes_[it->second].jobs;
  return it->second;
}

void ReadyIndex::ReleaseLane(uint32_t slot) {
  Lane& lane = lanes_[slot];
  DQ_CHECK(lane.jobs > 0);
  if (--lane.jobs > 0) return;
  DQ_CHECK_MSG(lane.ready.empty(), "a ready job of type " + lane.type + " is left in the lane");
  lane_bytes_ -= 2 * lane.type.size() + sizeof(std::string) + sizeof(uint32_t);
  queues_[lane.queue]->lanes.erase(lane.type);
  lanes_.Free(slot);
}

void ReadyIndex::ReplaceHead(Queue& queue, uint32_t lane, const OrderedSlot* before,
                             const OrderedSlot* after) {
  // In this order, a queue with one lane does not free and allocate the set's only node for each
  // job.
  if (after != nullptr) DQ_CHECK(queue.heads.insert(HeadEntry(*after, lane)).second);
  if (before != nullptr) DQ_CHECK(queue.heads.erase(HeadEntry(*before, lane)) == 1);
}

void ReadyIndex::AddSince(uint32_t queue, int64_t since_ms) {
  auto& since = queues_[queue]->since;
  const int64_t oldest = since.empty() ? INT64_MAX : since.begin()->first;
  // Jobs mostly become ready now: the last entry's.
  if (!since.empty() && since.rbegin()->first == since_ms) {
    ++since.rbegin()->second;
    return;
  }
  const auto [it, inserted] = since.try_emplace(since_ms, 0);
  ++it->second;
  if (inserted) ++since_entries_;
  if (since_ms < oldest) {
    if (oldest != INT64_MAX) oldest_.erase({oldest, queue});
    oldest_.insert({since_ms, queue});
  }
}

void ReadyIndex::DropSince(uint32_t queue, int64_t since_ms) {
  auto& since = queues_[queue]->since;
  const auto it = since.find(since_ms);
  DQ_CHECK(it != since.end());
  if (--it->second > 0) return;
  const bool was_oldest = it == since.begin();
  since.erase(it);
  --since_entries_;
  if (was_oldest) {
    oldest_.erase({since_ms, queue});
    if (!since.empty()) oldest_.insert({since.begin()->first, queue});
  }
}

bool ReadyIndex::Insert(uint32_t slot, const OrderedSlot& job, int64_t since_ms) {
  Lane& lane = lanes_[slot];
  Queue& queue = *queues_[lane.queue];
  const bool had_jobs = !lane.ready.empty();
  OrderedSlot head;
  if (had_jobs) head = *lane.ready.begin();
  // No other job of the queue may have this place. Other lanes are checked only at their heads,
  // where it matters.
  if ((!had_jobs || job < head) && queue.heads.contains(job)) return false;
  if (!lane.ready.insert(job).second) return false;
  if (!had_jobs) {
    ReplaceHead(queue, slot, nullptr, &job);
  } else if (job < head) {
    ReplaceHead(queue, slot, &head, &job);
  }
  ++size_;
  AddSince(lane.queue, since_ms);
  return true;
}

void ReadyIndex::Erase(uint32_t slot, const OrderedSlot& job, int64_t since_ms) {
  EraseAt(slot, lanes_[slot].ready.find(job), since_ms);
}

void ReadyIndex::EraseHead(uint32_t slot, int64_t since_ms) {
  EraseAt(slot, lanes_[slot].ready.begin(), since_ms);
}

void ReadyIndex::EraseAt(uint32_t slot, OrderedSlots::const_iterator job, int64_t since_ms) {
  Lane& lane = lanes_[slot];
  DQ_CHECK(job != lane.ready.end());
  const OrderedSlot place = *job;
  const bool was_head = job == lane.ready.begin();
  lane.ready.erase(job);
  if (was_head) {
    ReplaceHead(*queues_[lane.queue], slot, &place,
                lane.ready.empty() ? nullptr : &*lane.ready.begin());
  }
  --size_;
  DropSince(lane.queue, since_ms);
}

bool ReadyIndex::Contains(uint32_t slot, const OrderedSlot& job) const {
  const auto it = lanes_[slot].ready.find(job);
  return it != lanes_[slot].ready.end() && it->slot() == job.slot();
}

// Brings source->head up to date; false if it has no job.
bool ReadyIndex::RefreshSource(Source* source) const {
  if (source->lane != kNoSlot) {
    const OrderedSlots& ready = lanes_[source->lane].ready;
    if (ready.empty()) return false;
    source->head = *ready.begin();
    return true;
  }
  const OrderedSlots& heads = queues_[source->queue]->heads;
  if (heads.empty()) return false;
  source->head = *lanes_[heads.begin()->slot()].ready.begin();
  return true;
}

uint32_t ReadyIndex::BestLane(const Source& source) const {
  return source.lane != kNoSlot ? source.lane : queues_[source.queue]->heads.begin()->slot();
}

// Each queue and type counts once, however often it is named.
std::vector<ReadyIndex::Source> ReadyIndex::Sources(std::span<const uint32_t> queues,
                                                    std::span<const std::string> types) const {
  std::vector<uint32_t> distinct_queues(queues.begin(), queues.end());
  std::sort(distinct_queues.begin(), distinct_queues.end());
  distinct_queues.erase(std::unique(distinct_queues.begin(), distinct_queues.end()),
                        distinct_queues.end());
  std::vector<std::string_view> distinct_types(types.begin(), types.end());
  std::sort(distinct_types.begin(), distinct_types.end());
  distinct_types.erase(std::unique(distinct_types.begin(), distinct_types.end()),
                       distinct_types.end());

  std::vector<Source> sources;
  const auto add = [&](uint32_t queue, uint32_t lane) {
    Source source{queue, lane, {}};
    if (RefreshSource(&source)) sources.push_back(source);
  };
  for (const uint32_t q : distinct_queues) {
    const Queue& queue = *queues_[q];
    if (distinct_types.empty()) {
      add(q, kNoSlot);
    } else if (queue.heads.size() < distinct_types.size()) {
      for (const OrderedSlot& head : queue.heads) {
        const std::string_view type = lanes_[head.slot()].type;
        if (std::binary_search(distinct_types.begin(), distinct_types.end(), type)) {
          add(q, head.slot());
        }
      }
    } else {
      for (const std::string_view type : distinct_types) {
        const auto it = queue.lanes.find(type);
        if (it != queue.lanes.end()) add(q, it->second);
      }
    }
  }
  return sources;
}

bool ReadyIndex::HasReady(std::span<const uint32_t> queues,
                          std::span<const std::string> types) const {
  for (const uint32_t q : queues) {
    const Queue& queue = *queues_[q];
    if (queue.heads.empty()) continue;
    if (types.empty()) return true;
    for (const std::string& type : types) {
      const auto it = queue.lanes.find(type);
      if (it != queue.lanes.end() && !lanes_[it->second].ready.empty()) return true;
    }
  }
  return false;
}

int64_t ReadyIndex::OldestSince(uint32_t queue) const {
  const auto& since = queues_[queue]->since;
  return since.empty() ? INT64_MAX : since.begin()->first;
}

int64_t ReadyIndex::OldestSince() const {
  return oldest_.empty() ? INT64_MAX : oldest_.begin()->first;
}

size_t ReadyIndex::memory_bytes() const {
  return size_ * TreeEntryBytes(sizeof(OrderedSlot)) + since_entries_ * 18 + lanes_.memory_bytes() +
         names_bytes() - lanes_.used() * sizeof(Lane);
}

size_t ReadyIndex::names_bytes() const {
  return lanes_.used() * sizeof(Lane) + lane_bytes_ + queue_count_ * (sizeof(Queue) + 16) +
         queues_.capacity() * sizeof(queues_[0]) + oldest_.size() * 20;
}

std::string ReadyIndex::Problem() const {
  size_t ready = 0;
  for (uint32_t q = 0; q < queues_.size(); ++q) {
    if (queues_[q] == nullptr) continue;
    const Queue& queue = *queues_[q];
    const std::string where = "queue number " + std::to_string(q) + ": ";
    size_t ready_here = 0;
    size_t heads = 0;
    for (const auto& [type, slot] : queue.lanes) {
      const Lane& lane = lanes_[slot];
      if (lane.queue != q || lane.type != type) return where + "lane " + type + " is another's";
      if (lane.jobs < lane.ready.size()) return where + "more ready jobs than jobs in " + type;
      if (lane.jobs == 0) return where + "an empty lane was kept: " + type;
      ready_here += lane.ready.size();
      if (lane.ready.empty()) continue;
      ++heads;
      const auto head = queue.heads.find(HeadEntry(*lane.ready.begin(), slot));
      if (head == queue.heads.end() || head->slot() != slot) return where + "no head for " + type;
    }
    if (heads != queue.heads.size()) return where + "heads without a lane";
    size_t aged = 0;
    for (const auto& [since_ms, count] : queue.since) {
      if (count == 0) return where + "an empty age";
      aged += count;
    }
    if (aged != ready_here) return where + "ages do not add up";
    if (!queue.since.empty() && !oldest_.contains({queue.since.begin()->first, q})) {
      return where + "its oldest job is not listed";
    }
    ready += ready_here;
  }
  if (ready != size_) return "the number of ready jobs is wrong";
  return "";
}

}  // namespace dqueue::queue
