// Reports about workers, and the attempts that the leader writes into the log: which worker had a
// job and for how long.
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "queue/broker/testing/broker_fixture.h"

namespace dqueue::queue {
namespace {

using ::testing::ElementsAre;

class BrokerWorkersTest : public BrokerTest {
 protected:
  // "w 2 held, 3 delivered, 1 completed, 0 failed, 0 expired" each; with ", waiting".
  std::vector<std::string> Workers() {
    const auto reply = Submit<WorkersCall>({});
    Run();
    std::vector<std::string> shown;
    if (!reply->ok()) return {reply->reason()};
    for (const v1::Worker& w : reply->value().workers()) {
      shown.push_back(w.id() + " " + std::to_string(w.leased()) + " held, " +
                      std::to_string(w.delivered()) + " delivered, " +
                      std::to_string(w.completed()) + " completed, " + std::to_string(w.failed()) +
                      " failed, " + std::to_string(w.expired()) + " expired" +
                      (w.waiting() ? ", waiting" : ""));
    }
    return shown;
  }
  std::vector<std::string> Attempts(const std::string& id) {
    std::vector<std::string> shown;
    const v1::Job job = Get(id);
    for (const v1::Attempt& a : job.attempts()) {
      shown.push_back(v1::Attempt::End_Name(a.end()) + " by " + a.worker_id() + " after " +
                      (a.has_held()
                           ? std::to_string(a.held().seconds() * 1000 + a.held().nanos() / 1000000)
                           : "?") +
                      " ms: " + a.error());
    }
    return shown;
  }
  v1::FailJobsRequest FailRequest(const v1::Job& job, const std::string& error) const {
    auto request = ItemRequest<v1::FailJobsRequest>(job);
    request.mutable_items(0)->set_error(error);
    request.mutable_items(0)->mutable_retry_delay();
    return request;
  }
  uint64_t Ended(AttemptEnd end) const {
    uint64_t sum = 0;
    for (const QueueTimes& queue : broker_->times().queues()) {
      sum += queue.ended[static_cast<size_t>(end)];
    }
    return sum;
  }
};

TEST_F(BrokerWorkersTest, WorkersAreListedWithTheEndsOfTheirJobs) {
  for (const char* id : {"a", "b", "c", "d"}) Enqueue(id);
  const v1::Job a = LeaseOne("w1");
  const v1::Job b = LeaseOne("w1");
  const v1::Job c = LeaseOne("w2");
  LeaseOne("w2");
  EXPECT_THAT(Workers(), ElementsAre("w1 2 held, 2 delivered, 0 completed, 0 failed, 0 expired",
                                     "w2 2 held, 2 delivered, 0 completed, 0 failed, 0 expired"));
  EXPECT_EQ(Do<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(a)), "OK");
  EXPECT_EQ(Do<FailCall>(FailRequest(b, "bad")), "OK");
  EXPECT_EQ(Do<ReleaseCall>(ItemRequest<v1::ReleaseJobsRequest>(c)), "OK");
  Advance(31s);
  Run();
  // The fixture's requests come from "w", which ends leases of other workers: the ends count for
  // those.
  EXPECT_THAT(Workers(), ElementsAre("w 0 held, 0 delivered, 0 completed, 0 failed, 0 expired",
                                     "w1 0 held, 2 delivered, 1 completed, 1 failed, 0 expired",
                                     "w2 0 held, 2 delivered, 0 completed, 0 failed, 1 expired"));
}

TEST_F(BrokerWorkersTest, AWorkerWaitsWhileItsCallDoes) {
  const auto reply = Submit<LeaseCall>(LeaseRequest("w", 1, {"q"}, 60));
  EXPECT_THAT(Workers(),
              ElementsAre("w 0 held, 0 delivered, 0 completed, 0 failed, 0 expired, waiting"));
  Enqueue("a");
  Run();
  ASSERT_TRUE(reply->ok());
  EXPECT_THAT(Workers(), ElementsAre("w 1 held, 1 delivered, 0 completed, 0 failed, 0 expired"));
}

TEST_F(BrokerWorkersTest, SilentWorkersAreForgottenUnlessTheyHoldAJob) {
  Enqueue("a");
  auto request = LeaseRequest("holds", 1);
  request.mutable_lease_duration()->set_seconds(3600);
  Lease(request);
  Lease(LeaseRequest("idle", 1));
  Advance(301s);
  EXPECT_THAT(Workers(),
              ElementsAre("holds 1 held, 1 delivered, 0 completed, 0 failed, 0 expired"));
}

TEST_F(BrokerWorkersTest, TheListWaitsForAConfirmationAndEndsWithTheLeadership) {
  Lease(LeaseRequest("w", 1));
  const auto reply = Submit<WorkersCall>({});
  EXPECT_FALSE(reply->answered());
  StepDown();
  EXPECT_EQ(reply->reason(), "NOT_LEADER");
  Lead(2);
  EXPECT_THAT(Workers(), ElementsAre()) << "a new leader starts without workers";
}

TEST_F(BrokerWorkersTest, AWorkerOfAnEarlierLeaderIsKnownAgainWhenItExtends) {
  Enqueue("a");
  const v1::Job a = LeaseOne("w");
  StepDown();
  Lead(2);
  EXPECT_EQ(Do<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>(a)), "OK");
  EXPECT_THAT(Workers(), ElementsAre("w 1 held, 0 delivered, 0 completed, 0 failed, 0 expired"));
}

