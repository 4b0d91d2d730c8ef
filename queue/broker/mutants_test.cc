// The broker's deliberate bugs (base/mutant.h): each has the described effect when it is switched
// on, so that the simulator's checkers can find it. Built with the mutants compiled in.
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "queue/broker/mutants.h"
#include "queue/broker/testing/broker_fixture.h"
#include "queue/state/mutants.h"

namespace dqueue::queue {
namespace {

class BrokerMutantsTest : public BrokerTest {
 protected:
  ~BrokerMutantsTest() override { active_mutant = nullptr; }
};

TEST_F(BrokerMutantsTest, GrantWithoutConfirmation) {
  Enqueue("a");
  const auto honest = Submit<LeaseCall>(LeaseRequest());
  EXPECT_FALSE(honest->answered());
  Run();
  active_mutant = &mutants::kGrantWithoutConfirmation;
  const auto sleeper = Submit<LeaseCall>(LeaseRequest("w2", 1, {"q"}, 10));
  Enqueue("b");
  ASSERT_TRUE(sleeper->ok());
  EXPECT_EQ(sleeper->value().jobs_size(), 1);
  EXPECT_FALSE(broker_->WantsConfirmation());
}

TEST_F(BrokerMutantsTest, CompleteUnfenced) {
  Enqueue("a");
  Enqueue("b");
  const v1::Job first = LeaseOne("w1");
  Advance(30s);
  Run();
  const v1::Job second = LeaseOne("w2");
  ASSERT_EQ(first.id(), second.id());
  const auto request = ItemRequest<v1::CompleteJobsRequest>(first);
  EXPECT_EQ(Do<CompleteCall>(request), "LEASE_STALE");
  active_mutant = &mutants::kCompleteUnfenced;
  EXPECT_EQ(Do<CompleteCall>(request), "OK");
  EXPECT_EQ(Do<CompleteCall>(CompleteRequest("b", {1, 77})), "OK") << "never leased";
}

TEST_F(BrokerMutantsTest, AckingNotGuarded) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  active_mutant = &mutants::kAckingNotGuarded;
  Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  Take();
  EXPECT_EQ(Lease(LeaseRequest("w2")).size(), 1u);
  CommitAll();
}

TEST_F(BrokerMutantsTest, DeletingNotGuarded) {
  Enqueue("a");
  active_mutant = &mutants::kDeletingNotGuarded;
  v1::DeleteJobsRequest request;
  request.add_ids("a");
  const auto deleted = Submit<DeleteCall>(request);
  Take();
  EXPECT_EQ(Lease(LeaseRequest("w")).size(), 1u);
  CommitAll();
  EXPECT_EQ(ItemReason(deleted), "OK") << "and the worker has it still";
}

TEST_F(BrokerMutantsTest, AnswerBeforeCommit) {
  active_mutant = &mutants::kAnswerBeforeCommit;
  const auto reply = Submit<EnqueueCall>(EnqueueRequest(Spec("a"), Spec("b")));
  Take();
  EXPECT_TRUE(reply->ok());
  EXPECT_EQ(state_->job_count(), 0u);
  CommitAll();
}

TEST_F(BrokerMutantsTest, ExpiryNotLogged) {
  active_mutant = &mutants::kExpiryNotLogged;
  Enqueue("a");
  LeaseOne();
  Advance(30s);
  EXPECT_EQ(Take(), 0u);
  EXPECT_EQ(LeaseOne("w2").id(), "a");
  EXPECT_EQ(Get("a").counters().expired(), 0);
}

TEST_F(BrokerMutantsTest, AccessNotCheckedOnComplete) {
  Enqueue("a");
  CompleteCall call;
  call.request = ItemRequest<v1::CompleteJobsRequest>(LeaseOne());
  call.access = std::make_shared<const QueueAccess>(std::vector<std::string>{"other"});
  const auto honest = SubmitCall(call);
  Run();
  EXPECT_EQ(ItemReason(honest), "JOB_NOT_FOUND");
  active_mutant = &mutants::kAccessNotCheckedOnComplete;
  const auto reply = SubmitCall(call);
  Run();
  EXPECT_EQ(ItemReason(reply), "OK");
}

TEST_F(BrokerMutantsTest, AccessNotCheckedInStats) {
  Enqueue("a");
  StatsCall call;
  call.access = std::make_shared<const QueueAccess>(std::vector<std::string>{"other"});
  const auto honest = SubmitCall(call);
  Run();
  EXPECT_EQ(honest->value().total().enqueued(), 0u);
  active_mutant = &mutants::kAccessNotCheckedInStats;
  const auto reply = SubmitCall(call);
  Run();
  EXPECT_EQ(reply->value().total().enqueued(), 1u);
}

}  // namespace
}  // namespace dqueue::queue
