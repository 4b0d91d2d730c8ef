// Complete, fail, cancel, retry: tokens, decisions before the log, late commands, adoption of
// leases of earlier leaders, and the guard of jobs whose end is in flight.
#include <algorithm>
#include <string>

#include "gtest/gtest.h"
#include "queue/api/limits.h"
#include "queue/broker/testing/broker_fixture.h"

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
  // The delay until the next run after this failure, in ms.
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
  static v1::CancelJobsRequest CancelRequest(const std::string& id) {
    v1::CancelJobsRequest request;
    request.add_ids(id);
    return request;
  }
  // A job of which nothing is kept when it is over.
  static v1::JobSpec ForgottenAtOnce(const std::string& id) {
    v1::JobSpec spec = Spec(id);
    spec.mutable_retention()->set_seconds(0);
    return spec;
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

TEST_F(BrokerCommandsTest, CompleteWithTheSameTokenIsRepeatable) {
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
  ASSERT_EQ(b.id(), "b");
  const LeaseToken held = TokenOf(b);
  struct Case {
    const char* name;
    LeaseToken token;
    const char* newer;
  };
  const Case cases[] = {
      {"another job's, of before", TokenOf(a), "true"},
      {"never granted", {held.term, 999}, "false"},
      {"future term", {held.term + 1, 1}, "false"},
      {"greatest", {UINT64_MAX, UINT64_MAX}, "false"},
  };
  for (const Case& c : cases) {
    const auto complete = Submit<CompleteCall>(CompleteRequest("b", c.token));
    const auto fail = Submit<FailCall>(ItemRequest<v1::FailJobsRequest>("b", c.token));
    EXPECT_EQ(Take(), 0u) << c.name;
    EXPECT_FALSE(complete->answered()) << "a refusal waits for a confirmation";
    Run();
    EXPECT_EQ(ItemReason(complete), "LEASE_STALE") << c.name;
    EXPECT_EQ(ItemMetadata(complete, "current_token_is_newer"), c.newer) << c.name;
    EXPECT_EQ(ItemReason(fail), "LEASE_STALE") << c.name;
  }
  EXPECT_EQ(Complete("a", held), "LEASE_STALE") << "another job's, of later";
  EXPECT_EQ(Complete(a), "OK");
  EXPECT_EQ(Complete(b), "OK");
}

TEST_F(BrokerCommandsTest, ATokenOfThisTermForAJobThatWasNeverLeasedIsRefused) {
  Enqueue("a");
  const v1::Job a = LeaseOne();
  Enqueue("b");
  EXPECT_EQ(Complete("b", TokenOf(a)), "LEASE_STALE");
  EXPECT_EQ(LogState("b"), v1::JOB_STATE_READY);
}

TEST_F(BrokerCommandsTest, UnknownAndFinishedJobs) {
  Enqueue("a");
  const v1::Job a = LeaseOne();
  EXPECT_EQ(Complete("nobody", TokenOf(a)), "JOB_NOT_FOUND");
  EXPECT_EQ(Complete(a), "OK");
  const auto other = Submit<CompleteCall>(CompleteRequest("a", {1, 77}));
  EXPECT_EQ(Take(), 0u) << "plainly wrong: no log entry";
  Run();
  EXPECT_EQ(ItemReason(other), "INVALID_STATE");
  EXPECT_EQ(ItemMetadata(other, "state"), "SUCCEEDED");
  EXPECT_EQ(Fail(a), "INVALID_STATE") << "a failure after the completion";
}

TEST_F(BrokerCommandsTest, RefusalsOfADeposedLeaderAreNotBelieved) {
  Enqueue("a");
  const v1::Job a = LeaseOne();
  const auto unknown = Submit<CompleteCall>(CompleteRequest("nobody", TokenOf(a)));
  const auto stale = Submit<CompleteCall>(CompleteRequest("a", {1, 99}));
  EXPECT_TRUE(Begin());
  EndRound(/*confirmed=*/false);
  EXPECT_EQ(unknown->reason(), "NO_LEADER");
  EXPECT_EQ(stale->reason(), "NO_LEADER");
}

TEST_F(BrokerCommandsTest, ACallWaitsForItsLogEntriesAndItsConfirmation) {
  Enqueue("a");
  const v1::Job a = LeaseOne();
  v1::CompleteJobsRequest request = ItemRequest<v1::CompleteJobsRequest>(a);
  *request.add_items() = CompleteRequest("nobody", {1, 1}).items(0);
  request.add_items()->set_id("bad id");
  const auto reply = Submit<CompleteCall>(request);
  ASSERT_EQ(Take(), 1u);
  ASSERT_TRUE(Begin());
  CommitAll();
  EXPECT_FALSE(reply->answered());
  EndRound();
  ASSERT_TRUE(reply->ok());
  ASSERT_EQ(reply->value().results_size(), 3);
  EXPECT_EQ(ReasonOf(reply->value().results(0)), "OK");
  EXPECT_EQ(ReasonOf(reply->value().results(1)), "JOB_NOT_FOUND");
  EXPECT_EQ(ReasonOf(reply->value().results(2)), "INVALID_FIELD");

  // If the round fails although an item was applied, "no effect" would be wrong.
  Enqueue("b");
  request = ItemRequest<v1::CompleteJobsRequest>(LeaseOne());
  *request.add_items() = CompleteRequest("nobody", {1, 1}).items(0);
  const auto mixed = Submit<CompleteCall>(request);
  Take();
  CommitAll();
  Begin();
  EndRound(/*confirmed=*/false);
  EXPECT_EQ(mixed->reason(), "COMMIT_UNKNOWN");
}

TEST_F(BrokerCommandsTest, OnlyMalformedItemsAreAnsweredInAnyRole) {
  StepDown();
  EXPECT_EQ(Do<CompleteCall>(CompleteRequest("a", {0, 1})), "INVALID_FIELD");
  EXPECT_EQ(Do<CompleteCall>(CompleteRequest("a", {1, 1})), "NOT_LEADER");
  EXPECT_EQ(Do<CompleteCall>({}), "INVALID_FIELD");
}

// ---- fail ----

TEST_F(BrokerCommandsTest, FailWaitsAsThePolicySays) {
  v1::JobSpec spec = Spec("a");
  spec.mutable_retry()->set_max_retries(10);
  spec.mutable_retry()->mutable_base()->set_seconds(2);
  spec.mutable_retry()->mutable_max_delay()->set_seconds(5);
  spec.mutable_retry()->set_jitter(0);
  Enqueue(spec);
  for (const int64_t expected : {2000, 4000, 5000, 5000}) {
    const v1::Job job = LeaseOne();
    EXPECT_EQ(NextRunAfterFail(ItemRequest<v1::FailJobsRequest>(job)), expected);
    EXPECT_EQ(LogState("a"), v1::JOB_STATE_SCHEDULED);
    EXPECT_TRUE(Lease(LeaseRequest()).empty());
    Advance(std::chrono::milliseconds(expected));
    Run();  // the tick
  }
}

TEST_F(BrokerCommandsTest, JitterIsDrawnByTheLeaderWithinItsRange) {
  int64_t least = INT64_MAX;
  int64_t most = 0;
  for (int i = 0; i < 300; ++i) {
    v1::JobSpec spec = Spec("j" + std::to_string(i));
    spec.mutable_retry()->mutable_base()->set_seconds(1);
    Enqueue(spec);
    const int64_t wait = NextRunAfterFail(ItemRequest<v1::FailJobsRequest>(LeaseOne()));
    least = std::min(least, wait);
    most = std::max(most, wait);
  }
  EXPECT_GE(least, 800);
  EXPECT_LT(least, 820);
  EXPECT_LE(most, 1200);
  EXPECT_GT(most, 1180);
}

TEST_F(BrokerCommandsTest, FailMayChooseItsOwnDelay) {
  Enqueue("a");
  auto request = ItemRequest<v1::FailJobsRequest>(LeaseOne());
  request.mutable_items(0)->mutable_retry_delay()->set_seconds(7);
  EXPECT_EQ(NextRunAfterFail(request), 7000);
  Enqueue("b");
  request = ItemRequest<v1::FailJobsRequest>(LeaseOne());
  request.mutable_items(0)->mutable_retry_delay();
  EXPECT_EQ(NextRunAfterFail(request), 0);
  EXPECT_EQ(LogState("b"), v1::JOB_STATE_READY);
  v1::JobSpec spec = Spec("c");
  spec.mutable_retry()->set_backoff(v1::RetryPolicy::BACKOFF_NONE);
  Enqueue(spec);
  std::vector<v1::Job> jobs = Lease(LeaseRequest());
  ASSERT_EQ(jobs.size(), 2u);
  EXPECT_EQ(NextRunAfterFail(ItemRequest<v1::FailJobsRequest>(jobs[1])), 0);
}

TEST_F(BrokerCommandsTest, RejectedJobsAreDead) {
  Enqueue("a");
  auto request = ItemRequest<v1::FailJobsRequest>(LeaseOne());
  request.mutable_items(0)->set_reject(true);
  // Cut between characters.
  request.mutable_items(0)->set_error(std::string(kErrorBytesMax - 1, 'e') + "\xc3\xa4");
  EXPECT_EQ(Do<FailCall>(request), "OK");
  const v1::Job job = Get("a");
  EXPECT_EQ(job.state(), v1::JOB_STATE_DEAD);
  EXPECT_EQ(job.dead_reason(), v1::DEAD_REASON_REJECTED);
  EXPECT_EQ(job.last_error(), std::string(kErrorBytesMax - 1, 'e'));
}

TEST_F(BrokerCommandsTest, FailTwiceIsFineAndThenTheTokenIsOver) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  EXPECT_EQ(Fail(job), "OK");
  EXPECT_EQ(Fail(job), "OK");
  EXPECT_EQ(Complete(job), "INVALID_STATE");
  EXPECT_EQ(Get("a").counters().failed(), 1);
  EXPECT_EQ(broker_->gauges().leases, 0u);
  // Also once the job is ready again: the token must not keep it from others.
  Advance(2s);
  Run();
  EXPECT_EQ(Complete(job), "INVALID_STATE");
  EXPECT_EQ(Fail(job), "OK");
  EXPECT_EQ(broker_->gauges().leases, 0u);
  EXPECT_EQ(LeaseOne().id(), "a");
}