TEST_F(BrokerWorkersTest, ARestrictedCallerSeesAllWorkersButNotTheirQueues) {
  Lease(LeaseRequest("w", 1, {"mail", "sms"}));
  WorkersCall call;
  call.access = std::make_shared<const QueueAccess>(std::vector<std::string>{"mail"});
  const auto reply = SubmitCall(std::move(call));
  Run();
  ASSERT_TRUE(reply->ok());
  ASSERT_EQ(reply->value().workers_size(), 1);
  EXPECT_THAT(reply->value().workers(0).queues(), ElementsAre("mail"));
}

// ---- attempts ----

TEST_F(BrokerWorkersTest, AttemptsNameTheWorkerAndTheTimeHeld) {
  Enqueue("a");
  const v1::Job first = LeaseOne("w1");
  Advance(1500ms);
  EXPECT_EQ(Do<FailCall>(FailRequest(first, "bad")), "OK");
  LeaseOne("w2");
  Advance(30s);
  Run();
  EXPECT_THAT(Attempts("a"), ElementsAre("END_FAILED by w1 after 1500 ms: bad",
                                         "END_EXPIRED by w2 after 30000 ms: "));
  const v1::Job third = LeaseOne("w3");
  auto reject = FailRequest(third, "never");
  reject.mutable_items(0)->set_reject(true);
  EXPECT_EQ(Do<FailCall>(reject), "OK");
  const std::vector<std::string> attempts = Attempts("a");
  ASSERT_EQ(attempts.size(), 3u);
  EXPECT_EQ(attempts.back(), "END_REJECTED by w3 after 1 ms: never") << "rounded up";
}

TEST_F(BrokerWorkersTest, ALeaseOfAnEarlierLeaderHasNoTime) {
  Enqueue("a");
  const v1::Job a = LeaseOne("w1");
  StepDown();
  Lead(2);
  Advance(1s);
  auto fail = FailRequest(a, "bad");
  fail.set_worker_id("w1");
  EXPECT_EQ(Do<FailCall>(fail), "OK");
  EXPECT_THAT(Attempts("a"), ElementsAre("END_FAILED by w1 after ? ms: bad"));
}

TEST_F(BrokerWorkersTest, GrantsCarryTheAttemptsBefore) {
  Enqueue("a");
  const v1::Job first = LeaseOne("w1");
  EXPECT_EQ(first.attempts_size(), 0);
  EXPECT_EQ(Do<FailCall>(FailRequest(first, "bad")), "OK");
  Advance(1min);
  const v1::Job second = LeaseOne("w2");
  ASSERT_EQ(second.attempts_size(), 1);
  EXPECT_EQ(second.attempts(0).error(), "bad");
}

// ---- times ----

TEST_F(BrokerWorkersTest, WaitsAndHoldsAreTimedByQueue) {
  Enqueue("a", "mail");
  Enqueue("b", "sms");
  Advance(2s);
  const std::vector<v1::Job> mail = Lease(LeaseRequest("w", 1, {"mail"}));
  ASSERT_EQ(mail.size(), 1u);
  Advance(3s);
  EXPECT_EQ(Do<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(mail[0])), "OK");
  Lease(LeaseRequest("w", 1, {"sms"}));

  const std::vector<QueueTimes>& queues = broker_->times().queues();
  ASSERT_EQ(queues.size(), 3u);
  EXPECT_EQ(queues[1].queue, "mail");
  EXPECT_EQ(queues[1].dispatched, 1u);
  EXPECT_DOUBLE_EQ(queues[1].waited.sum_seconds(), 2);
  EXPECT_EQ(queues[1].held.count(), 1u);
  EXPECT_DOUBLE_EQ(queues[1].held.sum_seconds(), 3);
  EXPECT_EQ(queues[2].queue, "sms");
  EXPECT_DOUBLE_EQ(queues[2].waited.sum_seconds(), 5);
  EXPECT_EQ(queues[2].held.count(), 0u);
}

TEST_F(BrokerWorkersTest, RepeatedCommandsCountOnce) {
  Enqueue("a");
  Enqueue("b");
  const v1::Job a = LeaseOne();
  const v1::Job b = LeaseOne();
  // In flight together, and again when it is over.
  const auto complete = ItemRequest<v1::CompleteJobsRequest>(a);
  const auto first = Submit<CompleteCall>(complete);
  const auto second = Submit<CompleteCall>(complete);
  Run();
  EXPECT_EQ(ItemReason(first), "OK");
  EXPECT_EQ(ItemReason(second), "OK");
  EXPECT_EQ(Do<CompleteCall>(complete), "OK");
  EXPECT_EQ(Do<FailCall>(FailRequest(b, "bad")), "OK");
  EXPECT_EQ(Do<FailCall>(FailRequest(b, "bad")), "OK");
  EXPECT_EQ(Ended(AttemptEnd::kCompleted), 1u);
  EXPECT_EQ(Ended(AttemptEnd::kFailed), 1u);
  EXPECT_EQ(Get("b").attempts_size(), 1);
}

TEST_F(BrokerWorkersTest, ALateCompletionCountsBesideTheExpiry) {
  Enqueue("a");
  const v1::Job a = LeaseOne();
  Advance(31s);
  Run();
  EXPECT_EQ(Ended(AttemptEnd::kExpired), 1u);
  EXPECT_EQ(Do<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(a)), "OK");
  EXPECT_EQ(Ended(AttemptEnd::kCompleted), 1u);
}

TEST_F(BrokerWorkersTest, TimesOutliveLeaderships) {
  Enqueue("a");
  LeaseOne();
  StepDown();
  Lead(2);
  EXPECT_EQ(broker_->times().queues()[1].dispatched, 1u);
}

}  // namespace
}  // namespace dqueue::queue
