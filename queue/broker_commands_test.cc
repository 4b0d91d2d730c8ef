// Complete, fail, cancel, retry: tokens, what is decided before the log, late commands, adoption of
// leases of earlier leaders, and the guard of jobs whose end is in flight.
#include <algorithm>
#include <string>

#include "gtest/gtest.h"
#include "queue/broker_test_fixture.h"
#include "queue/limits.h"

namespace dqueue::queue {
namespace {

using raft::ProposalOutcome;

class BrokerCommandsTest : public BrokerTest {
 protected:
  std::string Complete(const v1::Job& job) {
    return Do<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  }
  std::string Complete(const std::string& id, LeaseToken token) {
    return Do<CompleteCall>(CompleteRequest(id, token));
  }
  std::string Fail(const v1::Job& job) {
    return Do<FailCall>(ItemRequest<v1::FailJobsRequest>(job));
  }
  // What the next run time of this failure is, from now.
  int64_t NextRunAfterFail(v1::FailJobsRequest request) {
    const auto reply = Submit<FailCall>(std::move(request));
    EXPECT_EQ(Take(), 1u);
    log::v1::CommandBatch batch;
    EXPECT_TRUE(batch.ParseFromString(*batches_.front().payload));
    EXPECT_EQ(batch.commands_size(), 1);
    CommitAll();
    EXPECT_EQ(ItemReason(reply), "OK");
    const int64_t next = batch.commands(0).fail().next_run_time_ms();
    return next == 0 ? 0 : next - wall_ms_;
  }
  // The leader of `term` changes to the next term: this node, which knows no leases now.
  void ChangeLeader(uint64_t term) {
    StepDown();
    Lead(term);
  }
  // The lease of one job expires, in the log.
  void ExpireLease() {
    Advance(options_.lease_timeout);
    ASSERT_EQ(Take(), 1u);
    CommitAll();
  }
};

TEST_F(BrokerCommandsTest, CompleteEndsTheJob) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  auto request = ItemRequest<v1::CompleteJobsRequest>(job);
  request.mutable_items(0)->set_result("done");
  const auto reply = Submit<CompleteCall>(request);
  EXPECT_FALSE(broker_->WantsConfirmation());
  ASSERT_EQ(Take(), 1u);
  EXPECT_FALSE(reply->answered());
  CommitOne();
  EXPECT_EQ(ItemReason(reply), "OK");
  const v1::Job read = Get("a");
  EXPECT_EQ(read.state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(read.result(), "done");
  EXPECT_FALSE(read.has_lease());
  EXPECT_EQ(broker_->gauges().leases, 0u);
}

TEST_F(BrokerCommandsTest, CompleteTwiceWithTheSameTokenIsFine) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  // Both in flight at once, and once more later.
  const auto first = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  const auto second = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  Run();
  EXPECT_EQ(ItemReason(first), "OK");
  EXPECT_EQ(ItemReason(second), "OK");
  EXPECT_EQ(Complete(job), "OK");
  EXPECT_EQ(broker_->gauges().leases, 0u);
}

TEST_F(BrokerCommandsTest, WrongTokensAreRefusedWithoutALogEntry) {
  Enqueue("a");
  Enqueue("b");
  const v1::Job a = LeaseOne();
  const v1::Job b = LeaseOne();
  ASSERT_EQ(a.id(), "a");
  const LeaseToken held = TokenOf(a);
  struct Case {
    const char* name;
    LeaseToken token;
    const char* newer;
  };
  const Case cases[] = {
      {"another job's, later", TokenOf(b), "false"},
      {"older sequence", {held.term, held.sequence - 1}, "true"},
      {"never granted", {held.term, 999}, "false"},
      {"future term", {held.term + 1, 1}, "false"},
      {"greatest", {UINT64_MAX, UINT64_MAX}, "false"},
  };
  for (const Case& c : cases) {
    if (c.token.sequence == 0) continue;  // malformed, not stale
    const auto complete = Submit<CompleteCall>(CompleteRequest("a", c.token));
    const auto fail = Submit<FailCall>(ItemRequest<v1::FailJobsRequest>("a", c.token));
    EXPECT_EQ(Take(), 0u) << c.name;
    EXPECT_FALSE(complete->answered()) << "a refusal waits for a confirmation";
    Run();
    EXPECT_EQ(ItemReason(complete), "LEASE_STALE") << c.name;
    EXPECT_EQ(ItemMetadata(complete, "current_token_is_newer"), c.newer) << c.name;
    EXPECT_EQ(ItemReason(fail), "LEASE_STALE") << c.name;
  }
  EXPECT_EQ(complete_state("a"), v1::JOB_STATE_LEASED);
  EXPECT_EQ(Complete(a), "OK");
  EXPECT_EQ(Complete(b), "OK");
}

}  // namespace
}  // namespace dqueue::queue
