// What the state counts as its memory, and what it would have trimmed.
#include <malloc.h>

#include <functional>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "queue/api/limits.h"
#include "queue/state/state_machine.h"
#include "queue/state/testing/command_builder.h"

namespace dqueue::queue {
namespace {

using ::testing::AllOf;
using ::testing::Ge;
using ::testing::Le;

constexpr uint64_t kMany = 1000000;

std::string Id(int i) { return "job-" + std::to_string(100000 + i); }

log::v1::Enqueue::Job JobWithKey(int i) {
  log::v1::Enqueue::Job job = MakeJob(Id(i));
  job.set_idempotency_key("key-" + std::to_string(i));
  job.set_idempotency_window_ms(kIdempotencyWindowMsDefault);
  return job;
}

class MemoryTest : public ::testing::Test {
 protected:
  // Enqueues `count` jobs, in entries of 500, after `change` has changed each.
  void Fill(int count, const std::function<void(int, log::v1::Enqueue::Job*)>& change) {
    for (int i = 0; i < count;) {
      BatchBuilder batch(1000);
      for (int end = std::min(count, i + 500); i < end; ++i) {
        log::v1::Enqueue::Job job = MakeJob(Id(i));
        change(i, &job);
        batch.Enqueue(job);
      }
      ApplyNext(*machine_, batch);
    }
  }
  void Complete(int first, int end, size_t result_bytes = 0) {
    BatchBuilder batch(2000);
    for (int i = first; i < end; ++i) {
      batch.Complete(Id(i), {1, static_cast<uint64_t>(i) + 1}, std::string(result_bytes, 'r'));
    }
    ApplyNext(*machine_, batch);
  }
  void Reject(int first, int end) {
    BatchBuilder batch(2000);
    for (int i = first; i < end; ++i) {
      batch.Fail(Id(i), {1, static_cast<uint64_t>(i) + 1}, "broken", 0, /*reject=*/true);
    }
    ApplyNext(*machine_, batch);
  }
  bool Has(int i) const { return machine_->Find(Id(i)) != JobRef{}; }

