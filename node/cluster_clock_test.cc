#include "node/cluster_clock.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace dqueue::node {
namespace {

using namespace std::chrono_literals;

constexpr int64_t kNoon = 1'800'000'000'000;  // the true time at the start, Unix ms
constexpr int64_t kHour = 3'600'000;
constexpr int64_t kYear = 365 * 24 * kHour;

raft::Configuration Voters(uint64_t count) {
  raft::Configuration config;
  for (uint64_t id = 1; id <= count; ++id) config.voters.push_back({raft::NodeId(id), "", "", {}});
  return config;
}

// Node 1 leads. Wall clocks are true plus `off[id - 1]`.
class ClusterClockTest : public ::testing::Test {
 protected:
  static constexpr int64_t kDown = INT64_MIN;

  void SetUp() override { Run(0ms, {0, 0, 0}); }

  // Runs for `time`: a message of each other voter that is not kDown arrives every 50 ms.
  void Run(Duration time, const std::vector<int64_t>& off) {
    const raft::Configuration config = Voters(off.size());
    for (const Time end = now_ + time;;) {
      for (size_t i = 1; i < off.size(); ++i) {
        if (off[i] == kDown) continue;
        clock_.OnReport(now_, raft::NodeId(i + 1), TrueMs() + off[i]);
      }
      clock_.Advance(now_, TrueMs() + off[0], config);
      if (now_ >= end) return;
      now_ = std::min(end, now_ + 50ms);
    }
  }
  int64_t TrueMs() const { return kNoon + (now_ - kStart) / 1ms; }
  // How far the cluster's time is ahead of the true time, in milliseconds.
  int64_t Ahead() const { return clock_.NowMs(now_) - TrueMs(); }

  static constexpr Time kStart{7h};
  Time now_ = kStart;
  ClusterClock clock_{raft::NodeId(1)};
};

TEST_F(ClusterClockTest, FollowsTheClocksOfAMajority) {
  Run(10s, {0, 0, 0});
  EXPECT_EQ(Ahead(), 0);
}

TEST_F(ClusterClockTest, OneClockThatJumpsMovesNothing) {
  for (const int64_t jump : {kHour, -kHour, kYear, -kYear, INT64_MAX / 2, INT64_MIN / 2}) {
    for (size_t node = 0; node < 3; ++node) {
      std::vector<int64_t> off = {0, 0, 0};
      off[node] = jump;
      Run(30s, off);
      EXPECT_EQ(Ahead(), 0) << "node " << node + 1 << " jumped by " << jump << " ms";
    }
  }
}

TEST_F(ClusterClockTest, OneClockThatJumpsWhileAnotherMemberIsDownMovesNothing) {
  Run(20s, {0, 0, kDown});
  for (const int64_t jump : {kHour, -kHour, kYear, -kYear}) {
    Run(30s, {jump, 0, kDown});
    EXPECT_EQ(Ahead(), 0) << "the leader jumped by " << jump << " ms";
    Run(30s, {0, jump, kDown});
    EXPECT_EQ(Ahead(), 0) << "the other jumped by " << jump << " ms";
  }
}

TEST_F(ClusterClockTest, OneClockThatRunsFastOrSlowMovesNothing) {
  for (int64_t off = 0; off < 60'000; off += 300) {
    Run(50ms, {off, 0, 0});
    ASSERT_EQ(Ahead(), 0);
    Run(50ms, {0, -off, 0});
    ASSERT_EQ(Ahead(), 0);
  }
}

TEST_F(ClusterClockTest, AdvancesWithAMajority) {
  Run(1s, {0, kHour, kHour + 10});
  EXPECT_EQ(Ahead(), kHour);
}

TEST_F(ClusterClockTest, RunsAtHalfSpeedWhileAMajorityIsEarlier) {
  Run(1s, {4000, 4000, 0});
  ASSERT_EQ(Ahead(), 4000);
  Run(2s, {0, 0, 0});
  EXPECT_NEAR(Ahead(), 3000, 50);
  Run(60s, {0, 0, 0});
  EXPECT_NEAR(Ahead(), 500, 50);  // kClockStep
}

TEST_F(ClusterClockTest, ForgetsTheClockOfAMemberThatIsSilent) {
  Run(5s, {0, 0, kHour});
  EXPECT_EQ(Ahead(), 0);
  // Member 3 was cut off while it was wrong. Its report must not make a majority later.
  Run(11s, {0, 0, kDown});
  Run(1s, {kHour, 0, kDown});
  EXPECT_EQ(Ahead(), 0);
}

TEST_F(ClusterClockTest, IsUnknownWithoutAMajority) {
  ClusterClock fresh(raft::NodeId(1));
  const raft::Configuration config = Voters(3);
  fresh.Advance(now_, kNoon, config);
  EXPECT_EQ(fresh.NowMs(now_), 0);
  fresh.OnReport(now_, raft::NodeId(3), kNoon - 20);
  fresh.Advance(now_, kNoon, config);
  EXPECT_EQ(fresh.NowMs(now_), kNoon - 20);
}

TEST_F(ClusterClockTest, ANodeAloneIsAMajority) {
  ClusterClock alone(raft::NodeId(1));
  alone.Advance(now_, kNoon, Voters(1));
  EXPECT_EQ(alone.NowMs(now_), kNoon);
  alone.Advance(now_ + 1s, kNoon + kHour, Voters(1));
  EXPECT_EQ(alone.NowMs(now_ + 1s), kNoon + kHour);
}

TEST_F(ClusterClockTest, ANewLeaderContinuesWhereTheLastOneWas) {
  ClusterClock follower(raft::NodeId(2));
  follower.Follow(now_, kNoon + 123);
  now_ += 3s;
  EXPECT_EQ(follower.NowMs(now_), kNoon + 3123);
  // It leads; only member 3 is left, and its clock is an hour behind.
  follower.OnReport(now_, raft::NodeId(3), kNoon - kHour);
  follower.Advance(now_, kNoon + 3123, Voters(3));
  EXPECT_EQ(follower.NowMs(now_), kNoon + 3123);
}

TEST_F(ClusterClockTest, AMemberThatTellsNoTimeCountsAsThisNode) {
  ClusterClock fresh(raft::NodeId(1));
  fresh.OnReport(now_, raft::NodeId(2), 0);
  fresh.Advance(now_, kNoon, Voters(3));
  EXPECT_EQ(fresh.NowMs(now_), kNoon);
}

TEST_F(ClusterClockTest, ChangesOfVotersNeedBothMajorities) {
  raft::Configuration joint = Voters(1);
  joint.outgoing = Voters(3).voters;
  clock_.OnReport(now_, raft::NodeId(2), TrueMs());
  clock_.OnReport(now_, raft::NodeId(3), TrueMs());
  now_ += 10ms;
  clock_.Advance(now_, TrueMs() + kHour, joint);
  EXPECT_EQ(Ahead(), 0);
}

}  // namespace
}  // namespace dqueue::node