// ---- leases that ended ----

TEST_F(BrokerCommandsTest, ALateCompletionIsAcceptedIfTheJobIsNotLeasedAgain) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  ExpireLease();
  EXPECT_EQ(Get("a").counters().expired(), 1);
  EXPECT_EQ(Complete(job), "OK");
  EXPECT_EQ(LogState("a"), v1::JOB_STATE_SUCCEEDED);
}

TEST_F(BrokerCommandsTest, ALateFailureIsStale) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  ExpireLease();
  const auto reply = Submit<FailCall>(ItemRequest<v1::FailJobsRequest>(job));
  Run();
  EXPECT_EQ(ItemReason(reply), "LEASE_STALE");
  EXPECT_EQ(ItemMetadata(reply, "current_token_is_newer"), "false");
  EXPECT_EQ(broker_->gauges().leases, 0u);
  EXPECT_EQ(LeaseOne().id(), "a") << "the job is not kept";
}

TEST_F(BrokerCommandsTest, ALateCompletionKeepsTheJobWhileItIsInFlight) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  ExpireLease();
  const auto late = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  Take();
  EXPECT_TRUE(Lease(LeaseRequest()).empty());
  CommitAll();
  EXPECT_EQ(ItemReason(late), "OK");
}

TEST_F(BrokerCommandsTest, AfterTheNextLeaseALateCompletionIsStale) {
  Enqueue("a");
  const v1::Job first = LeaseOne("w1");
  ExpireLease();
  const v1::Job second = LeaseOne("w2");
  EXPECT_LT(TokenOf(first), TokenOf(second));
  const auto late = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(first));
  Run();
  EXPECT_EQ(ItemReason(late), "LEASE_STALE");
  EXPECT_EQ(ItemMetadata(late, "current_token_is_newer"), "true");
  EXPECT_EQ(Complete(second), "OK");
}

