#include "sim/checkers/clock_checker.h"

#include <algorithm>
#include <functional>
#include <string>

#include "node/cluster_clock.h"
#include "sim/checkers/violation.h"
#include "sim/sim_node.h"
#include "sim/world.h"

namespace dqueue::sim {
namespace {

// A message with a clock may be on its way for so long.
constexpr Duration kOnTheWay = std::chrono::seconds(10);
// A turn of the loop, and rounding.
constexpr Duration kTurn = std::chrono::milliseconds(20);

}  // namespace

void ClockChecker::BeforeJump(const SimNode& node) {
  greatest_ = std::max(greatest_, OffsetOfMajority());
  earlier_.resize(static_cast<size_t>(world_->size()));
  earlier_[static_cast<size_t>(node.number() - 1)].push_back(
      {node.clock().wall_offset(), world_->now()});
}

Duration ClockChecker::OffsetOfMajority() const {
  std::vector<Duration> offsets;
  for (int number = 1; number <= world_->size(); ++number) {
    Duration offset = world_->node(number).clock().wall_offset();
    const auto index = static_cast<size_t>(number - 1);
    if (index < earlier_.size()) {
      for (const Shown& shown : earlier_[index]) {
        if (shown.until + node::kClockReportAge + kOnTheWay < world_->now()) continue;
        offset = std::max(offset, shown.offset);
      }
    }
    offsets.push_back(offset);
  }
  std::sort(offsets.begin(), offsets.end(), std::greater<>());
  return offsets[static_cast<size_t>(world_->majority() - 1)];
}

void ClockChecker::AfterApply(const SimNode& node) {
  greatest_ = std::max(greatest_, OffsetOfMajority());
  // Without a leader, or with old reports, the time runs with a monotonic clock that drifts.
  const Duration drift =
      world_->now().time_since_epoch() * world_->profile().clock.drift_ppm / 1'000'000;
  const int64_t time_ms = node.node().state().time_ms();
  const int64_t limit_ms =
      NodeClock().WallMs(world_->now() + greatest_ + node::kClockStep + drift + kTurn);
  if (time_ms > limit_ms) {
    Violate("J32 time", node.name() + " applied the time " + std::to_string(time_ms) + ", " +
                            std::to_string(time_ms - limit_ms) +
                            " ms beyond the wall clocks of a majority");
  }
}

}  // namespace dqueue::sim
