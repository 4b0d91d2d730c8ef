// With a budget the broker does a bounded amount of work in each call and the rest later; nothing
// is lost, answered twice or granted late.
#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "queue/broker/testing/broker_fixture.h"

namespace dqueue::queue {
namespace {

constexpr Duration kBudget = 100us;
// One answer, wake-up or command more than the budget.
constexpr int64_t kOneMoreNs = 45'000;

class BrokerBudgetTest : public BrokerTest {
 protected:
  // Calls step(budget) until done() is true; the number of steps. No step exceeds its budget by
  // more than one piece of work.
  template <class Step, class Done>
  int InParts(const Step& step, const Done& done) {
    int parts = 0;
    for (; !done() && parts < 100'000; ++parts) {
      WorkBudget budget(kBudget);
      step(&budget);
      EXPECT_LE(budget.spent_ns(), kBudget.count() * 1000 + kOneMoreNs);
    }
    EXPECT_TRUE(done());
    return parts;
  }
  template <class Replies>
  static size_t Answered(const Replies& replies) {
    return static_cast<size_t>(
        std::count_if(replies.begin(), replies.end(), [](const auto& r) { return r->answered(); }));
  }
  void Timer(WorkBudget* budget) { broker_->OnTimer(now_, wall_ms_, budget); }
  // Commits the one batch that is due. It is applied in parts, as on a node.
  void ApplyInParts() {
    Take();
    ASSERT_EQ(batches_.size(), 1u);
    broker_->OnProposal({.id = batches_.front().id,
                         .kind = raft::ProposalOutcome::Kind::kCommitted,
                         .index = raft::Index(++index_)});
    state_->Apply(raft::Index(index_), *batches_.front().payload, &effects_);
    broker_->BeginApplied(batches_.front().id, &effects_);
    batches_.clear();
    InParts([&](WorkBudget* part) { broker_->ContinueApplied(now_, part); },
            [&] { return !broker_->applying(); });
  }

