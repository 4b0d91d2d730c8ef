// Pause, resume, delete, purge, redrive: refusals, the guard of jobs while a deletion is in flight,
// which calls are woken, and that purge and redrive find all matching jobs and no others.
#include <algorithm>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "queue/api/limits.h"
#include "queue/broker/testing/broker_fixture.h"
#include "queue/state/state_level.h"
#include "queue/state/testing/command_builder.h"

namespace dqueue::queue {
namespace {

using raft::ProposalOutcome;
using Strings = std::vector<std::string>;

class BrokerQueuesTest : public BrokerTest {
 protected:
  static v1::PauseQueueRequest PauseRequest(const std::string& queue, bool refuse = false) {
    v1::PauseQueueRequest request;
    request.set_queue(queue);
    request.set_refuse_enqueues(refuse);
    return request;
  }
  static v1::ResumeQueueRequest ResumeRequest(const std::string& queue) {
    v1::ResumeQueueRequest request;
    request.set_queue(queue);
    return request;
  }
  static v1::DeleteJobsRequest DeleteRequest(const std::string& id) {
    v1::DeleteJobsRequest request;
    request.add_ids(id);
    return request;
  }
  static v1::PurgeQueueRequest PurgeRequest(const std::string& queue, int max_jobs = 0,
                                            std::vector<v1::JobState> states = {}) {
    v1::PurgeQueueRequest request;
    request.set_queue(queue);
    request.set_max_jobs(max_jobs);
    for (const v1::JobState state : states) request.add_states(state);
    return request;
  }
  // Of an operation on a healthy leader: "OK" or the reason.
  template <class C>
  std::string Reason(typename C::RequestType request) {
    const auto reply = Submit<C>(std::move(request));
    Run();
    return reply->reason();
  }
  // Turns until the call is answered; how many.
  template <class Response>
  int RunUntil(const ReplyPtr<Response>& reply) {
    int turns = 0;
    for (; !reply->answered() && turns < 1000; ++turns) Run();
    EXPECT_TRUE(reply->answered());
    return turns;
  }
  // "purged 2" or "purged 2, more".
  std::string Purge(v1::PurgeQueueRequest request) {
    const auto reply = Submit<PurgeCall>(std::move(request));
    RunUntil(reply);
    if (!reply->ok()) return reply->reason();
    return "purged " + std::to_string(reply->value().purged()) +
           (reply->value().more() ? ", more" : "");
  }
  std::string Redrive(v1::RedriveJobsRequest request) {
    const auto reply = Submit<RedriveCall>(std::move(request));
    RunUntil(reply);
    if (!reply->ok()) return reply->reason();
    return "redriven " + std::to_string(reply->value().redriven()) +
           (reply->value().more() ? ", more" : "");
  }
  void MakeDead(const std::string& id, const std::string& error, const std::string& queue = "q",
                const std::string& type = "t") {
    Enqueue(id, queue, type);
    log::v1::CommandBatch batch;
    log::v1::Fail* fail = batch.add_commands()->mutable_fail();
    fail->set_id(id);
    fail->mutable_token()->set_term(1);
    fail->mutable_token()->set_sequence(1000);
    fail->set_error(error);
    fail->set_reject(true);
    ApplyForeign(batch);
    ASSERT_EQ(LogState(id), v1::JOB_STATE_DEAD);
  }
  // So many jobs, by a log that this broker did not write.
  void EnqueueForeign(int count, const std::string& prefix, const std::string& queue) {
    log::v1::CommandBatch batch;
    for (int i = 0; i < count; ++i) {
      auto* job = batch.add_commands()->mutable_enqueue()->add_jobs();
      job->set_id(prefix + std::to_string(i));
      job->set_queue(queue);
      job->set_type("t");
    }
    ApplyForeign(batch);
  }
  ReplyPtr<v1::LeaseJobsResponse> Sleeper(const std::string& worker) {
    const auto reply = Submit<LeaseCall>(LeaseRequest(worker, 1, {"q"}, 60));
    Run();
    EXPECT_FALSE(reply->answered());
    return reply;
  }
  static Strings Ids(const ReplyPtr<v1::LeaseJobsResponse>& reply) {
    Strings ids;
    if (!reply->ok()) return {reply->reason()};
    for (const v1::Job& job : reply->value().jobs()) ids.push_back(job.id());
    return ids;
  }
  bool Exists(const std::string& id) const { return state_->Find(id) != JobRef{}; }
};

// ---- pause and resume ----

// A resumed queue without jobs is idle, so a later command of the same entry may forget it.
TEST_F(BrokerQueuesTest, AnIdleQueueThatIsForgottenAtOnceIsShownEmpty) {
  ApplyForeign(BatchBuilder(wall_ms_).Level(kStateLevelMax).batch());
  for (size_t i = 1; i < kQueuesMax; ++i) {
    Submit<PauseCall>(PauseRequest("q" + std::to_string(i)));
    if (i % 1000 == 0) Run();
  }
  Run();
  ASSERT_EQ(Reason<PauseCall>(PauseRequest("last")), "OK");
  ASSERT_EQ(Reason<PauseCall>(PauseRequest("beyond")), "TOO_MANY_QUEUES");
  const auto resumed = Submit<ResumeCall>(ResumeRequest("last"));
  const auto paused = Submit<PauseCall>(PauseRequest("beyond"));
  Run();
  EXPECT_EQ(paused->reason(), "OK");
  ASSERT_EQ(resumed->reason(), "OK");
  EXPECT_EQ(resumed->value().stats().queue(), "last");
  EXPECT_EQ(resumed->value().stats().enqueued(), 0);
  EXPECT_FALSE(resumed->value().stats().paused());
}

TEST_F(BrokerQueuesTest, PauseAndResumeAnswerWithTheQueue) {
  Enqueue("a");
  const auto paused = Submit<PauseCall>(PauseRequest("q", true));
  EXPECT_FALSE(paused->answered());
  Run();
  ASSERT_TRUE(paused->ok());
  EXPECT_EQ(paused->value().stats().queue(), "q");
  EXPECT_EQ(paused->value().stats().ready(), 1u);
  EXPECT_TRUE(paused->value().stats().paused());
  EXPECT_TRUE(paused->value().stats().refuses_enqueues());
  EXPECT_EQ(Reason<PauseCall>(PauseRequest("q", true)), "OK") << "again";
  const auto resumed = Submit<ResumeCall>(ResumeRequest("q"));
  Run();
  ASSERT_TRUE(resumed->ok());
  EXPECT_FALSE(resumed->value().stats().paused());
  EXPECT_EQ(Reason<ResumeCall>(ResumeRequest("q")), "OK") << "again";
}

TEST_F(BrokerQueuesTest, OnlyPauseMakesAQueue) {
  EXPECT_EQ(Reason<ResumeCall>(ResumeRequest("new")), "QUEUE_NOT_FOUND");
  EXPECT_EQ(Reason<PauseCall>(PauseRequest("new")), "OK");
  EXPECT_EQ(Reason<ResumeCall>(ResumeRequest("new")), "OK");
}

TEST_F(BrokerQueuesTest, BadRequestsWriteNoEntry) {
  EXPECT_EQ(Reason<PauseCall>(PauseRequest("")), "INVALID_FIELD");
  EXPECT_EQ(Reason<ResumeCall>(ResumeRequest("_x")), "INVALID_FIELD");
  EXPECT_EQ(Reason<PurgeCall>(PurgeRequest("q", 10001)), "INVALID_FIELD");
  EXPECT_EQ(Reason<PurgeCall>(PurgeRequest("q", 1, {v1::JOB_STATE_LEASED})), "INVALID_FIELD");
  v1::RedriveJobsRequest redrive;
  redrive.set_type("a b");
  EXPECT_EQ(Reason<RedriveCall>(redrive), "INVALID_FIELD");
  EXPECT_EQ(index_, 0u);
}

TEST_F(BrokerQueuesTest, NothingIsLeasedFromAPausedQueueAndLeasesGoOn) {
  Enqueue("a");
  Enqueue("b");
  const v1::Job held = LeaseOne();
  EXPECT_EQ(Reason<PauseCall>(PauseRequest("q")), "OK");
  EXPECT_TRUE(Lease(LeaseRequest("w2")).empty());
  EXPECT_EQ(Do<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>(held)), "OK");
  EXPECT_EQ(Do<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(held)), "OK");
}

