// GroupDeadJobs calls that have not seen all jobs. A grouping looks at jobs part by part, one
// bounded part in each Step; groupings take turns. If the call's time is nearly over first, the
// answer holds the groups found so far and says `more`. Used on the loop's thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>

#include "queue/broker/calls.h"
#include "queue/broker/reads/dead_groups.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

class Groupings {
 public:
  explicit Groupings(const StateMachine& state) : state_(state) {}

  // After the call's confirmation round.
  void Begin(Time now, GroupCall call);
  // One part of the grouping whose turn it is.
  void Step(Time now);
  bool empty() const { return groupings_.empty(); }
  void FailAll(const Error& error);

 private:
  struct Grouping {
    GroupCall call;
    DeadGroups groups;
    uint32_t position = 0;
    uint32_t end = 0;
    Time look_until{};
  };

  const StateMachine& state_;
  std::deque<std::unique_ptr<Grouping>> groupings_;
};

}  // namespace dqueue::queue