TEST_F(BrokerCommandsTest, TheLogDecidesBetweenACompletionAndItsExpiry) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  Advance(options_.lease_timeout);
  ASSERT_EQ(Take(), 1u);  // the expiry
  const auto complete = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  ASSERT_EQ(Take(), 1u);
  CommitOne();
  EXPECT_EQ(state_->View(state_->Find("a")).expired, 1u);
  CommitOne();
  EXPECT_EQ(ItemReason(complete), "OK");
  EXPECT_EQ(LogState("a"), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(broker_->gauges().leases, 0u);
}

TEST_F(BrokerCommandsTest, AJobWhoseCompletionIsInFlightIsNotLeasedNorExpired) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  const auto complete = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  ASSERT_EQ(Take(), 1u);
  Advance(options_.lease_timeout * 2);
  EXPECT_EQ(Take(), 0u) << "no expiry beside a completion";
  EXPECT_TRUE(Lease(LeaseRequest()).empty());
  // Refused: the lease is as before, and its time is over.
  RefuseOne(ProposalOutcome::Reason::kOverloaded);
  EXPECT_EQ(complete->reason(), "OVERLOADED");
  EXPECT_TRUE(Lease(LeaseRequest()).empty());
  ASSERT_EQ(Take(), 1u);
  CommitAll();
  EXPECT_EQ(Get("a").counters().expired(), 1);
}