TEST_F(BrokerQueuesTest, AJobReleasedIntoAPausedQueueIsNotLeased) {
  Enqueue("a");
  const v1::Job held = LeaseOne();
  EXPECT_EQ(Reason<PauseCall>(PauseRequest("q")), "OK");
  const auto sleeper = Sleeper("w2");
  EXPECT_EQ(Do<ReleaseCall>(ItemRequest<v1::ReleaseJobsRequest>(held)), "OK");
  EXPECT_FALSE(sleeper->answered());
  EXPECT_EQ(Reason<ResumeCall>(ResumeRequest("q")), "OK");
  EXPECT_EQ(Ids(sleeper), Strings{"a"});
}

TEST_F(BrokerQueuesTest, ALeaseOfAnEarlierLeaderGoesOnWhilePaused) {
  Enqueue("a");
  const v1::Job held = LeaseOne();
  EXPECT_EQ(Reason<PauseCall>(PauseRequest("q")), "OK");
  StepDown();
  Lead(2);
  EXPECT_EQ(Do<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>(held)), "OK");
}

TEST_F(BrokerQueuesTest, ResumeWakesInTheOrderOfArrival) {
  EXPECT_EQ(Reason<PauseCall>(PauseRequest("q")), "OK");
  Enqueue("a");
  Enqueue("b");
  const auto first = Sleeper("w1");
  const auto second = Sleeper("w2");
  const auto third = Sleeper("w3");
  Submit<ResumeCall>(ResumeRequest("q"));
  Take();
  CommitAll();
  const auto newcomer = Submit<LeaseCall>(LeaseRequest("w4", 1));
  Run();
  EXPECT_EQ(Ids(first), Strings{"a"});
  EXPECT_EQ(Ids(second), Strings{"b"});
  EXPECT_FALSE(third->answered());
  EXPECT_EQ(Ids(newcomer), Strings{});
}

