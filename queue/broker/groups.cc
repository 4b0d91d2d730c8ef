// GroupDeadJobs: a read that looks at every job, once its confirmation round has ended, a bounded
// part in each turn of the loop.
#include <algorithm>
#include <memory>
#include <utility>

#include "queue/api/validate.h"
#include "queue/broker/broker_impl.h"

namespace dqueue::queue {
namespace {

// Calls that look at jobs at the same time.
constexpr size_t kGroupingCallsMax = 20;
// Of the call's time, kept for the answer's way back.
constexpr Duration kWayBackMax = std::chrono::milliseconds(100);

}  // namespace

void BrokerImpl::Answer(Time now, GroupCall* call) {
  const std::string& queue = call->request.queue();
  if (!queue.empty() && !state_->HasQueue(queue)) return call->done(QueueNotFoundError(queue));
  if (grouping_.size() >= kGroupingCallsMax) {
    return call->done(OverloadedError("groupings of dead jobs at a time", kGroupingCallsMax));
  }
  auto grouping = std::make_unique<Grouping>();
  grouping->end = state_->pick_end();
  grouping->look_until = call->deadline;
  if (call->deadline != Time::max()) {
    grouping->look_until -= std::min<Duration>(kWayBackMax, (call->deadline - now) / 4);
  }
  grouping->call = std::move(*call);
  grouping_.push_back(std::move(grouping));
}

void BrokerImpl::GroupSome(Time now) {
  if (grouping_.empty()) return;
  std::unique_ptr<Grouping> grouping = std::move(grouping_.front());
  grouping_.pop_front();
  const GroupCall& call = grouping->call;
  const bool time_is_over = grouping->look_until <= now;
  if (!time_is_over) {
    const JobFilter filter{
        .queue = call.request.queue(), .type = call.request.type(), .access = call.access.get()};
    state_->VisitDead(filter, grouping->end, &grouping->position,
                      [&](const DeadJob& job) { grouping->groups.Add(job); });
  }
  const bool departed = call.cancelled != nullptr && call.cancelled->load();
  if (grouping->position < grouping->end && !time_is_over && !departed) {
    return grouping_.push_back(std::move(grouping));
  }
  v1::GroupDeadJobsResponse response;
  response.set_more(grouping->position < grouping->end);
  grouping->groups.Take(&response);
  call.done(std::move(response));
}

}  // namespace dqueue::queue
