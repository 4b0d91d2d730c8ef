#include "queue/broker/commands/backoff.h"

#include <algorithm>
#include <cstdint>
#include <random>

#include "dqueue/v1/job.pb.h"
#include "gtest/gtest.h"
#include "queue/api/limits.h"

namespace dqueue::queue {
namespace {

constexpr uint32_t kNone = v1::RetryPolicy::BACKOFF_NONE;
constexpr uint32_t kFixed = v1::RetryPolicy::BACKOFF_FIXED;
constexpr uint32_t kLinear = v1::RetryPolicy::BACKOFF_LINEAR;
constexpr uint32_t kExponential = v1::RetryPolicy::BACKOFF_EXPONENTIAL;

TEST(Backoff, FollowsTheFormulas) {
  struct Case {
    uint32_t backoff;
    int64_t base;
    int64_t max;
    uint64_t failures;
    int64_t delay;
  };
  const Case cases[] = {
      {kNone, 1000, 60000, 1, 0},
      {kNone, 1000, 60000, 99, 0},
      {kFixed, 1000, 60000, 1, 1000},
      {kFixed, 1000, 60000, 50, 1000},
      {kLinear, 1000, 60000, 1, 1000},
      {kLinear, 1000, 60000, 3, 3000},
      {kLinear, 1000, 60000, 60, 60000},
      {kLinear, 1000, 60000, 61, 60000},
      {kExponential, 1000, 60000, 1, 1000},
      {kExponential, 1000, 60000, 2, 2000},
      {kExponential, 1000, 60000, 6, 32000},
      {kExponential, 1000, 60000, 7, 60000},
      {0, 1000, 60000, 2, 2000},   // not given: exponential
      {77, 1000, 60000, 2, 2000},  // from a newer version: exponential
      // Nothing overflows.
      {kLinear, kBackoffBaseMsMax, kBackoffMsMax, UINT64_MAX, kBackoffMsMax},
      {kExponential, 1, kBackoffMsMax, 32, int64_t{1} << 31},
      {kExponential, 1, kBackoffMsMax, 33, kBackoffMsMax},
      {kExponential, 1, kBackoffMsMax, 64, kBackoffMsMax},
      {kExponential, 1, kBackoffMsMax, 65, kBackoffMsMax},
      {kExponential, 1, kBackoffMsMax, UINT64_MAX, kBackoffMsMax},
      {kFixed, INT64_MAX, INT64_MAX, 1, kBackoffMsMax},
      // Nonsense from a log is brought into range.
      {kFixed, 5000, 1000, 1, 1000},
      {kFixed, -5, 1000, 1, 0},
      {kLinear, 0, 1000, 5, 0},
      {kExponential, 0, 1000, 70, 0},
      {kFixed, 100, -1, 1, 0},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(RetryDelayMs({c.backoff, c.base, c.max, 0}, c.failures, 12345), c.delay)
        << "backoff " << c.backoff << " base " << c.base << " max " << c.max << " failures "
        << c.failures;
  }
}

TEST(Backoff, JitterSpreadsEvenlyOverItsRange) {
  std::mt19937_64 random(7);
  const BackoffPolicy policy{kFixed, 1000, 1000, 200};
  int64_t least = INT64_MAX;
  int64_t most = 0;
  int64_t sum = 0;
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) {
    const int64_t delay = RetryDelayMs(policy, 1, random());
    least = std::min(least, delay);
    most = std::max(most, delay);
    sum += delay;
  }
  EXPECT_EQ(least, 800);
  EXPECT_EQ(most, 1200);
  EXPECT_NEAR(static_cast<double>(sum) / kDraws, 1000, 5);
}

TEST(Backoff, JitterIsAddedAfterTheCap) {
  EXPECT_EQ(RetryDelayMs({kExponential, 1000, 4000, 500}, 10, 4000), 6000);
  EXPECT_EQ(RetryDelayMs({kExponential, 1000, 4000, 500}, 10, 0), 2000);
}

TEST(Backoff, WholeJitterReachesZeroAndDouble) {
  EXPECT_EQ(RetryDelayMs({kFixed, 1000, 1000, 1000}, 1, 0), 0);
  EXPECT_EQ(RetryDelayMs({kFixed, 1000, 1000, 1000}, 1, 2000), 2000);
  // More than 1 counts as 1.
  EXPECT_EQ(RetryDelayMs({kFixed, 1000, 1000, 4000000}, 1, 0), 0);
  EXPECT_LE(RetryDelayMs({kFixed, kBackoffMsMax, kBackoffMsMax, 1000}, 1, UINT64_MAX),
            2 * kBackoffMsMax);
}

}  // namespace
}  // namespace dqueue::queue