TEST_F(BrokerQueuesTest, ResumeWakesCallsForOneTypeOnly) {
  EXPECT_EQ(Reason<PauseCall>(PauseRequest("q")), "OK");
  Enqueue("urgent", "q", "other");
  Enqueue("mail", "q", "mail");
  auto request = LeaseRequest("w1", 1, {"q"}, 60);
  request.add_types("mail");
  const auto sleeper = Submit<LeaseCall>(request);
  Run();
  EXPECT_EQ(Reason<ResumeCall>(ResumeRequest("q")), "OK");
  EXPECT_EQ(Ids(sleeper), Strings{"mail"});
}

TEST_F(BrokerQueuesTest, APauseBetweenWakeUpAndConfirmationCounts) {
  const auto sleeper = Sleeper("w1");
  Enqueue("a");
  Submit<PauseCall>(PauseRequest("q"));
  Take();
  CommitAll();
  Run();
  EXPECT_FALSE(sleeper->answered());
  EXPECT_EQ(broker_->gauges().leases, 0u);
  EXPECT_EQ(Reason<ResumeCall>(ResumeRequest("q")), "OK");
  EXPECT_EQ(Ids(sleeper), Strings{"a"});
}

TEST_F(BrokerQueuesTest, ARefusingQueueRefusesEachJobOrAll) {
  Enqueue("a");
  EXPECT_EQ(Reason<PauseCall>(PauseRequest("q", true)), "OK");
  const auto each = Submit<EnqueueCall>(EnqueueRequest(Spec("a"), Spec("b"), Spec("c", "other")));
  Run();
  ASSERT_TRUE(each->ok());
  EXPECT_FALSE(each->value().results(0).has_error());
  EXPECT_FALSE(each->value().results(0).created());
  EXPECT_EQ(each->value().results(1).error().code(),
            static_cast<int>(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(each->value().results(1).error()), "QUEUE_PAUSED");
  EXPECT_EQ(each->value().results(1).error().message(),
            "the queue of job \"b\" is paused and takes no new jobs");
  EXPECT_TRUE(each->value().results(2).created());
  auto request = EnqueueRequest(Spec("d", "other"), Spec("e"));
  request.set_all_or_nothing(true);
  const auto all = Submit<EnqueueCall>(request);
  Run();
  EXPECT_EQ(all->reason(), "BATCH_REJECTED");
  EXPECT_EQ(all->error().code, absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(all->error().metadata.at("item_reason"), "QUEUE_PAUSED");
  EXPECT_EQ(all->error().metadata.at("index"), "1");
  EXPECT_FALSE(Exists("d"));
}

// ---- delete ----

TEST_F(BrokerQueuesTest, DeleteRemovesAJobAtOnce) {
  Enqueue("a");
  const auto reply = Submit<DeleteCall>(DeleteRequest("a"));
  ASSERT_EQ(Take(), 1u);
  EXPECT_FALSE(reply->answered());
  CommitAll();
  EXPECT_EQ(ItemReason(reply), "OK");
  EXPECT_FALSE(Exists("a"));
}

TEST_F(BrokerQueuesTest, DeletingAnUnknownJobIsRefusedWithoutALogEntry) {
  const auto reply = Submit<DeleteCall>(DeleteRequest("a"));
  EXPECT_EQ(Take(), 0u);
  EXPECT_FALSE(reply->answered()) << "a refusal waits for a confirmation";
  Run();
  EXPECT_EQ(ItemReason(reply), "JOB_NOT_FOUND");
}

TEST_F(BrokerQueuesTest, ALeasedJobIsNotDeleted) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  const auto reply = Submit<DeleteCall>(DeleteRequest("a"));
  EXPECT_EQ(Take(), 0u);
  Run();
  EXPECT_EQ(ItemReason(reply), "INVALID_STATE");
  EXPECT_EQ(ItemMetadata(reply, "state"), "LEASED");
  EXPECT_EQ(reply->value().results(0).message(), "job \"a\" is LEASED, which does not allow this");
  EXPECT_EQ(Do<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job)), "OK");
}