  ReplyPtr<v1::LeaseJobsResponse> Sleeper(const std::string& type,
                                          std::shared_ptr<std::atomic<bool>> cancelled = nullptr) {
    LeaseCall call;
    call.request = LeaseRequest("w", 1, {"q"}, /*wait_s=*/30);
    if (!type.empty()) call.request.add_types(type);
    call.cancelled = std::move(cancelled);
    const auto reply = SubmitCall(std::move(call));
    Begin();
    while (!rounds_.empty()) EndRound();
    EXPECT_FALSE(reply->answered());
    return reply;
  }
};

TEST_F(BrokerBudgetTest, CallsOfAnEndedLeadershipAreAnsweredInParts) {
  std::vector<ReplyPtr<v1::EnqueueJobsResponse>> replies;
  for (int i = 0; i < 500; ++i) {
    replies.push_back(Submit<EnqueueCall>(EnqueueRequest(Spec("j" + std::to_string(i)))));
  }
  WorkBudget budget(kBudget);
  broker_->StepDown({.leader_id = "n2", .leader_address = "h:2", .term = 9}, &budget);
  EXPECT_LE(budget.spent_ns(), kBudget.count() * 1000 + kOneMoreNs);
  EXPECT_LT(Answered(replies), 50u);
  EXPECT_LE(broker_->Deadline(now_, wall_ms_), now_ + 1ms) << "it goes on";
  EXPECT_GT(InParts([&](WorkBudget* part) { Timer(part); },
                    [&] { return Answered(replies) == replies.size(); }),
            10);
  for (const auto& reply : replies) EXPECT_EQ(reply->reason(), "NOT_LEADER");
}

TEST_F(BrokerBudgetTest, HoldsOfAnEndedLeadershipEndInParts) {
  for (int i = 0; i < 1000; ++i) {
    v1::EnqueueJobsRequest one = EnqueueRequest(Spec("j" + std::to_string(i)));
    Submit<EnqueueCall>(one);
  }
  Take();
  CommitAll();
  EXPECT_EQ(Lease(LeaseRequest("w", 1000)).size(), 1000u);
  WorkBudget budget(kBudget);
  broker_->StepDown({.leader_id = "n2", .leader_address = "h:2", .term = 9}, &budget);
  EXPECT_FALSE(broker_->settled());
  EXPECT_GT(InParts([&](WorkBudget* part) { Timer(part); }, [&] { return broker_->settled(); }), 3);
  Lead(2);
  EXPECT_EQ(Lease(LeaseRequest("w", 1000)).size(), 1000u) << "all are ready again";
}

TEST_F(BrokerBudgetTest, AGrantFollowsItsRoundAtOnceOrWaitsForAnother) {
  std::vector<ReplyPtr<v1::LeaseJobsResponse>> replies;
  for (int i = 0; i < 200; ++i) Enqueue("j" + std::to_string(i));
  for (int i = 0; i < 200; ++i) {
    replies.push_back(Submit<LeaseCall>(LeaseRequest("w" + std::to_string(i), 1)));
  }
  int rounds = 0;
  while (Begin()) {
    ++rounds;
    WorkBudget budget(kBudget);
    const size_t before = Answered(replies);
    const uint64_t id = rounds_.front();
    rounds_.pop_front();
    broker_->OnConfirmation(now_, wall_ms_,
                            {.id = id, .confirmed = true, .index = raft::Index(index_)}, &budget);
    const size_t after = Answered(replies);
    EXPECT_GT(after, before);
    // Nothing is granted but by a round.
    for (int i = 0; i < 3; ++i) {
      WorkBudget part(kBudget);
      Timer(&part);
    }
    EXPECT_EQ(Answered(replies), after);
  }
  EXPECT_GT(rounds, 5);
  for (const auto& reply : replies) EXPECT_EQ(reply->value().jobs_size(), 1);
  EXPECT_EQ(replies[0]->value().jobs(0).id(), "j0") << "in the order of arrival";
  EXPECT_EQ(replies[199]->value().jobs(0).id(), "j199");
}

TEST_F(BrokerBudgetTest, ReadsOfARoundAreAnsweredInParts) {
  Enqueue("a");
  std::vector<ReplyPtr<v1::GetJobResponse>> replies;
  v1::GetJobRequest get;
  get.set_id("a");
  for (int i = 0; i < 200; ++i) replies.push_back(Submit<GetCall>(get));
  ASSERT_TRUE(Begin());
  WorkBudget budget(kBudget);
  broker_->OnConfirmation(now_, wall_ms_,
                          {.id = rounds_.front(), .confirmed = true, .index = raft::Index(index_)},
                          &budget);
  rounds_.clear();
  EXPECT_EQ(Answered(replies), 0u);
  EXPECT_GT(InParts([&](WorkBudget* part) { broker_->ContinueReads(now_, wall_ms_, part); },
                    [&] { return Answered(replies) == replies.size(); }),
            10);
}

// A listing is charged for the jobs that it has to look at, not for those that it might.
TEST_F(BrokerBudgetTest, ManyListingsOfFewJobsFitIntoATurn) {
  for (int i = 0; i < 3; ++i) Enqueue("j" + std::to_string(i));
  std::vector<ReplyPtr<v1::ListJobsResponse>> replies;
  for (int i = 0; i < 100; ++i) replies.push_back(Submit<ListCall>(v1::ListJobsRequest()));
  ASSERT_TRUE(Begin());
  WorkBudget none(kBudget);
  broker_->OnConfirmation(now_, wall_ms_,
                          {.id = rounds_.front(), .confirmed = true, .index = raft::Index(index_)},
                          &none);
  rounds_.clear();
  const int parts = InParts([&](WorkBudget* part) { broker_->ContinueReads(now_, wall_ms_, part); },
                            [&] { return Answered(replies) == replies.size(); });
  EXPECT_GT(parts, 5);
  EXPECT_LT(parts, 25);
  for (const auto& reply : replies) EXPECT_EQ(reply->value().jobs_size(), 3);
}

TEST_F(BrokerBudgetTest, AListingOfLargePayloadsIsChargedForThem) {
  v1::JobSpec spec = Spec("a");
  spec.set_payload(std::string(200'000, 'p'));
  Submit<EnqueueCall>(EnqueueRequest(spec));
  Run();
  v1::ListJobsRequest list;
  list.set_full(true);
  const auto reply = Submit<ListCall>(list);
  ASSERT_TRUE(Begin());
  WorkBudget none(kBudget);
  broker_->OnConfirmation(now_, wall_ms_,
                          {.id = rounds_.front(), .confirmed = true, .index = raft::Index(index_)},
                          &none);
  rounds_.clear();
  WorkBudget budget(kBudget);
  EXPECT_TRUE(broker_->ContinueReads(now_, wall_ms_, &budget));
  ASSERT_TRUE(reply->ok());
  EXPECT_GE(budget.spent_ns(), 50'000);
}

TEST_F(BrokerBudgetTest, AWakeUpPassesOverVeryManyCancelledCalls) {
  auto cancelled = std::make_shared<std::atomic<bool>>(false);
  std::vector<ReplyPtr<v1::LeaseJobsResponse>> gone;
  for (int i = 0; i < 300; ++i) gone.push_back(Sleeper("t", cancelled));
  const auto waiting = Sleeper("t");
  cancelled->store(true);
  Submit<EnqueueCall>(EnqueueRequest(Spec("a")));
  ASSERT_NO_FATAL_FAILURE(ApplyInParts());
  EXPECT_LT(Answered(gone), gone.size());
  EXPECT_GT(
      InParts([&](WorkBudget* part) { Timer(part); }, [&] { return broker_->WantsConfirmation(); }),
      10);
  EXPECT_EQ(Answered(gone), gone.size());
  Run();
  ASSERT_TRUE(waiting->ok());
  EXPECT_EQ(waiting->value().jobs(0).id(), "a");
}

TEST_F(BrokerBudgetTest, AResumedQueueWakesASleeperOfEachTypeInParts) {
  v1::PauseQueueRequest pause;
  pause.set_queue("q");
  Submit<PauseCall>(pause);
  Take();
  CommitAll();
  std::vector<ReplyPtr<v1::LeaseJobsResponse>> sleepers;
  for (int i = 0; i < 600; ++i) {
    Enqueue("j" + std::to_string(i), "q", "t" + std::to_string(i));
    sleepers.push_back(Sleeper("t" + std::to_string(i)));
  }
  const auto other = Sleeper("none");
  v1::ResumeQueueRequest resume;
  resume.set_queue("q");
  Submit<ResumeCall>(resume);
  ASSERT_NO_FATAL_FAILURE(ApplyInParts());
  int parts = 0;
  for (bool more = true; more; ++parts) {
    WorkBudget budget(kBudget);
    more = !broker_->OnTimer(now_, wall_ms_, &budget);
    EXPECT_LE(budget.spent_ns(), kBudget.count() * 1000 + kOneMoreNs);
  }
  EXPECT_GT(parts, 1);
  Run();
  for (int i = 0; i < 600; ++i) {
    ASSERT_TRUE(sleepers[i]->ok()) << i;
    EXPECT_EQ(sleepers[i]->value().jobs(0).id(), "j" + std::to_string(i));
  }
  EXPECT_FALSE(other->answered());
}

TEST_F(BrokerBudgetTest, AResumedQueueWakesSleepersForAnyTypeUntilNoJobIsReady) {
  v1::PauseQueueRequest pause;
  pause.set_queue("q");
  Submit<PauseCall>(pause);
  Take();
  CommitAll();
  for (int i = 0; i < 3; ++i) Enqueue("a" + std::to_string(i), "q", "ta");
  Enqueue("b", "q", "tb");
  std::vector<ReplyPtr<v1::LeaseJobsResponse>> sleepers;
  for (int i = 0; i < 5; ++i) sleepers.push_back(Sleeper(""));
  v1::ResumeQueueRequest resume;
  resume.set_queue("q");
  Submit<ResumeCall>(resume);
  Run();
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(sleepers[i]->ok()) << i;
  EXPECT_FALSE(sleepers[4]->answered()) << "there are four jobs";
}

TEST_F(BrokerBudgetTest, ACallOfManyItemsIsCarriedOutInParts) {
  v1::DeleteJobsRequest remove;
  for (int i = 0; i < 1000; ++i) {
    Submit<EnqueueCall>(EnqueueRequest(Spec("j" + std::to_string(i))));
    remove.add_ids("j" + std::to_string(i));
  }
  Take();
  CommitAll();
  remove.add_ids("none");
  auto reply = std::make_shared<Reply<v1::DeleteJobsResponse>>();
  DeleteCall call;
  call.request = remove;
  call.done = [reply](Outcome<v1::DeleteJobsResponse> outcome) {
    ++reply->times;
    reply->outcome = std::move(outcome);
  };
  WorkBudget first(kBudget);
  broker_->Submit(now_, wall_ms_, std::move(call), &first);
  bool done = false;
  EXPECT_GT(InParts([&](WorkBudget* part) { done = broker_->ContinueCalls(now_, wall_ms_, part); },
                    [&] { return done; }),
            5);
  Run();
  ASSERT_TRUE(reply->ok());
  EXPECT_EQ(reply->times, 1);
  EXPECT_EQ(ReasonOf(reply->value().results(999)), "OK");
  EXPECT_EQ(ReasonOf(reply->value().results(1000)), "JOB_NOT_FOUND");
  EXPECT_EQ(state_->job_count(), 0u);
}

TEST_F(BrokerBudgetTest, ACallThatIsCutOffByTheEndOfTheLeadershipIsAnswered) {
  v1::EnqueueJobsRequest request;
  for (int i = 0; i < 2000; ++i) request.add_jobs()->set_payload("p");
  auto reply = std::make_shared<Reply<v1::EnqueueJobsResponse>>();
  EnqueueCall call;
  call.request = request;
  call.done = [reply](Outcome<v1::EnqueueJobsResponse> outcome) {
    ++reply->times;
    reply->outcome = std::move(outcome);
  };
  WorkBudget first(kBudget);
  broker_->Submit(now_, wall_ms_, std::move(call), &first);
  WorkBudget next(kBudget);
  ASSERT_FALSE(broker_->ContinueCalls(now_, wall_ms_, &next));
  StepDown();
  EXPECT_EQ(reply->times, 1);
  EXPECT_EQ(reply->reason(), "NOT_LEADER");
}

}  // namespace
}  // namespace dqueue::queue
