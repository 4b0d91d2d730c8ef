// Parts of calls that are decided and whose callers are not told yet. When a leadership or a
// confirmation round ends, there may be very many: they are told over several turns. Used on the
// loop's thread.
#pragma once

#include <deque>
#include <utility>

#include "queue/broker/pace.h"
#include "queue/broker/work.h"

namespace dqueue::queue {

class DecidedParts {
 public:
  explicit DecidedParts(Pace& pace) : pace_(pace) {}

  // kNone: the part is done.
  void Add(WorkPart part, Work::Failure failure) { parts_.emplace_back(std::move(part), failure); }
  // Tells the works, in the order of Add(), until the budget is exhausted.
  void Continue() {
    while (!parts_.empty() && !pace_.Exhausted()) {
      pace_.Spend(kResultNs);
      auto [part, failure] = std::move(parts_.front());
      parts_.pop_front();
      if (failure == Work::Failure::kNone) {
        part.Done();
      } else {
        part.Fail(failure);
      }
    }
  }
  bool empty() const { return parts_.empty(); }

 private:
  Pace& pace_;
  std::deque<std::pair<WorkPart, Work::Failure>> parts_;
};

}  // namespace dqueue::queue
