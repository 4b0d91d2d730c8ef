#include "queue/broker/reports/job_times.h"

#include <string>

#include "gtest/gtest.h"

namespace dqueue::queue {
namespace {

using std::chrono::milliseconds;

TEST(JobTimes, CountsByQueueAndEnd) {
  JobTimes times;
  const uint32_t a = times.Number("a");
  const uint32_t b = times.Number("b");
  EXPECT_EQ(times.Number("a"), a);
  times.Dispatched(a, milliseconds(20));
  times.Dispatched(a, milliseconds(30));
  times.Dispatched(b, milliseconds(40));
  times.Ended(a, AttemptEnd::kCompleted, milliseconds(500));
  times.Ended(a, AttemptEnd::kCompleted, std::nullopt);
  times.Ended(a, AttemptEnd::kExpired, milliseconds(700));
  const QueueTimes& of_a = times.queues()[a];
  EXPECT_EQ(of_a.queue, "a");
  EXPECT_EQ(of_a.dispatched, 2u);
  EXPECT_EQ(of_a.waited.count(), 2u);
  EXPECT_DOUBLE_EQ(of_a.waited.sum_seconds(), 0.05);
  EXPECT_EQ(of_a.held.count(), 1u) << "only what was completed and timed";
  EXPECT_DOUBLE_EQ(of_a.held.sum_seconds(), 0.5);
  EXPECT_EQ(of_a.ended[static_cast<size_t>(AttemptEnd::kCompleted)], 2u);
  EXPECT_EQ(of_a.ended[static_cast<size_t>(AttemptEnd::kExpired)], 1u);
  EXPECT_EQ(times.queues()[b].dispatched, 1u);
}

TEST(JobTimes, QueuesThatAreTooManyAreCountedTogether) {
  JobTimes times;
  for (uint32_t i = 1; i <= kTimedQueuesMax; ++i) {
    EXPECT_EQ(times.Number("q" + std::to_string(i)), i);
  }
  EXPECT_EQ(times.Number("one more"), 0u);
  EXPECT_EQ(times.Number("and one"), 0u);
  EXPECT_EQ(times.Number("q1"), 1u) << "known ones keep theirs";
  times.Dispatched(times.Number("one more"), milliseconds(1));
  EXPECT_EQ(times.queues().size(), kTimedQueuesMax + 1);
  EXPECT_EQ(times.queues()[0].queue, "");
  EXPECT_EQ(times.queues()[0].dispatched, 1u);
}

TEST(JobTimes, ForgottenQueuesGiveTheirNumbersBack) {
  JobTimes times;
  for (uint32_t i = 1; i <= kTimedQueuesMax; ++i) times.Number("q" + std::to_string(i));
  ASSERT_TRUE(times.full());
  times.Dispatched(times.Number("q7"), milliseconds(1));
  times.ForgetQueues([](const std::string& name) { return name != "q7"; });
  EXPECT_FALSE(times.full());
  EXPECT_EQ(times.Number("new"), 7u);
  EXPECT_EQ(times.queues()[7].dispatched, 0u) << "the times are dropped with the queue";
  EXPECT_EQ(times.queues()[0].dispatched, 0u) << "and not counted again with the others";
  EXPECT_EQ(times.Number("q7"), 0u);
  EXPECT_EQ(times.Number("q8"), 8u);
}

// A million queues, of which few exist at a time.
TEST(JobTimes, NamesThatComeAndGoTakeNoRoom) {
  JobTimes times;
  for (uint32_t i = 0; i < 1'000'000; ++i) {
    const std::string name = "q" + std::to_string(i);
    ASSERT_NE(times.Number(name), 0u);
    if (times.full()) times.ForgetQueues([&](const std::string& other) { return other == name; });
  }
  EXPECT_LE(times.queues().size(), kTimedQueuesMax + 1);
}

}  // namespace
}  // namespace dqueue::queue
