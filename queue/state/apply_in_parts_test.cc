// An entry that is applied in parts has the effects of one that is applied at once, and no part is
// much longer than its budget.
#include <chrono>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "queue/state/state_machine.h"
#include "queue/state/testing/command_builder.h"

namespace dqueue::queue {
namespace {

using namespace std::chrono_literals;  // NOLINT
using ::testing::ElementsAre;

constexpr Duration kBudget = 100us;
// The most that a part may exceed its budget by: one command, or one step of housekeeping.
constexpr int64_t kOneMoreNs = 20'000;

class ApplyInPartsTest : public ::testing::Test {
 protected:
  ~ApplyInPartsTest() override {
    EXPECT_EQ(machine_.CheckConsistency(), "");
    EXPECT_EQ(machine_.Digest(), machine_.RecomputeDigest());
  }

  // Applies the batch to `whole_` at once and to `machine_` in parts; the number of parts.
  int Apply(const BatchBuilder& batch) {
    const std::string bytes = batch.Bytes();
    Effects at_once;
    whole_.Apply(whole_.applied_index().Next(), bytes, &at_once);
    const raft::Index before = machine_.applied_index();
    effects_ = {};
    machine_.BeginApply(before.Next(), bytes, &effects_);
    int parts = 0;
    for (bool applied = false; !applied; ++parts) {
      EXPECT_TRUE(machine_.applying());
      EXPECT_EQ(machine_.applied_index(), before) << "an entry in part is not applied";
      WorkBudget budget(kBudget);
      applied = machine_.ContinueApply(&budget);
      EXPECT_LE(budget.spent_ns(), kBudget.count() * 1000 + kOneMoreNs);
      EXPECT_TRUE(applied || budget.Exhausted());
    }
    EXPECT_FALSE(machine_.applying());
    EXPECT_EQ(machine_.applied_index(), before.Next());
    EXPECT_EQ(machine_.Digest(), whole_.Digest());
    EXPECT_EQ(effects_.results.size(), at_once.results.size());
    EXPECT_EQ(effects_.events.size(), at_once.events.size());
    for (size_t i = 0; i < effects_.results.size(); ++i) {
      EXPECT_EQ(effects_.results[i].code, at_once.results[i].code);
      EXPECT_EQ(effects_.results[i].existing, at_once.results[i].existing);
      EXPECT_EQ(effects_.results[i].sequences, at_once.results[i].sequences);
    }
    return parts;
  }