TEST_F(BrokerQueuesTest, AJobWhoseCompletionIsInFlightIsNotDeleted) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  const auto complete = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  ASSERT_EQ(Take(), 1u);
  const auto deleted = Submit<DeleteCall>(DeleteRequest("a"));
  Run();
  EXPECT_EQ(ItemReason(complete), "OK");
  EXPECT_EQ(ItemReason(deleted), "INVALID_STATE");
  EXPECT_EQ(LogState("a"), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(Do<DeleteCall>(DeleteRequest("a")), "OK");
}

TEST_F(BrokerQueuesTest, AFinishedJobIsDeletedBesideARepeatedCompletion) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  const auto first = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  ASSERT_EQ(Take(), 1u);
  const auto second = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  CommitOne();
  const auto deleted = Submit<DeleteCall>(DeleteRequest("a"));
  Run();
  EXPECT_EQ(ItemReason(first), "OK");
  EXPECT_EQ(ItemReason(second), "OK");
  EXPECT_EQ(ItemReason(deleted), "OK");
  EXPECT_EQ(broker_->gauges().leases, 0u);
}

TEST_F(BrokerQueuesTest, AJobWhoseDeletionIsInFlightIsNotLeased) {
  Enqueue("a");
  Enqueue("b");
  const auto deleted = Submit<DeleteCall>(DeleteRequest("a"));
  ASSERT_EQ(Take(), 1u);
  const std::vector<v1::Job> jobs = Lease(LeaseRequest("w"));
  ASSERT_EQ(jobs.size(), 1u);
  EXPECT_EQ(jobs[0].id(), "b");
  EXPECT_EQ(Get("a").state(), v1::JOB_STATE_LEASED) << "it cannot be leased";
  EXPECT_FALSE(Get("a").has_lease());
  v1::ListJobsRequest list;
  list.set_state(v1::JOB_STATE_LEASED);
  const auto listed = Submit<ListCall>(list);
  Begin();
  EndRound();
  ASSERT_EQ(listed->value().jobs_size(), 2);
  for (const v1::Job& job : listed->value().jobs()) EXPECT_EQ(job.state(), v1::JOB_STATE_LEASED);
  CommitAll();
  EXPECT_EQ(ItemReason(deleted), "OK");
  EXPECT_FALSE(Exists("a"));
}

TEST_F(BrokerQueuesTest, AScheduledJobThatBecomesReadyMeanwhileIsNotLeasedEither) {
  v1::JobSpec later = Spec("a");
  later.mutable_delay()->set_seconds(1);
  Enqueue(later);
  Submit<DeleteCall>(DeleteRequest("a"));
  ASSERT_EQ(Take(), 1u);
  log::v1::CommandBatch tick;
  tick.set_time_ms(wall_ms_ + 5000);
  ApplyForeign(tick);
  ASSERT_EQ(LogState("a"), v1::JOB_STATE_READY);
  EXPECT_TRUE(Lease(LeaseRequest("w")).empty());
  CommitAll();
}

TEST_F(BrokerQueuesTest, AfterALostDeletionTheJobIsLeasedToAWaitingCall) {
  Enqueue("a");
  const auto deleted = Submit<DeleteCall>(DeleteRequest("a"));
  const auto again = Submit<DeleteCall>(DeleteRequest("a"));
  ASSERT_EQ(Take(), 1u);
  const auto sleeper = Submit<LeaseCall>(LeaseRequest("w", 1, {"q"}, 60));
  ASSERT_TRUE(Begin());
  EndRound();
  EXPECT_FALSE(sleeper->answered());
  RefuseOne(ProposalOutcome::Reason::kOverloaded);
  EXPECT_EQ(deleted->reason(), "OVERLOADED");
  EXPECT_EQ(again->reason(), "OVERLOADED");
  Run();
  EXPECT_EQ(Ids(sleeper), Strings{"a"});
}

