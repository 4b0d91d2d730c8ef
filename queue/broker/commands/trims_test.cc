// What the leader has the log trim: BrokerOptions::keep.
#include <string>

#include "gtest/gtest.h"
#include "queue/broker/testing/broker_fixture.h"
#include "queue/state/state_level.h"
#include "queue/state/testing/command_builder.h"

namespace dqueue::queue {
namespace {

class TrimsTest : public BrokerTest {
 protected:
  void SetUp() override {
    BrokerTest::SetUp();
    RaiseTo(kTrimLevel);
  }
  void RaiseTo(uint32_t level) { ApplyForeign(BatchBuilder(wall_ms_).Level(level).batch()); }
  void Keep(KeepLimits limits) {
    BrokerOptions options;
    options.keep = limits;
    Make(options, ++term_);
  }
  // Enqueues, leases and completes so many jobs.
  void Finish(int count) {
    for (int i = 0; i < count; ++i) {
      Enqueue("job-" + std::to_string(next_++));
      EXPECT_EQ(Do<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(LeaseOne())), "OK");
    }
  }
  bool Has(int number) const { return state_->Find("job-" + std::to_string(number)) != JobRef{}; }

  uint64_t term_ = 1;
  int next_ = 0;
};

TEST_F(TrimsTest, TheOldestFinishedJobsGo) {
  Keep({.count = 10});
  Finish(25);
  EXPECT_EQ(state_->job_count(), 10u);
  EXPECT_FALSE(Has(14));
  EXPECT_TRUE(Has(15));
  EXPECT_TRUE(Has(24));
  EXPECT_EQ(broker_->gauges().trimmed_finished, 15u);
}

TEST_F(TrimsTest, JobsThatWaitStay) {
  Keep({.count = 1});
  for (int i = 0; i < 20; ++i) Enqueue("waits-" + std::to_string(i));
  Run();
  EXPECT_EQ(state_->job_count(), 20u);
  EXPECT_EQ(broker_->gauges().trimmed_finished, 0u);
}

TEST_F(TrimsTest, ALowerLimitIsReachedWithoutCalls) {
  Finish(1500);
  Keep({.count = 10});
  EXPECT_EQ(broker_->Deadline(now_, wall_ms_), now_ + 1ms) << "the node must take a batch";
  Run();
  EXPECT_EQ(state_->job_count(), 10u);
  EXPECT_GT(broker_->Deadline(now_, wall_ms_), now_ + 100ms);
}

TEST_F(TrimsTest, WhatIsOnItsWayIsNotTrimmedAgain) {
  Finish(300);
  Keep({.count = 100});
  ASSERT_EQ(Take(), 1u) << "one batch of its own at a time";
  Advance(1s);
  EXPECT_EQ(Take(), 0u);
  const auto reply = Submit<EnqueueCall>(EnqueueRequest(Spec("a")));
  Take();
  CommitAll();
  EXPECT_TRUE(reply->ok());
  Run();
  EXPECT_EQ(state_->job_count(), 101u);
  EXPECT_EQ(broker_->gauges().trimmed_finished, 200u);
}

TEST_F(TrimsTest, ARefusedTrimIsTriedLater) {
  Finish(40);
  Keep({.count = 10});
  ASSERT_EQ(Take(), 1u);
  RefuseOne(raft::ProposalOutcome::Reason::kOverloaded);
  EXPECT_EQ(Take(), 0u);
  Advance(20ms);
  Run();
  EXPECT_EQ(state_->job_count(), 10u);
}

TEST_F(TrimsTest, ALostTrimIsPlannedAnewByTheNextLeader) {
  Finish(40);
  Keep({.count = 10});
  ASSERT_EQ(Take(), 1u);
  StepDown();
  LoseOne();
  EXPECT_EQ(state_->job_count(), 40u);
  Lead(++term_);
  Run();
  EXPECT_EQ(state_->job_count(), 10u);
}

// A member of an older program would stop at the command.
class TrimsAtAnEarlierLevelTest : public TrimsTest {
 protected:
  void SetUp() override { BrokerTest::SetUp(); }
};

TEST_F(TrimsAtAnEarlierLevelTest, NothingIsTrimmedBeforeEveryMemberKnowsTheCommand) {
  for (const uint32_t level : {0u, 1u}) {
    if (level > 0) RaiseTo(level);
    Keep({.count = 10});
    Finish(20);
    Run();
    EXPECT_EQ(state_->job_count(), 20 * (level + 1)) << "at level " << level;
    EXPECT_GT(broker_->Deadline(now_, wall_ms_), now_ + 100ms);
  }
  RaiseTo(kTrimLevel);
  Run();
  EXPECT_EQ(state_->job_count(), 10u);
}

TEST_F(TrimsTest, RequestsOfJobsThatAreGoneAreForgottenByBytes) {
  for (int i = 0; i < 50; ++i) {
    v1::EnqueueJobsRequest request = EnqueueRequest(Spec(""));
    request.set_request_id("request-" + std::to_string(i));
    const auto reply = Submit<EnqueueCall>(request);
    Run();
    ASSERT_EQ(reply->reason(), "OK");
  }
  Keep({.count = 1});
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(Do<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(LeaseOne())), "OK");
  }
  Run();
  ASSERT_EQ(state_->used_request_ids().count, 49u) << "trimmed jobs are remembered";
  const uint64_t ids = broker_->gauges().trimmed_ids;
  Keep({.bytes = state_->memory().ids / 2});
  Run();
  EXPECT_EQ(state_->used_request_ids().count, 24u);
  EXPECT_EQ(broker_->gauges().trimmed_ids, ids + 25);
}

TEST_F(TrimsTest, BytesCountToo) {
  Finish(50);
  const uint64_t bytes = state_->memory().finished;
  Keep({.bytes = bytes / 2});
  Run();
  EXPECT_LE(state_->memory().finished, bytes / 2 + bytes / 64);
  EXPECT_GE(state_->memory().finished, bytes / 2 - bytes / 25);
}

TEST_F(TrimsTest, DeadJobsAndIdsHaveTheirOwnShare) {
  for (int i = 0; i < 30; ++i) {
    v1::JobSpec spec = Spec("dead-" + std::to_string(i));
    spec.set_idempotency_key("key-" + std::to_string(i));
    Enqueue(spec);
    v1::FailJobsRequest fail = ItemRequest<v1::FailJobsRequest>(LeaseOne());
    fail.mutable_items(0)->set_reject(true);
    EXPECT_EQ(Do<FailCall>(fail), "OK");
  }
  Keep({.count = 20});
  Finish(30);
  Run();
  v1::GetStatsResponse stats;
  ASSERT_TRUE(state_->Stats("", &stats).ok());
  EXPECT_EQ(stats.total().dead(), 20u);
  EXPECT_EQ(stats.total().succeeded(), 20u);
  EXPECT_EQ(broker_->gauges().trimmed_dead, 10u);
  EXPECT_EQ(broker_->gauges().trimmed_ids, 10u);
  EXPECT_EQ(state_->Find("dead-9"), JobRef{}) << "the oldest went";
}

}  // namespace
}  // namespace dqueue::queue
