#include "queue/broker/reports/job_times.h"

#include "base/check.h"

namespace dqueue::queue {

uint32_t JobTimes::Number(std::string_view queue) {
  if (last_ != 0 && queues_[last_].queue == queue) return last_;
  const auto it = numbers_.find(queue);
  if (it != numbers_.end()) return last_ = it->second;
  if (queues_.size() > kTimedQueuesMax) return 0;
  last_ = static_cast<uint32_t>(queues_.size());
  queues_.emplace_back().queue = queue;
  numbers_.emplace(queue, last_);
  return last_;
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