TEST_F(BrokerCommandsTest, AckingEndsWithTheLastOfSeveralCommands) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  ASSERT_EQ(Take(), 1u);
  Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  ASSERT_EQ(Take(), 1u);
  Advance(options_.lease_timeout);
  RefuseOne(ProposalOutcome::Reason::kNotLeader);
  EXPECT_EQ(Take(), 0u) << "one completion is still in flight";
  RefuseOne(ProposalOutcome::Reason::kNotLeader);
  EXPECT_EQ(Take(), 1u) << "now the lease expires";
  CommitAll();
}

// ---- cancel and retry ----

TEST_F(BrokerCommandsTest, CancelEndsALeaseToo) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  v1::CancelJobsRequest cancel;
  cancel.add_ids("a");
  EXPECT_EQ(Do<CancelCall>(cancel), "OK");
  EXPECT_EQ(broker_->gauges().leases, 0u);
  const auto complete = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  Run();
  EXPECT_EQ(ItemReason(complete), "INVALID_STATE");
  EXPECT_EQ(ItemMetadata(complete, "state"), "CANCELLED");
  EXPECT_EQ(Do<CancelCall>(cancel), "OK") << "cancelled already";
}

TEST_F(BrokerCommandsTest, CancelAndRetryCheckTheState) {
  Enqueue("done");
  EXPECT_EQ(Complete(LeaseOne()), "OK");
  Enqueue("dead");
  auto reject = ItemRequest<v1::FailJobsRequest>(LeaseOne());
  reject.mutable_items(0)->set_reject(true);
  EXPECT_EQ(Do<FailCall>(reject), "OK");
  Enqueue("ready");

  v1::CancelJobsRequest cancel;
  for (const char* id : {"done", "dead", "nobody", "a b"}) cancel.add_ids(id);
  const auto cancelled = Submit<CancelCall>(cancel);
  EXPECT_EQ(Take(), 0u) << "nothing for the log";
  Run();
  ASSERT_TRUE(cancelled->ok());
  EXPECT_EQ(ReasonOf(cancelled->value().results(0)), "INVALID_STATE");
  EXPECT_EQ(InfoOf(cancelled->value().results(1)).metadata().at("state"), "DEAD");
  EXPECT_EQ(ReasonOf(cancelled->value().results(2)), "JOB_NOT_FOUND");
  EXPECT_EQ(ReasonOf(cancelled->value().results(3)), "INVALID_FIELD");

  v1::RetryJobsRequest retry;
  for (const char* id : {"dead", "done", "ready", "nobody"}) retry.add_ids(id);
  const auto retried = Submit<RetryCall>(retry);
  Run();
  ASSERT_TRUE(retried->ok());
  EXPECT_EQ(ReasonOf(retried->value().results(0)), "OK");
  EXPECT_EQ(ReasonOf(retried->value().results(1)), "INVALID_STATE");
  EXPECT_EQ(ReasonOf(retried->value().results(2)), "INVALID_STATE");
  EXPECT_EQ(ReasonOf(retried->value().results(3)), "JOB_NOT_FOUND");
  EXPECT_EQ(LogState("dead"), v1::JOB_STATE_READY);
}

