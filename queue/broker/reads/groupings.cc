#include "queue/broker/reads/groupings.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "queue/broker/refusals.h"

namespace dqueue::queue {
namespace {

constexpr size_t kGroupingsMax = 20;
// Of the call's time, kept for the answer's way back.
constexpr Duration kWayBackMax = std::chrono::milliseconds(100);

}  // namespace

void Groupings::Begin(Time now, GroupCall call) {
  const std::string& queue = call.request.queue();
  if (!queue.empty() && !state_.HasQueue(queue)) return call.done(QueueNotFoundError(queue));
  if (groupings_.size() >= kGroupingsMax) {
    return call.done(OverloadedError("groupings of dead jobs at a time", kGroupingsMax));
  }
  auto grouping = std::make_unique<Grouping>();
  grouping->end = state_.pick_end();
  grouping->look_until = call.deadline;
  if (call.deadline != Time::max()) {
    grouping->look_until -= std::min<Duration>(kWayBackMax, (call.deadline - now) / 4);
  }
  grouping->call = std::move(call);
  groupings_.push_back(std::move(grouping));
}

void Groupings::Step(Time now) {
  if (groupings_.empty()) return;
  std::unique_ptr<Grouping> grouping = std::move(groupings_.front());
  groupings_.pop_front();
  const GroupCall& call = grouping->call;
  const bool time_is_over = grouping->look_until <= now;
  if (!time_is_over) {
    const JobFilter filter{
        .queue = call.request.queue(), .type = call.request.type(), .access = call.access.get()};
    state_.VisitDead(filter, grouping->end, &grouping->position,
                     [&](const DeadJob& job) { grouping->groups.Add(job); });
  }
  if (grouping->position < grouping->end && !time_is_over && !IsCancelled(call)) {
    return groupings_.push_back(std::move(grouping));
  }
  v1::GroupDeadJobsResponse response;
  response.set_more(grouping->position < grouping->end);
  grouping->groups.Take(&response);
  call.done(std::move(response));
}

void Groupings::FailAll(const Error& error) {
  for (const auto& grouping : std::exchange(groupings_, {})) grouping->call.done(error);
}

}  // namespace dqueue::queue
