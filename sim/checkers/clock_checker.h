// Checks that the cluster's time is not too late a time: the time in the log is never beyond what
// the wall clocks of a majority showed, apart from a stated step. One clock that jumps moves
// nothing.
//
// That the time does not lag behind is tested in scenario_test.cc.
#pragma once

#include <deque>
#include <vector>

#include "raft/types.h"

namespace dqueue::sim {

class SimNode;
class World;

class ClockChecker {
 public:
  explicit ClockChecker(World* world) : world_(world) {}

  // The wall clock of this node is about to jump.
  void BeforeJump(const SimNode& node);
  // The node has applied an entry.
  void AfterApply(const SimNode& node);

 private:
  struct Shown {
    Duration offset;  // of the wall clock from the true time
    Time until;
  };
  // The greatest offset that the wall clocks of a majority reached, at some time within the age
  // up to which the leader uses a report.
  Duration OffsetOfMajority() const;

  World* world_;
  std::vector<std::deque<Shown>> earlier_;  // by node
  // The greatest OffsetOfMajority() so far: log time never goes back.
  Duration greatest_ = Duration::min();
};

}  // namespace dqueue::sim