TEST_F(BrokerCommandsTest, TheLogDecidesARace) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  v1::CancelJobsRequest cancel;
  cancel.add_ids("a");
  const auto cancelled = Submit<CancelCall>(cancel);
  const auto complete = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  Run();
  EXPECT_EQ(ItemReason(cancelled), "OK");
  EXPECT_EQ(ItemReason(complete), "INVALID_STATE");
  EXPECT_EQ(broker_->gauges().leases, 0u);
}

// ---- adoption: leases of earlier leaders (design §7) ----

TEST_F(BrokerCommandsTest, ACompletionOfAnEarlierTermIsAccepted) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  ChangeLeader(2);
  const auto complete = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  Take();
  EXPECT_TRUE(Lease(LeaseRequest()).empty()) << "not while the completion is in flight";
  CommitAll();
  EXPECT_EQ(ItemReason(complete), "OK");
  EXPECT_EQ(LogState("a"), v1::JOB_STATE_SUCCEEDED);
}

// Ids can be reused once a job is purged: a worker that held the first must not change the second.
TEST_F(BrokerCommandsTest, ATokenOfAnEarlierJobWithTheSameIdIsStale) {
  Enqueue(ForgottenAtOnce("a"));
  const v1::Job first = LeaseOne();
  EXPECT_EQ(Do<CancelCall>(CancelRequest("a")), "OK");
  Advance(1s);
  Enqueue(ForgottenAtOnce("a"));
  ChangeLeader(2);  // knows no leases: it would adopt the token
  for (const bool leased : {false, true}) {
    if (leased) LeaseOne();
    EXPECT_EQ(Do<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(first)), "LEASE_STALE");
    EXPECT_EQ(Fail(first), "LEASE_STALE");
    EXPECT_EQ(Do<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>(first)), "LEASE_STALE");
    EXPECT_EQ(Do<ReleaseCall>(ItemRequest<v1::ReleaseJobsRequest>(first)), "LEASE_STALE");
  }
}

// The same while the command is on its way.
TEST_F(BrokerCommandsTest, ACommandInFlightDoesNotEndALaterJobWithTheSameId) {
  Enqueue(ForgottenAtOnce("a"));
  const v1::Job first = LeaseOne();
  Submit<CancelCall>(CancelRequest("a"));
  ASSERT_EQ(Take(), 1u);
  Advance(1s);
  Submit<EnqueueCall>(EnqueueRequest(ForgottenAtOnce("a")));
  ASSERT_EQ(Take(), 1u);
  const auto complete = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(first));
  ASSERT_EQ(Take(), 1u);
  CommitOne();
  CommitOne();
  const v1::Job second = LeaseOne();
  EXPECT_GT(second.lease().token().job(), first.lease().token().job());
  CommitOne();
  EXPECT_EQ(ItemReason(complete), "LEASE_STALE");
  EXPECT_EQ(LogState("a"), v1::JOB_STATE_READY);
  EXPECT_EQ(Do<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(second)), "OK");
}

