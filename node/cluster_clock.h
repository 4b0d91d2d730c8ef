// The cluster's time, which the leader writes into the log.
//
// No single wall clock moves it. Every message between members carries the sender's wall clock, and
// the leader compares them:
//
//   forward   The cluster's time advances to a time that a majority of the voters' wall clocks have
//             reached.
//   else      It runs with the monotonic clock of the leader's machine; at half speed while a
//             majority of the wall clocks is more than kClockStep earlier. It never goes back.
//
// So it stays within kClockStep of a majority's clocks, if these agree with each other. The leader
// tells its time to the others, and a new leader continues there. A node alone is a majority.
//
// Used on the loop's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>

#include "raft/config.h"
#include "raft/types.h"

namespace dqueue::node {

// How far the cluster's time may be ahead of a majority's wall clocks before it slows down.
inline constexpr Duration kClockStep = std::chrono::milliseconds(500);
// A wall clock that was last reported longer ago is unknown.
inline constexpr Duration kClockReportAge = std::chrono::seconds(10);

class ClusterClock {
 public:
  explicit ClusterClock(raft::NodeId self) : self_(self) {}

  // A message of another member arrived. wall_ms: the sender's wall clock when it sent it, Unix
  // time; 0: the sender's version does not tell, and its clock counts as equal to this node's.
  void OnReport(Time now, raft::NodeId from, int64_t wall_ms);
  // On a follower: the leader said that the cluster's time is time_ms, Unix time.
  void Follow(Time now, int64_t time_ms);
  // On the leader, in each turn: brings the cluster's time up to `now`. wall_ms: this node's wall
  // clock.
  void Advance(Time now, int64_t wall_ms, const raft::Configuration& config);
  // The cluster's time, Unix milliseconds; 0: not known yet. On a follower: what the leader said
  // last and the time since then.
  int64_t NowMs(Time now) const { return RunOn(now).count() / 1000; }

 private:
  using Wall = std::chrono::microseconds;  // since the Unix epoch
  struct Report {
    Wall wall{};
    Time at{};
  };
  Wall RunOn(Time now) const;
  // The wall clock of a voter at `now`; 0: unknown.
  Wall ClockOf(raft::NodeId voter, Time now, Wall own) const;

  const raft::NodeId self_;
  std::map<raft::NodeId, Report> reports_;
  Wall time_{};  // the cluster's time at `at_`; 0: unknown
  Time at_{};
  bool slow_ = false;  // it runs at half speed
  Time compare_at_{};  // the clocks are compared again then
};

}  // namespace dqueue::node
