#include "queue/broker/reports/job_times.h"

#include "base/check.h"

namespace dqueue::queue {

uint32_t JobTimes::Number(std::string_view queue) {
  if (last_ != 0 && queues_[last_].queue == queue) return last_;
  const auto it = numbers_.find(queue);
  if (it != numbers_.end()) return last_ = it->second;
  if (full()) return 0;
  if (free_.empty()) {
    last_ = static_cast<uint32_t>(queues_.size());
    queues_.emplace_back();
  } else {
    last_ = free_.back();
    free_.pop_back();
  }
  queues_[last_].queue = queue;
  numbers_.emplace(queue, last_);
  return last_;
}

void JobTimes::Forget(uint32_t number) {
  numbers_.erase(queues_[number].queue);
  queues_[number] = QueueTimes();
  free_.push_back(number);
  last_ = 0;
}

void JobTimes::Dispatched(uint32_t queue, Duration waited) {
  DQ_CHECK(queue < queues_.size());
  ++queues_[queue].dispatched;
  queues_[queue].waited.Observe(waited);
}

void JobTimes::Ended(uint32_t queue, AttemptEnd end, std::optional<Duration> held) {
  DQ_CHECK(queue < queues_.size());
  ++queues_[queue].ended[static_cast<size_t>(end)];
  if (end == AttemptEnd::kCompleted && held) queues_[queue].held.Observe(*held);
}

}  // namespace dqueue::queue