TEST_F(BrokerCommandsTest, OnceRegrantedTheEarlierTermIsStale) {
  Enqueue("a");
  const v1::Job old = LeaseOne("w1");
  ChangeLeader(2);
  const v1::Job mine = LeaseOne("w2");
  EXPECT_LT(TokenOf(old), TokenOf(mine));
  const auto late = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(old));
  Run();
  EXPECT_EQ(ItemReason(late), "LEASE_STALE");
  EXPECT_EQ(ItemMetadata(late, "current_token_is_newer"), "true");
  EXPECT_EQ(Fail(old), "LEASE_STALE");
  EXPECT_EQ(Complete(mine), "OK");
}

TEST_F(BrokerCommandsTest, TheLogRemembersNewerTokensAcrossLeaders) {
  Enqueue("a");
  const v1::Job first = LeaseOne();
  ExpireLease();
  const v1::Job second = LeaseOne();
  EXPECT_EQ(Fail(second), "OK");
  ChangeLeader(2);
  const auto late = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(first));
  EXPECT_EQ(Take(), 0u);
  Run();
  EXPECT_EQ(ItemReason(late), "LEASE_STALE");
  EXPECT_EQ(ItemMetadata(late, "current_token_is_newer"), "true");
}

TEST_F(BrokerCommandsTest, ANewerEarlierTermTakesOverFromAnOlder) {
  Enqueue("a");
  const v1::Job of1 = LeaseOne("w1");
  ChangeLeader(2);
  const v1::Job of2 = LeaseOne("w2");
  ChangeLeader(3);
  // The older holder is heard first.
  EXPECT_EQ(Do<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>(of1)), "OK");
  EXPECT_EQ(Complete(of2), "OK");
  EXPECT_EQ(Complete(of1), "INVALID_STATE");
  EXPECT_EQ(broker_->gauges().leases, 0u);
}

// Cancelling a job ends its lease without a token in the log; brought back, the job is not open to
// older leases again.
TEST_F(BrokerCommandsTest, CancelAndRetryDoNotReviveAnOlderLease) {
  Enqueue("a");
  const v1::Job of1 = LeaseOne("w1");
  ChangeLeader(2);
  const v1::Job of2 = LeaseOne("w2");
  EXPECT_EQ(Do<CancelCall>(CancelRequest("a")), "OK");
  v1::RetryJobsRequest retry;
  retry.add_ids("a");
  EXPECT_EQ(Do<RetryCall>(retry), "OK");
  for (const v1::Job& old : {of1, of2}) {
    EXPECT_EQ(Fail(old), "LEASE_STALE");
    EXPECT_EQ(Complete(old), "LEASE_STALE");
    EXPECT_EQ(Do<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>(old)), "LEASE_STALE");
  }
  EXPECT_EQ(Complete(LeaseOne("w3")), "OK");
}

// The log knows the token: its lease ran out, and that was once too often. A completion by it must
// not wait in the log until the job is retried and leased to a third worker.
TEST_F(BrokerCommandsTest, ACompletionOfADeadJobDoesNotCompleteTheRetriedJob) {
  v1::JobSpec spec = Spec("a");
  spec.mutable_retry()->set_max_expirations(0);
  Enqueue(spec);
  const v1::Job first = LeaseOne();
  ExpireLease();
  ASSERT_EQ(LogState("a"), v1::JOB_STATE_DEAD);
  v1::RetryJobsRequest retry;
  retry.add_ids("a");
  Submit<RetryCall>(retry);
  ASSERT_EQ(Take(), 1u);
  const auto complete = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(first));
  EXPECT_EQ(Take(), 0u) << "decided here";
  CommitOne();
  const v1::Job second = LeaseOne();
  Run();
  EXPECT_EQ(ItemReason(complete), "INVALID_STATE");
  EXPECT_EQ(LogState("a"), v1::JOB_STATE_READY);
  EXPECT_EQ(Complete(second), "OK");
}

