// The time that the leader writes into log entries. It never goes back on any replica.
//
// Log time is the cluster's time, which the node gives with each call (node/cluster_clock.h). While
// that is behind the log (an earlier leader was ahead), log time advances at half speed: delays
// last longer, but they end. Used on the loop's thread.
#pragma once

#include <cstdint>

#include "queue/state/state_machine.h"
#include "raft/types.h"

namespace dqueue::queue {

class LogClock {
 public:
  explicit LogClock(const StateMachine& state) : state_(state) {}

  // A new leadership begins.
  void Begin(Time now);
  // The wall clock, in Unix milliseconds, as the node read it last.
  void SetWall(int64_t wall_ms) { wall_ms_ = wall_ms; }
  int64_t wall_ms() const { return wall_ms_; }
  // Log time at `now`, in Unix milliseconds.
  int64_t NowMs(Time now) const { return NowMs(now, wall_ms_); }
  int64_t NowMs(Time now, int64_t wall_ms) const;
  // An entry with this time is proposed.
  void Propose(Time now, int64_t time_ms);

 private:
  const StateMachine& state_;
  int64_t wall_ms_ = 0;
  int64_t last_ms_ = 0;  // the newest log time proposed, or found by Begin,
  Time last_at_{};       // and when that was
};

}  // namespace dqueue::queue