  StateMachine machine_;
  StateMachine whole_;
  Effects effects_;
};

log::v1::Enqueue::Job Job(int i) {
  log::v1::Enqueue::Job job = MakeJob("j" + std::to_string(i));
  job.set_retention_ms(1000);
  return job;
}

TEST_F(ApplyInPartsTest, ManyCommands) {
  BatchBuilder batch(1000);
  for (int i = 0; i < 2000; ++i) batch.Enqueue(Job(i));
  EXPECT_GT(Apply(batch), 10);
  EXPECT_EQ(machine_.job_count(), 2000u);
  BatchBuilder cancels(2000);
  for (int i = 0; i < 2000; ++i) cancels.Cancel("j" + std::to_string(i));
  EXPECT_GT(Apply(cancels), 10);
}

TEST_F(ApplyInPartsTest, ManyJobsInOneCommand) {
  std::vector<log::v1::Enqueue::Job> jobs;
  for (int i = 0; i < 3000; ++i) jobs.push_back(Job(i));
  jobs.push_back(Job(7));  // repeated
  EXPECT_GT(Apply(BatchBuilder(1000).EnqueueAll(jobs)), 30);
  ASSERT_EQ(effects_.results.size(), 1u);
  EXPECT_THAT(effects_.results[0].existing, ElementsAre(std::pair(3000u, std::string("j7"))));
  EXPECT_EQ(machine_.job_count(), 3000u);
}

TEST_F(ApplyInPartsTest, ARefusedCommandCreatesNothing) {
  Apply(BatchBuilder(1000).Enqueue(Job(2999)));
  std::vector<log::v1::Enqueue::Job> jobs;
  for (int i = 0; i < 3000; ++i) jobs.push_back(Job(i));
  jobs.back().set_payload("another");
  EXPECT_GT(Apply(BatchBuilder(1000).EnqueueAll(jobs)), 5);
  EXPECT_EQ(effects_.results[0].code, ResultCode::kDuplicateJob);
  EXPECT_EQ(effects_.results[0].failed_item, 2999u);
  EXPECT_EQ(machine_.job_count(), 1u);
}

// Jobs that become due, expire and are forgotten, and keys whose windows end.
TEST_F(ApplyInPartsTest, Housekeeping) {
  BatchBuilder batch(1000);
  for (int i = 0; i < 1500; ++i) {
    log::v1::Enqueue::Job job = Job(i);
    if (i % 3 == 0) job.set_run_time_ms(5000);
    if (i % 3 == 1) job.set_expire_time_ms(5000);
    job.set_idempotency_key("k" + std::to_string(i));
    job.set_idempotency_window_ms(4000);
    batch.Enqueue(job);
  }
  for (int i = 2; i < 1500; i += 3) batch.Cancel("j" + std::to_string(i));
  Apply(batch);
  EXPECT_GT(Apply(BatchBuilder(5000)), 20);
  EXPECT_EQ(machine_.job_count(), 1000u);
}

TEST_F(ApplyInPartsTest, HoldsMayEndBetweenTwoParts) {
  BatchBuilder batch(1000);
  for (int i = 0; i < 500; ++i) batch.Enqueue(Job(i));
  Apply(batch);
  std::vector<JobRef> held;
  machine_.TakeReady(std::vector<std::string>{"q"}, {}, 500, &held);
  ASSERT_EQ(held.size(), 500u);
  BatchBuilder cancels(2000);
  for (int i = 0; i < 500; ++i) cancels.Cancel("j" + std::to_string(i));
  const std::string bytes = cancels.Bytes();
  whole_.Apply(whole_.applied_index().Next(), bytes, nullptr);
  machine_.BeginApply(machine_.applied_index().Next(), bytes, &effects_);
  for (bool applied = false; !applied;) {
    WorkBudget budget(kBudget);
    applied = machine_.ContinueApply(&budget);
    machine_.ReleaseSome(10);
  }
  machine_.ReleaseAll();
  EXPECT_EQ(machine_.Digest(), whole_.Digest());
}

TEST_F(ApplyInPartsTest, NothingElseMayBeginInBetween) {
  BatchBuilder batch(1000);
  for (int i = 0; i < 500; ++i) batch.Enqueue(Job(i));
  const std::string bytes = batch.Bytes();
  whole_.Apply(raft::Index(1), bytes, nullptr);
  machine_.BeginApply(raft::Index(1), bytes, nullptr);
  WorkBudget budget(kBudget);
  ASSERT_FALSE(machine_.ContinueApply(&budget));
  EXPECT_DEATH(machine_.BeginSnapshot(), "applied in part");
  EXPECT_DEATH(machine_.ApplyNothing(raft::Index(1)), "applying");
  EXPECT_DEATH(machine_.BeginApply(raft::Index(1), bytes, nullptr), "one entry at a time");
  WorkBudget rest = WorkBudget::Unlimited();
  EXPECT_TRUE(machine_.ContinueApply(&rest));
  EXPECT_DEATH(machine_.ContinueApply(&rest), "no entry was begun");
}

// Otherwise a resumed queue of 300,000 types holds the loop.
TEST_F(ApplyInPartsTest, ResumingAQueueIsOneEventHoweverManyTypesItHas) {
  BatchBuilder batch(1000);
  for (int i = 0; i < 300; ++i)
    batch.Enqueue(MakeJob("j" + std::to_string(i), "q", "t" + std::to_string(i)));
  Apply(batch.Pause("q"));
  EXPECT_EQ(machine_.ReadyTypes("q"), 0u) << "it is paused";
  Apply(BatchBuilder(1000).Resume("q"));
  ASSERT_EQ(effects_.events.size(), 1u);
  EXPECT_EQ(std::get<QueueResumed>(effects_.events[0]).queue, "q");
  EXPECT_EQ(machine_.ReadyTypes("q"), 300u);
  EXPECT_EQ(machine_.ReadyTypes("none"), 0u);
}

}  // namespace
}  // namespace dqueue::queue