TEST_F(BrokerQueuesTest, TheFirstOfTwoDeletionsDoesNotFreeTheJob) {
  BrokerOptions options;
  options.max_batch_commands = 1;
  Make(options, 2);
  Enqueue("a");
  Submit<DeleteCall>(DeleteRequest("a"));
  const auto second = Submit<DeleteCall>(DeleteRequest("a"));
  ASSERT_EQ(Take(), 2u);
  EXPECT_TRUE(Lease(LeaseRequest("w")).empty());
  RefuseOne(ProposalOutcome::Reason::kOverloaded);
  EXPECT_TRUE(Lease(LeaseRequest("w")).empty());
  CommitAll();
  EXPECT_EQ(ItemReason(second), "OK");
  EXPECT_FALSE(Exists("a"));
}

TEST_F(BrokerQueuesTest, AJobThatIsCancelledAndRetriedMeanwhileIsStillKept) {
  BrokerOptions options;
  options.max_batch_commands = 1;
  Make(options, 2);
  Enqueue("a");
  v1::CancelJobsRequest cancel;
  cancel.add_ids("a");
  Submit<CancelCall>(cancel);
  const auto deleted = Submit<DeleteCall>(DeleteRequest("a"));
  ASSERT_EQ(Take(), 2u);
  EXPECT_TRUE(Lease(LeaseRequest("w")).empty()) << "kept";
  CommitOne();
  log::v1::CommandBatch retry;
  retry.add_commands()->mutable_retry()->set_id("a");
  ApplyForeign(retry);
  EXPECT_TRUE(Lease(LeaseRequest("w")).empty()) << "kept again";
  CommitAll();
  EXPECT_EQ(ItemReason(deleted), "OK");
}

TEST_F(BrokerQueuesTest, TheSameIdEnqueuedAgainIsNotDeleted) {
  Enqueue("a");
  BrokerOptions options;
  options.max_batch_commands = 1;
  Make(options, 2);
  const auto first = Submit<DeleteCall>(DeleteRequest("a"));
  const auto second = Submit<DeleteCall>(DeleteRequest("a"));
  ASSERT_EQ(Take(), 2u);
  CommitOne();
  log::v1::CommandBatch enqueue;
  auto* job = enqueue.add_commands()->mutable_enqueue()->add_jobs();
  job->set_id("a");
  job->set_queue("q");
  job->set_type("t");
  ApplyForeign(enqueue);
  CommitOne();
  EXPECT_EQ(ItemReason(first), "OK");
  EXPECT_EQ(ItemReason(second), "JOB_NOT_FOUND");
  EXPECT_EQ(LeaseOne().id(), "a");
}

// The new leader does not know the lease until it hears of it.
TEST_F(BrokerQueuesTest, ADeletionMeetsALeaseOfAnEarlierLeader) {
  Enqueue("a");
  const v1::Job held = LeaseOne();
  StepDown();
  Lead(2);
  Submit<DeleteCall>(DeleteRequest("a"));
  ASSERT_EQ(Take(), 1u);
  const auto extended = Submit<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>(held));
  Begin();
  EndRound();
  EXPECT_EQ(ItemReason(extended), "LEASE_STALE");
  CommitAll();
  EXPECT_EQ(Do<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(held)), "JOB_NOT_FOUND");
  EXPECT_EQ(broker_->gauges().leases, 0u);
}

TEST_F(BrokerQueuesTest, ACompletionBehindADeletionFindsNoJob) {
  Enqueue("a");
  const v1::Job held = LeaseOne();
  StepDown();
  Lead(2);
  const auto deleted = Submit<DeleteCall>(DeleteRequest("a"));
  const auto complete = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(held));
  Run();
  EXPECT_EQ(ItemReason(deleted), "OK");
  EXPECT_EQ(ItemReason(complete), "JOB_NOT_FOUND");
  EXPECT_EQ(broker_->gauges().leases, 0u);
}

// Another leader proposed it.
TEST_F(BrokerQueuesTest, ADeletionOfAnEarlierLeaderEndsALease) {
  Enqueue("a");
  const v1::Job held = LeaseOne();
  log::v1::CommandBatch batch;
  batch.add_commands()->mutable_delete_job()->set_id("a");
  ApplyForeign(batch);
  EXPECT_EQ(broker_->gauges().leases, 0u);
  EXPECT_EQ(Do<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(held)), "JOB_NOT_FOUND");
}

