// A machine's two clocks as functions of true (virtual) time.
#pragma once

#include <cstdint>

#include "raft/types.h"

namespace dqueue::sim {

class NodeClock {
 public:
  // The monotonic clock's origin is the process's own: `local` at true time `at`.
  void Restart(raft::Time at, raft::Time local) {
    origin_ = at;
    local_origin_ = local;
  }
  void SetDrift(raft::Time at, int ppm) {
    Restart(at, Local(at));
    rate_ = kMillion + ppm;
  }
  raft::Time Local(raft::Time at) const {
    return local_origin_ + raft::Duration((at - origin_).count() * rate_ / kMillion);
  }
  // The first true time at which Local() is `local` or later.
  raft::Time True(raft::Time local) const {
    if (local <= local_origin_) return origin_;
    const int64_t us = (local - local_origin_).count();
    return origin_ + raft::Duration((us * kMillion + rate_ - 1) / rate_);
  }

  void JumpWall(raft::Duration by) { wall_offset_ += by; }
  void SetWallOffset(raft::Duration offset) { wall_offset_ = offset; }
  int64_t WallMs(raft::Time at) const {
    return kEpochMs + (at.time_since_epoch() + wall_offset_).count() / 1000;
  }

 private:
  static constexpr int64_t kMillion = 1000000;
  static constexpr int64_t kEpochMs = 1'700'000'000'000;
  raft::Time origin_{};
  raft::Time local_origin_{};
  int64_t rate_ = kMillion;
  raft::Duration wall_offset_{};
};

}  // namespace dqueue::sim