// While the older holder's completion is in flight, the newer one can neither give the job back nor
// make it look free.
TEST_F(BrokerCommandsTest, ANewerEarlierTermDoesNotFreeAJobThatIsBeingCompleted) {
  Enqueue("a");
  const v1::Job of1 = LeaseOne("w1");
  ChangeLeader(2);
  const v1::Job of2 = LeaseOne("w2");
  ChangeLeader(3);
  const auto complete = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(of1));
  ASSERT_EQ(Take(), 1u);
  const auto decide_here = [&](const auto& reply) {
    Begin();
    while (!rounds_.empty()) EndRound();
    return ItemReason(reply);
  };
  EXPECT_EQ(decide_here(Submit<ReleaseCall>(ItemRequest<v1::ReleaseJobsRequest>(of2))),
            "LEASE_STALE");
  EXPECT_EQ(decide_here(Submit<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>(of2))), "OK");
  EXPECT_EQ(decide_here(Submit<ReleaseCall>(ItemRequest<v1::ReleaseJobsRequest>(of2))),
            "LEASE_STALE");
  Advance(60s);
  EXPECT_EQ(Take(), 0u) << "no expiry either";
  EXPECT_TRUE(Lease(LeaseRequest("w3")).empty());
  CommitAll();
  EXPECT_EQ(ItemReason(complete), "OK");
  EXPECT_EQ(LogState("a"), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(broker_->gauges().leases, 0u);
}

// The older holder's command was lost: the newer one still has its lease.
TEST_F(BrokerCommandsTest, ALeaseThatWasTakenOverOutlivesALostCommandOfTheOlder) {
  Enqueue("a");
  const v1::Job of1 = LeaseOne("w1");
  ChangeLeader(2);
  const v1::Job of2 = LeaseOne("w2");
  ChangeLeader(3);
  Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(of1));
  ASSERT_EQ(Take(), 1u);
  const auto extend = Submit<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>(of2));
  Begin();
  EndRound();
  EXPECT_EQ(ItemReason(extend), "OK");
  RefuseOne(raft::ProposalOutcome::Reason::kOverloaded);
  EXPECT_EQ(broker_->gauges().leases, 1u);
  EXPECT_TRUE(Lease(LeaseRequest("w3")).empty());
  EXPECT_EQ(Complete(of2), "OK");
}

TEST_F(BrokerCommandsTest, ACompletionFromWithinTheWaitForARetryIsAccepted) {
  Enqueue("a");
  const v1::Job of1 = LeaseOne("w1");
  ChangeLeader(2);
  const v1::Job of2 = LeaseOne("w2");
  ChangeLeader(3);
  EXPECT_EQ(Fail(of1), "OK");  // no newer lease is known
  ASSERT_EQ(LogState("a"), v1::JOB_STATE_SCHEDULED);
  const auto complete = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(of2));
  Take();
  // Meanwhile the wait is over, and a worker asks for a job.
  Advance(2s);
  log::v1::CommandBatch tick;
  tick.set_time_ms(wall_ms_);
  ApplyForeign(tick);
  ASSERT_EQ(LogState("a"), v1::JOB_STATE_READY);
  EXPECT_TRUE(Lease(LeaseRequest()).empty()) << "its completion is in flight";
  CommitAll();
  EXPECT_EQ(ItemReason(complete), "OK");
  EXPECT_EQ(broker_->gauges().leases, 0u);
}

TEST_F(BrokerCommandsTest, AnAdoptedLeaseSurvivesARefusedCommand) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  ChangeLeader(2);
  Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  Take();
  RefuseOne(ProposalOutcome::Reason::kOverloaded);
  EXPECT_TRUE(Lease(LeaseRequest()).empty()) << "its holder was heard";
  Advance(options_.lease_timeout);
  Run();
  EXPECT_EQ(Get("a").counters().expired(), 1);
}