TEST_F(BrokerQueuesTest, StepDownForgetsDeletions) {
  Enqueue("a");
  const auto deleted = Submit<DeleteCall>(DeleteRequest("a"));
  ASSERT_EQ(Take(), 1u);
  EXPECT_TRUE(Lease(LeaseRequest("w")).empty());
  StepDown();
  Lead(2);
  EXPECT_EQ(LeaseOne().id(), "a");
  LoseOne();
  EXPECT_EQ(deleted->reason(), "COMMIT_UNKNOWN");
}

// ---- purge ----

TEST_F(BrokerQueuesTest, PurgeDeletesOnlyWaitingJobsOfTheQueue) {
  Enqueue("held");
  LeaseOne();
  Enqueue("ready");
  v1::JobSpec later = Spec("later");
  later.mutable_delay()->set_seconds(100);
  Enqueue(later);
  Enqueue("elsewhere", "other");
  MakeDead("dead", "why");
  EXPECT_EQ(Purge(PurgeRequest("q")), "purged 2");
  EXPECT_TRUE(Exists("held"));
  EXPECT_TRUE(Exists("dead"));
  EXPECT_TRUE(Exists("elsewhere"));
  EXPECT_EQ(Purge(PurgeRequest("q", 0, {v1::JOB_STATE_DEAD, v1::JOB_STATE_DEAD})), "purged 1");
  EXPECT_EQ(Purge(PurgeRequest("q")), "purged 0");
}

TEST_F(BrokerQueuesTest, AnUnknownQueueIsNotPurgedAndNotRedriven) {
  const auto purge = Submit<PurgeCall>(PurgeRequest("typo"));
  EXPECT_FALSE(purge->answered()) << "a refusal waits for a confirmation";
  Run();
  EXPECT_EQ(purge->reason(), "QUEUE_NOT_FOUND");
  v1::RedriveJobsRequest redrive;
  redrive.set_queue("typo");
  EXPECT_EQ(Redrive(redrive), "QUEUE_NOT_FOUND");
  EXPECT_EQ(index_, 0u);
}

TEST_F(BrokerQueuesTest, AnEmptySweepIsAnsweredAfterAConfirmation) {
  Enqueue("a", "other");
  v1::RedriveJobsRequest all;
  const auto reply = Submit<RedriveCall>(all);
  broker_->OnTimer(now_, wall_ms_);
  EXPECT_FALSE(reply->answered());
  ASSERT_TRUE(Begin());
  EndRound(/*confirmed=*/false);
  EXPECT_EQ(reply->reason(), "NO_LEADER");
}

TEST_F(BrokerQueuesTest, PurgeReportsWhetherMoreJobsMatch) {
  for (int i = 0; i < 5; ++i) Enqueue("j" + std::to_string(i));
  EXPECT_EQ(Purge(PurgeRequest("q", 2)), "purged 2, more");
  EXPECT_EQ(Purge(PurgeRequest("q", 2)), "purged 2, more");
  EXPECT_EQ(Purge(PurgeRequest("q", 2)), "purged 1");
}

// A purge starts where the last one stopped, and continues at the beginning.
TEST_F(BrokerQueuesTest, PurgeFindsAllWhereverTheLastOneStopped) {
  for (int i = 0; i < 3; ++i) Enqueue("a" + std::to_string(i), "one");
  for (int i = 0; i < 3; ++i) Enqueue("b" + std::to_string(i), "two");
  EXPECT_EQ(Purge(PurgeRequest("two", 1)), "purged 1, more");
  EXPECT_EQ(Purge(PurgeRequest("one")), "purged 3");
  EXPECT_EQ(Purge(PurgeRequest("two", 2)), "purged 2");
}

TEST_F(BrokerQueuesTest, TwoPurgesAtOnceShareTheWork) {
  for (int i = 0; i < 5; ++i) Enqueue("j" + std::to_string(i));
  const auto first = Submit<PurgeCall>(PurgeRequest("q"));
  const auto second = Submit<PurgeCall>(PurgeRequest("q"));
  RunUntil(first);
  RunUntil(second);
  EXPECT_EQ(first->value().purged() + second->value().purged(), 5);
}