  std::unique_ptr<StateMachine> machine_ = std::make_unique<StateMachine>();
};

uint64_t InUse() {
  const struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

// The count against what the allocator gave out, for the states that jobs can be in.
TEST_F(MemoryTest, CountsWithin20PercentOfTheAllocator) {
  struct Row {
    const char* name;
    int jobs;
    size_t payload;
    bool keys;
    bool finish;
  };
  for (const Row& row :
       {Row{"tiny", 60000, 0, false, false}, Row{"small", 60000, 100, false, false},
        Row{"medium", 20000, 1000, false, false}, Row{"large", 200, 700000, false, false},
        Row{"with keys", 40000, 100, true, false}, Row{"finished", 40000, 100, true, true}}) {
    machine_.reset();
    const uint64_t before = InUse();
    machine_ = std::make_unique<StateMachine>();
    Fill(row.jobs, [&](int i, log::v1::Enqueue::Job* job) {
      if (row.keys) *job = JobWithKey(i);
      job->set_payload(std::string(row.payload, 'x'));
    });
    for (int i = 0; row.finish && i < row.jobs; i += 1000) Complete(i, i + 1000, 50);
    const auto allocated = static_cast<double>(InUse() - before);
    const auto counted = static_cast<double>(machine_->memory_bytes());
    EXPECT_THAT(counted / allocated, AllOf(Ge(0.8), Le(1.2)))
        << row.name << ": counted " << counted << ", allocated " << allocated;
  }
}

TEST_F(MemoryTest, JobsAreCountedByWhatBecameOfThem) {
  Fill(3000, [](int i, log::v1::Enqueue::Job* job) {
    *job = JobWithKey(i);
    job->set_payload(std::string(1000, 'x'));
  });
  const StateMemory before = machine_->memory();
  EXPECT_EQ(before.finished + before.dead, 0u);
  EXPECT_GE(before.live, 3000 * 1000u);
  EXPECT_GE(before.ids, 3000 * 100u);
  Complete(0, 1000, 500);
  Reject(1000, 2000);
  const StateMemory memory = machine_->memory();
  EXPECT_NEAR(static_cast<double>(memory.live), static_cast<double>(before.live) / 3, 1000);
  EXPECT_GE(memory.finished, before.live / 3 + 1000 * 500);
  EXPECT_GE(memory.dead, before.live / 3);
  EXPECT_LT(memory.dead, memory.finished);
  EXPECT_EQ(machine_->CheckConsistency(), "");
  ApplyNext(*machine_, BatchBuilder(2000).Retry(Id(1500)));
  EXPECT_GT(machine_->memory().live, memory.live);
  EXPECT_LT(machine_->memory().dead, memory.dead);
  EXPECT_EQ(machine_->CheckConsistency(), "");
}

TEST_F(MemoryTest, WhatWasFreedIsSpare) {
  const auto with_payload = [](int, log::v1::Enqueue::Job* job) {
    job->set_payload(std::string(500, 'x'));
  };
  Fill(20000, with_payload);
  const StateMemory full = machine_->memory();
  for (int i = 0; i < 20000; i += 1000) {
    BatchBuilder batch(1000);
    for (int j = i; j < i + 1000; ++j) batch.Delete(Id(j));
    ApplyNext(*machine_, batch);
  }
  const StateMemory empty = machine_->memory();
  EXPECT_EQ(empty.live, 0u);
  EXPECT_GE(empty.spare, 20000 * 120u);
  EXPECT_LT(empty.total(), full.total() / 2);
  Fill(20000, with_payload);
  EXPECT_LE(machine_->memory().total(), full.total() + full.total() / 50);
}

TEST_F(MemoryTest, AnAbandonedImageFreesItsCopies) {
  Fill(1000, [](int, log::v1::Enqueue::Job* job) { job->set_payload(std::string(1000, 'x')); });
  machine_->BeginSnapshot();
  Complete(0, 500);
  EXPECT_GE(machine_->memory().image, 500 * 1000u);
  machine_->AbandonSnapshot();
  EXPECT_LT(machine_->memory().image, 100u);
}

// At four MiB, or 1/32 of the jobs; also if one entry changes every record.
TEST_F(MemoryTest, AnImageIsGivenUpBeforeItsCopiesUseUpTheMemory) {
  Fill(1000, [](int, log::v1::Enqueue::Job* job) { job->set_payload(std::string(50000, 'x')); });
  machine_->BeginSnapshot();
  Complete(0, 80);
  EXPECT_TRUE(machine_->snapshot_running());
  Complete(80, 1000);
  EXPECT_FALSE(machine_->snapshot_running());
  EXPECT_LT(machine_->memory().image, 100u);
  EXPECT_EQ(machine_->CheckConsistency(), "");
  // The next one is whole.
  const std::string image = TakeImage(*machine_);
  StateMachine restored;
  EXPECT_TRUE(Restore(image, machine_->applied_index(), machine_->Digest(), &restored).ok());
}

TEST_F(MemoryTest, TrimTakesThoseWhoseTimeEndsFirst) {
  Fill(12, [](int i, log::v1::Enqueue::Job* job) {
    *job = JobWithKey(i);
    job->set_retention_ms(i == 3 ? 1000 : 5000);
  });
  Complete(0, 6);
  Reject(6, 10);
  const CommandResult result =
      ApplyNext(*machine_, BatchBuilder(2000).Trim({.finished = 2, .dead = 1, .ids = 3})).back();
  EXPECT_EQ(result.code, ResultCode::kOk);
  EXPECT_FALSE(Has(3)) << "its retention is the shortest";
  EXPECT_FALSE(Has(0));
  EXPECT_TRUE(Has(1));
  EXPECT_FALSE(Has(6));
  EXPECT_TRUE(Has(7));
  EXPECT_EQ(machine_->job_count(), 9u);
  EXPECT_EQ(machine_->CheckConsistency(), "");
  // More than there is: all that is finished goes, and nothing else.
  ApplyNext(*machine_, BatchBuilder(2000).Trim({.finished = 99, .dead = 99, .ids = 99}));
  EXPECT_EQ(machine_->job_count(), 2u);
  EXPECT_TRUE(Has(10) && Has(11));
  EXPECT_EQ(machine_->CheckConsistency(), "");
  // The keys of the jobs that wait are still taken.
  BatchBuilder again(2000);
  for (const int i : {5, 10}) {
    log::v1::Enqueue::Job job = JobWithKey(i);
    job.set_id("other-" + std::to_string(i));
    job.set_retention_ms(5000);
    again.Enqueue(job);
  }
  const std::vector<CommandResult> results = ApplyNext(*machine_, again);
  EXPECT_EQ(results[0].code, ResultCode::kOk);
  EXPECT_EQ(results[1].code, ResultCode::kExisting);
}

TEST_F(MemoryTest, RequestsOfJobsThatAreGoneCountAsIds) {
  const uint64_t before = InUse();
  machine_ = std::make_unique<StateMachine>();
  ApplyNext(*machine_, BatchBuilder(1000).Level(1));
  Fill(40000, [](int, log::v1::Enqueue::Job* job) {
    job->set_id_of_request(true);
    job->set_retention_ms(0);
  });
  EXPECT_EQ(machine_->memory().ids, 0u) << "the jobs are there";
  for (int i = 0; i < 40000; i += 1000) Complete(i, i + 1000);
  ApplyNext(*machine_, BatchBuilder(3000));
  ASSERT_EQ(machine_->job_count(), 0u);
  ASSERT_EQ(machine_->used_request_ids().count, 40000u);
  const uint64_t ids = machine_->memory().ids;
  EXPECT_THAT(ids / 40000, AllOf(Ge(50), Le(80)));
  const auto allocated = static_cast<double>(InUse() - before);
  EXPECT_THAT(static_cast<double>(machine_->memory_bytes()) / allocated, AllOf(Ge(0.8), Le(1.2)));
  // The bytes that are planned to go are those that go.
  const TrimPlan plan = machine_->PlanTrim({.bytes = ids / 2}, {}, kMany);
  EXPECT_EQ(plan.counts, (TrimCounts{.requests = 20000}));
  EXPECT_TRUE(machine_->ExceedsFar({.bytes = ids / 2}));
  EXPECT_TRUE(machine_->PlanTrim({.bytes = ids / 2}, plan, kMany).counts.empty());
  EXPECT_EQ(machine_->PlanTrim({.bytes = ids / 2}, {}, 7).counts, (TrimCounts{.requests = 7}));
  EXPECT_TRUE(machine_->PlanTrim({.count = 1}, {}, kMany).counts.empty()) << "kRequestsMax";
  ApplyNext(*machine_, BatchBuilder(3000).Trim(plan.counts));
  EXPECT_EQ(machine_->memory().ids, ids - plan.requests_bytes);
  EXPECT_FALSE(machine_->ExceedsFar({.bytes = ids / 2}));
  EXPECT_EQ(machine_->CheckConsistency(), "");
  // The oldest went: the first jobs can be created again, the last ones not.
  BatchBuilder again(3000);
  for (const int i : {0, 39999}) {
    log::v1::Enqueue::Job job = MakeJob(Id(i));
    job.set_id_of_request(true);
    job.set_retention_ms(0);
    again.Enqueue(job);
  }
  const std::vector<CommandResult> results = ApplyNext(*machine_, again);
  EXPECT_EQ(results[0].code, ResultCode::kOk);
  EXPECT_EQ(results[1].code, ResultCode::kExisting);
}

// A trim takes requests that a walk over an image has not reached yet.
TEST_F(MemoryTest, AnImageHasTheRequestsThatWereTrimmedMeanwhile) {
  ApplyNext(*machine_, BatchBuilder(1000).Level(1));
  Fill(100, [](int, log::v1::Enqueue::Job* job) {
    job->set_id_of_request(true);
    job->set_retention_ms(0);
  });
  Complete(0, 100);
  ApplyNext(*machine_, BatchBuilder(3000));
  ASSERT_EQ(machine_->used_request_ids().count, 100u);
  const raft::Index index = machine_->applied_index();
  const uint64_t digest = machine_->Digest();
  machine_->BeginSnapshot();
  std::string image;
  machine_->ContinueSnapshot(1, &image);
  ApplyNext(*machine_, BatchBuilder(3000).Trim({.requests = 60}));
  while (!machine_->ContinueSnapshot(100, &image)) {
  }
  StateMachine restored;
  const absl::Status status = Restore(image, index, digest, &restored);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(restored.used_request_ids().count, 100u);
  EXPECT_EQ(machine_->used_request_ids().count, 40u);
}

TEST_F(MemoryTest, AKeyIsSpentWhileItsJobIsDone) {
  Fill(3, [](int i, log::v1::Enqueue::Job* job) { *job = JobWithKey(i); });
  const auto spent = [&] { return machine_->PlanTrim({.count = 1}, {}, 100).counts.ids; };
  EXPECT_EQ(spent(), 0u) << "all jobs wait";
  Reject(0, 1);
  EXPECT_EQ(spent(), 1u);
  ApplyNext(*machine_, BatchBuilder(2000).Retry(Id(0)));
  EXPECT_EQ(spent(), 0u);
  ApplyNext(*machine_, BatchBuilder(2000).Delete(Id(0)));
  EXPECT_EQ(spent(), 1u);
  // An image does not hold it: it follows from the jobs.
  const std::string image = TakeImage(*machine_);
  StateMachine restored;
  ASSERT_TRUE(Restore(image, machine_->applied_index(), machine_->Digest(), &restored).ok());
  EXPECT_EQ(restored.PlanTrim({.count = 1}, {}, 100).counts.ids, 1u);
  EXPECT_EQ(restored.CheckConsistency(), "");
  EXPECT_EQ(restored.memory().live, machine_->memory().live);
  EXPECT_EQ(restored.memory().ids, machine_->memory().ids);
}

TEST_F(MemoryTest, APlanKeepsTheCount) {
  Fill(100, [](int, log::v1::Enqueue::Job*) {});
  Complete(0, 60);
  Reject(60, 70);
  const auto plan = [&](uint64_t limit, const TrimPlan& proposed, uint32_t max) {
    return machine_->PlanTrim({.count = limit}, proposed, max).counts;
  };
  EXPECT_TRUE(plan(0, {}, kMany).empty()) << "no limit";
  EXPECT_TRUE(plan(60, {}, kMany).empty());
  EXPECT_EQ(plan(50, {}, kMany), (TrimCounts{.finished = 10}));
  EXPECT_EQ(plan(4, {}, kMany), (TrimCounts{.finished = 56, .dead = 6}));
  EXPECT_EQ(plan(4, {}, 20), (TrimCounts{.finished = 20, .dead = 6}));
  EXPECT_EQ(plan(4, {.counts = {.finished = 50, .dead = 6}}, 20), (TrimCounts{.finished = 6}));
  EXPECT_TRUE(plan(4, {.counts = {.finished = 56, .dead = 7}}, 20).empty());
  EXPECT_FALSE(machine_->ExceedsFar({.count = 60}));
  EXPECT_FALSE(machine_->ExceedsFar({.count = 59})) << "1/32 above the limit is not far";
  EXPECT_TRUE(machine_->ExceedsFar({.count = 50}));
  EXPECT_FALSE(machine_->ExceedsFar({}));
}

TEST_F(MemoryTest, APlanKeepsTheBytes) {
  Fill(100, [](int i, log::v1::Enqueue::Job* job) {
    job->set_payload(std::string(i < 10 ? 10000 : 100, 'x'));
  });
  Complete(0, 100);
  const uint64_t all = machine_->memory().finished;
  EXPECT_TRUE(machine_->PlanTrim({.bytes = all}, {}, kMany).counts.empty());
  EXPECT_EQ(machine_->PlanTrim({.bytes = all - 1}, {}, kMany).counts, (TrimCounts{.finished = 1}));
  const TrimPlan some = machine_->PlanTrim({.bytes = all - 50000}, {}, kMany);
  EXPECT_EQ(some.counts, (TrimCounts{.finished = 5})) << "the large ones are the first";
  // While these are on their way, only the rest is planned.
  EXPECT_TRUE(machine_->PlanTrim({.bytes = all - 50000}, some, kMany).counts.empty());
  EXPECT_EQ(machine_->PlanTrim({.bytes = all - 60000}, some, kMany).counts,
            (TrimCounts{.finished = 1}));
  ApplyNext(*machine_, BatchBuilder(2000).Trim(some.counts));
  EXPECT_EQ(machine_->memory().finished, all - some.finished_bytes);
  EXPECT_TRUE(machine_->PlanTrim({.bytes = all - 50000}, {}, kMany).counts.empty());
}

}  // namespace
}  // namespace dqueue::queue