TEST_F(BrokerCommandsTest, OutcomesOfAnEarlierLeadershipDoNotTouchNewLeases) {
  Enqueue("a");
  const v1::Job old = LeaseOne();
  const auto complete = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(old));
  ASSERT_EQ(Take(), 1u);
  ChangeLeader(2);
  EXPECT_FALSE(complete->answered()) << "proposed: raft will tell";
  const auto again = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(old));
  ASSERT_EQ(Take(), 1u);
  LoseOne();
  EXPECT_EQ(complete->reason(), "COMMIT_UNKNOWN");
  EXPECT_EQ(complete->error().code, absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Lease(LeaseRequest()).empty()) << "the new completion still keeps the job";
  CommitAll();
  EXPECT_EQ(ItemReason(again), "OK");
}

// ---- what raft does with proposals ----

TEST_F(BrokerCommandsTest, RefusedAndLostProposals) {
  struct Case {
    ProposalOutcome::Kind kind;
    ProposalOutcome::Reason reason;
    const char* told;
  };
  const Case cases[] = {
      {ProposalOutcome::Kind::kNotAppended, ProposalOutcome::Reason::kNotLeader, "NO_LEADER"},
      {ProposalOutcome::Kind::kNotAppended, ProposalOutcome::Reason::kTransferring, "NO_LEADER"},
      {ProposalOutcome::Kind::kNotAppended, ProposalOutcome::Reason::kOverloaded, "OVERLOADED"},
      {ProposalOutcome::Kind::kUnknown, ProposalOutcome::Reason::kNone, "COMMIT_UNKNOWN"},
  };
  int n = 0;
  for (const Case& c : cases) {
    const auto enqueue = Submit<EnqueueCall>(EnqueueRequest(Spec("e" + std::to_string(++n))));
    ASSERT_EQ(Take(), 1u);
    EndOne(c.kind, c.reason);
    EXPECT_EQ(enqueue->reason(), c.told);
  }
  // After the node has reported the leader.
  const auto enqueue = Submit<EnqueueCall>(EnqueueRequest(Spec("e")));
  Take();
  StepDown();
  EXPECT_FALSE(enqueue->answered());
  RefuseOne(ProposalOutcome::Reason::kNotLeader);
  EXPECT_EQ(enqueue->reason(), "NOT_LEADER");
  EXPECT_EQ(enqueue->error().metadata.at("leader_id"), "n2");
}

TEST_F(BrokerCommandsTest, PartsOfACallThatEndDifferentlyAreUnknownTogether) {
  BrokerOptions options;
  options.max_batch_commands = 1;
  Make(options, 2);
  const auto applied_first = Submit<EnqueueCall>(EnqueueRequest(Spec("a"), Spec("b")));
  ASSERT_EQ(Take(), 2u);
  CommitOne();
  RefuseOne(ProposalOutcome::Reason::kOverloaded);
  EXPECT_EQ(applied_first->reason(), "COMMIT_UNKNOWN");

  const auto refused = Submit<EnqueueCall>(EnqueueRequest(Spec("c"), Spec("d")));
  ASSERT_EQ(Take(), 2u);
  RefuseOne(ProposalOutcome::Reason::kOverloaded);
  EXPECT_FALSE(refused->answered());
  RefuseOne(ProposalOutcome::Reason::kOverloaded);
  EXPECT_EQ(refused->reason(), "OVERLOADED");

  const auto lost = Submit<EnqueueCall>(EnqueueRequest(Spec("e"), Spec("f")));
  ASSERT_EQ(Take(), 2u);
  RefuseOne(ProposalOutcome::Reason::kNotLeader);
  LoseOne();
  EXPECT_EQ(lost->reason(), "COMMIT_UNKNOWN");
}

TEST_F(BrokerCommandsTest, CommittedBeforeButAppliedAfterTheStepDown) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  const auto complete = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  Take();
  StepDown();
  CommitAll();
  EXPECT_EQ(ItemReason(complete), "OK");
}

}  // namespace
}  // namespace dqueue::queue