TEST_F(BrokerQueuesTest, PurgeLeavesAJobWhoseLateCompletionIsInFlight) {
  v1::JobSpec spec = Spec("a");
  spec.mutable_retry()->set_backoff(v1::RetryPolicy::BACKOFF_FIXED);
  Enqueue(spec);
  const v1::Job held = LeaseOne();
  StepDown();
  Lead(2);
  const auto complete = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(held));
  EXPECT_EQ(Purge(PurgeRequest("q")), "purged 0");
  EXPECT_EQ(ItemReason(complete), "OK");
}

TEST_F(BrokerQueuesTest, PurgeDoesNotTakeALaterJobOfTheSameId) {
  Enqueue("a");
  const auto purge = Submit<PurgeCall>(PurgeRequest("q"));
  broker_->OnTimer(now_, wall_ms_);
  ASSERT_EQ(Take(), 1u);
  log::v1::CommandBatch replace;
  replace.add_commands()->mutable_delete_job()->set_id("a");
  auto* job = replace.add_commands()->mutable_enqueue()->add_jobs();
  job->set_id("a");
  job->set_queue("q");
  job->set_type("t");
  ApplyForeign(replace);
  CommitAll();
  RunUntil(purge);
  EXPECT_EQ(purge->value().purged(), 0);
  EXPECT_EQ(LeaseOne().id(), "a");
}

TEST_F(BrokerQueuesTest, PurgeLeavesAJobWhoseStateHasChanged) {
  MakeDead("a", "bad");
  MakeDead("b", "bad");
  const auto purge = Submit<PurgeCall>(PurgeRequest("q", 0, {v1::JOB_STATE_DEAD}));
  broker_->OnTimer(now_, wall_ms_);
  ASSERT_EQ(Take(), 1u);
  log::v1::CommandBatch retry;
  retry.add_commands()->mutable_retry()->set_id("a");
  ApplyForeign(retry);
  CommitAll();
  RunUntil(purge);
  EXPECT_EQ(purge->value().purged(), 1);
  EXPECT_EQ(LeaseOne().id(), "a");
  EXPECT_FALSE(Exists("b"));
}

TEST_F(BrokerQueuesTest, AStepOfASweepIsBounded) {
  EnqueueForeign(50000, "x", "other");
  EnqueueForeign(2500, "y", "q");
  const auto reply = Submit<PurgeCall>(PurgeRequest("q", 10000));
  ASSERT_TRUE(Begin());
  EndRound();
  size_t turns = 0;
  size_t pending = 0;
  while (!reply->answered() && turns < 100) {
    const Time due = broker_->Deadline(now_, wall_ms_);
    EXPECT_EQ(due, now_ + 1ms) << "it goes on";
    broker_->OnTimer(now_, wall_ms_);
    EXPECT_LE(broker_->gauges().pending_commands, pending + 1000);
    pending = broker_->gauges().pending_commands;
    if (pending == 2500) Run();
    ++turns;
  }
  ASSERT_TRUE(reply->ok());
  EXPECT_GE(turns, 5u) << "52,500 jobs to look at, 2,500 to pick";
  EXPECT_EQ(reply->value().purged(), 2500);
  EXPECT_FALSE(reply->value().more());
}

TEST_F(BrokerQueuesTest, SweepsPauseWhileTooManyCommandsWait) {
  BrokerOptions options;
  options.max_pending_commands = 1000;
  Make(options, 2);
  EnqueueForeign(3000, "y", "q");
  const auto reply = Submit<PurgeCall>(PurgeRequest("q", 10000));
  for (int i = 0; i < 5; ++i) broker_->OnTimer(now_, wall_ms_);
  EXPECT_EQ(broker_->gauges().pending_commands, 1000u);
  RunUntil(reply);
  EXPECT_EQ(reply->value().purged(), 3000);
}

TEST_F(BrokerQueuesTest, ADeadlineEndsASweepAndKeepsWhatWasFound) {
  EnqueueForeign(1, "a", "q");
  EnqueueForeign(30000, "x", "other");
  EnqueueForeign(1, "b", "q");
  const auto reply = Submit<PurgeCall>(PurgeRequest("q"), now_ + 1s);
  broker_->OnTimer(now_, wall_ms_);
  ASSERT_EQ(Take(), 1u);
  Advance(2s);
  CommitAll();
  Run();
  ASSERT_TRUE(reply->ok());
  EXPECT_EQ(reply->value().purged(), 1);
  EXPECT_TRUE(reply->value().more());
  EXPECT_TRUE(Exists("b0"));
}

