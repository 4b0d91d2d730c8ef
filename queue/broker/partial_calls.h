// Calls that one turn cannot carry out: a part in each turn, one call after the other. The
// node submits no further call while one is left, so that calls keep their order. Used on the
// loop's thread.
#pragma once

#include <deque>
#include <memory>
#include <utility>

#include "queue/broker/pace.h"
#include "raft/types.h"

namespace dqueue::queue {

class PartialCall {
 public:
  virtual ~PartialCall() = default;
  // Works on the call until it is done (true) or the budget is exhausted. A call that is destroyed
  // before that answers its caller as WorkPart does.
  virtual bool Continue(Time now) = 0;
};

class PartialCalls {
 public:
  // Begins the call. The rest, if any, is left for Continue().
  void Run(Time now, std::unique_ptr<PartialCall> call) {
    if (!calls_.empty() || !call->Continue(now)) calls_.push_back(std::move(call));
  }
  void Continue(Time now) {
    while (!calls_.empty() && calls_.front()->Continue(now)) calls_.pop_front();
  }
  bool empty() const { return calls_.empty(); }
  // The leadership is over.
  void DropAll() { calls_.clear(); }

 private:
  std::deque<std::unique_ptr<PartialCall>> calls_;
};

}  // namespace dqueue::queue
