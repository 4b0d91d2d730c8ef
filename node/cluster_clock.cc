#include "node/cluster_clock.h"

#include <algorithm>

#include "node/mutants.h"

namespace dqueue::node {
namespace {

constexpr Duration kCompareInterval = std::chrono::milliseconds(5);
// The last millisecond of the year 9999. Later clocks count as this one.
constexpr int64_t kWallMsMax = 253'402'300'799'999;

std::chrono::microseconds WallOf(int64_t unix_ms, int64_t min_ms) {
  return std::chrono::milliseconds(std::clamp(unix_ms, min_ms, kWallMsMax));
}

}  // namespace

void ClusterClock::OnReport(Time now, raft::NodeId from, int64_t wall_ms) {
  reports_[from] = {wall_ms == 0 ? Wall::zero() : WallOf(wall_ms, 1), now};
}

void ClusterClock::Follow(Time now, int64_t time_ms) {
  time_ = WallOf(time_ms, 0);
  at_ = now;
  slow_ = false;
}

ClusterClock::Wall ClusterClock::RunOn(Time now) const {
  if (time_ == Wall::zero()) return time_;
  const Duration elapsed = std::max(now - at_, Duration::zero());
  return time_ + (slow_ ? elapsed / 2 : elapsed);
}

ClusterClock::Wall ClusterClock::ClockOf(raft::NodeId voter, Time now, Wall own) const {
  if (voter == self_) return own;
  const auto report = reports_.find(voter);
  if (report == reports_.end() || now - report->second.at > kClockReportAge) return Wall::zero();
  if (report->second.wall == Wall::zero()) return own;
  return report->second.wall + (now - report->second.at);
}

void ClusterClock::Advance(Time now, int64_t wall_ms, const raft::Configuration& config) {
  if (time_ != Wall::zero() && now < compare_at_) return;
  compare_at_ = now + kCompareInterval;
  time_ = RunOn(now);
  at_ = now;
  const Wall own = WallOf(wall_ms, 1);
  const raft::Index agreed = config.QuorumIndex([&](raft::NodeId voter) {
    return raft::Index(static_cast<uint64_t>(ClockOf(voter, now, own).count()));
  });
  time_ = std::max(time_, Wall(static_cast<int64_t>(agreed.value())));
  if (DQ_MUTANT(mutants::kOwnClock)) time_ = std::max(time_, own);
  slow_ = config.HasQuorum([&](raft::NodeId voter) {
    const Wall clock = ClockOf(voter, now, own);
    return clock != Wall::zero() && clock + kClockStep < time_;
  });
}

}  // namespace dqueue::node