TEST_F(BrokerQueuesTest, ADeadlineBeforeAnythingWasFoundMeansNoEffect) {
  EnqueueForeign(30000, "x", "other");
  EnqueueForeign(1, "b", "q");
  const auto reply = Submit<PurgeCall>(PurgeRequest("q"), now_ + 1s);
  broker_->OnTimer(now_, wall_ms_);
  Advance(2s);
  Run();
  EXPECT_EQ(reply->reason(), "DEADLINE_PASSED");
  EXPECT_TRUE(Exists("b0"));
}

TEST_F(BrokerQueuesTest, ASweepEndsWithItsCaller) {
  EnqueueForeign(1, "a", "q");
  EnqueueForeign(30000, "x", "other");
  EnqueueForeign(1, "b", "q");
  PurgeCall call;
  call.request = PurgeRequest("q");
  call.cancelled = std::make_shared<std::atomic<bool>>(false);
  const auto cancelled = call.cancelled;
  const auto reply = SubmitCall(std::move(call));
  broker_->OnTimer(now_, wall_ms_);
  ASSERT_EQ(Take(), 1u);
  cancelled->store(true);
  CommitAll();
  Run();
  ASSERT_TRUE(reply->ok());
  EXPECT_EQ(reply->value().purged(), 1) << "what was proposed is carried out";
  EXPECT_TRUE(reply->value().more());
  EXPECT_TRUE(Exists("b0"));
}

TEST_F(BrokerQueuesTest, StepDownEndsSweeps) {
  EnqueueForeign(1, "a", "q");
  EnqueueForeign(30000, "x", "other");
  const auto nothing_yet = Submit<PurgeCall>(PurgeRequest("q"));
  StepDown();
  EXPECT_EQ(nothing_yet->reason(), "NOT_LEADER");
  Lead(2);
  const auto proposed = Submit<PurgeCall>(PurgeRequest("q"));
  broker_->OnTimer(now_, wall_ms_);
  ASSERT_EQ(Take(), 1u);
  StepDown();
  EXPECT_FALSE(proposed->answered());
  LoseOne();
  EXPECT_EQ(proposed->reason(), "COMMIT_UNKNOWN");
}

TEST_F(BrokerQueuesTest, TooManyPurgesAtOnceAreRefused) {
  EnqueueForeign(1, "a", "q");
  std::vector<ReplyPtr<v1::PurgeQueueResponse>> replies;
  for (int i = 0; i < 101; ++i) replies.push_back(Submit<PurgeCall>(PurgeRequest("q")));
  EXPECT_EQ(replies.back()->reason(), "OVERLOADED");
  for (const auto& reply : replies) RunUntil(reply);
}

// ---- redrive ----

TEST_F(BrokerQueuesTest, RedriveRetriesTheDeadJobsThatMatch) {
  MakeDead("a", "connection refused: db1", "mail", "smtp");
  MakeDead("b", "timeout", "mail", "smtp");
  MakeDead("c", "connection refused: db2", "other", "smtp");
  MakeDead("d", "connection refused: db1", "mail", "push");
  Enqueue("cancelled", "mail", "smtp");
  v1::CancelJobsRequest cancel;
  cancel.add_ids("cancelled");
  Do<CancelCall>(cancel);
  v1::RedriveJobsRequest request;
  request.set_queue("mail");
  request.set_type("smtp");
  request.set_error_contains("refused");
  EXPECT_EQ(Redrive(request), "redriven 1");
  EXPECT_EQ(LogState("a"), v1::JOB_STATE_READY);
  EXPECT_EQ(Get("a").counters().failed(), 0);
  EXPECT_EQ(LogState("b"), v1::JOB_STATE_DEAD);
  v1::RedriveJobsRequest all;
  all.set_max_jobs(2);
  EXPECT_EQ(Redrive(all), "redriven 2, more");
  EXPECT_EQ(Redrive(all), "redriven 1");
  EXPECT_EQ(LogState("cancelled"), v1::JOB_STATE_CANCELLED);
}

TEST_F(BrokerQueuesTest, RedriveDoesNotTouchALaterJobOfTheSameId) {
  MakeDead("a", "why");
  const auto reply = Submit<RedriveCall>({});
  broker_->OnTimer(now_, wall_ms_);
  ASSERT_EQ(Take(), 1u);
  log::v1::CommandBatch replace;
  replace.add_commands()->mutable_delete_job()->set_id("a");
  ApplyForeign(replace);
  MakeDead("a", "another");
  CommitAll();
  RunUntil(reply);
  EXPECT_EQ(reply->value().redriven(), 0);
  EXPECT_EQ(LogState("a"), v1::JOB_STATE_DEAD);
}

}  // namespace
}  // namespace dqueue::queue
