// The monotonic clock and the wall clock of one machine, as functions of true (virtual) time.
#pragma once

#include <cstdint>

#include "raft/types.h"

namespace dqueue::sim {

class NodeClock {
 public:
  // Sets the origin of the monotonic clock: it shows `local` at true time `at`.
  void Restart(Time at, Time local) {
    origin_ = at;
    local_origin_ = local;
  }
  // From true time `at` on, the monotonic clock runs `ppm` parts per million too fast.
  void SetDrift(Time at, int ppm) {
    Restart(at, Local(at));
    rate_ = kMillion + ppm;
  }
  // The monotonic clock at true time `at`.
  Time Local(Time at) const {
    return local_origin_ + Duration((at - origin_).count() * rate_ / kMillion);
  }
  // The first true time at which Local() returns `local` or later.
  Time TrueTime(Time local) const {
    if (local <= local_origin_) return origin_;
    const int64_t us = (local - local_origin_).count();
    return origin_ + Duration((us * kMillion + rate_ - 1) / rate_);
  }

  void JumpWall(Duration by) { wall_offset_ += by; }
  void SetWallOffset(Duration offset) { wall_offset_ = offset; }
  Duration wall_offset() const { return wall_offset_; }  // from the true time
  // The wall clock at true time `at`, in Unix milliseconds.
  int64_t WallMs(Time at) const {
    return kEpochMs + (at.time_since_epoch() + wall_offset_).count() / 1000;
  }

 private:
  static constexpr int64_t kMillion = 1000000;
  static constexpr int64_t kEpochMs = 1'700'000'000'000;
  Time origin_{};
  Time local_origin_{};
  int64_t rate_ = kMillion;
  Duration wall_offset_{};
};

}  // namespace dqueue::sim
