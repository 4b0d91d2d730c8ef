// Roles, rounds, reads, deadlines, limits and ticks: behaviour that all kinds of calls share.
#include <string>

#include "gtest/gtest.h"
#include "queue/broker/testing/broker_fixture.h"

namespace dqueue::queue {
namespace {

using raft::ProposalOutcome;

class BrokerRolesTest : public BrokerTest {
 protected:
  static v1::GetJobRequest GetRequest(const std::string& id) {
    v1::GetJobRequest request;
    request.set_id(id);
    return request;
  }
  // One call of every kind, well formed. Calls f(reason) for each answer later.
  std::vector<std::function<std::string()>> SubmitAll() {
    std::vector<std::function<std::string()>> reasons;
    const auto add = [&reasons](auto reply) {
      reasons.push_back([reply] { return reply->reason(); });
    };
    v1::CancelJobsRequest cancel;
    cancel.add_ids("a");
    v1::RetryJobsRequest retry;
    retry.add_ids("a");
    add(Submit<EnqueueCall>(EnqueueRequest(Spec("new"))));
    add(Submit<LeaseCall>(LeaseRequest("w", 1, {"q"}, 20)));
    add(Submit<CompleteCall>(CompleteRequest("a", {1, 1})));
    add(Submit<FailCall>(ItemRequest<v1::FailJobsRequest>("a", {1, 1})));
    add(Submit<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>("a", {1, 1})));
    add(Submit<ReleaseCall>(ItemRequest<v1::ReleaseJobsRequest>("a", {1, 1})));
    add(Submit<GetCall>(GetRequest("a")));
    add(Submit<ListCall>({}));
    add(Submit<CancelCall>(cancel));
    add(Submit<RetryCall>(retry));
    add(Submit<StatsCall>({}));
    v1::PauseQueueRequest pause;
    pause.set_queue("other");
    v1::ResumeQueueRequest resume;
    resume.set_queue("other");
    v1::DeleteJobsRequest remove;
    remove.add_ids("a");
    v1::PurgeQueueRequest purge;
    purge.set_queue("q");
    add(Submit<PauseCall>(pause));
    add(Submit<ResumeCall>(resume));
    add(Submit<DeleteCall>(remove));
    add(Submit<PurgeCall>(purge));
    add(Submit<RedriveCall>({}));
    return reasons;
  }
};

TEST_F(BrokerRolesTest, WithoutLeadershipEverythingIsRefusedAtOnce) {
  Make({}, 0);
  for (const auto& reason : SubmitAll()) EXPECT_EQ(reason(), "NO_LEADER");
  const auto unserved = Submit<GetCall>(GetRequest("a"));
  EXPECT_EQ(unserved->error().code, absl::StatusCode::kUnavailable);
  EXPECT_EQ(unserved->error().retry_after, 100ms);
  broker_->SetHint({.leader_id = "n3", .leader_address = "h3:7", .term = 4});
  for (const auto& reason : SubmitAll()) EXPECT_EQ(reason(), "NOT_LEADER");
  const auto hinted = Submit<GetCall>(GetRequest("a"));
  EXPECT_EQ(hinted->error().code, absl::StatusCode::kUnavailable);
  EXPECT_EQ(hinted->error().metadata.at("leader_id"), "n3");
  EXPECT_EQ(hinted->error().metadata.at("leader_address"), "h3:7");
  EXPECT_EQ(hinted->error().metadata.at("term"), "4");
  EXPECT_FALSE(broker_->WantsConfirmation());
  EXPECT_EQ(Take(), 0u);
  EXPECT_EQ(broker_->Deadline(now_, wall_ms_), Time::max());
}

TEST_F(BrokerRolesTest, StepDownAnswersEverythingThatWaits) {
  Enqueue("a");
  // In all stages: asleep, gathered, in a round, not yet proposed.
  const auto asleep = Submit<LeaseCall>(LeaseRequest("w", 1, {"empty"}, 20));
  Run();
  const auto in_round = SubmitAll();
  ASSERT_TRUE(Begin());
  const auto gathered = SubmitAll();
  StepDown();
  EXPECT_EQ(asleep->reason(), "NOT_LEADER");
  for (const auto& reason : in_round) EXPECT_EQ(reason(), "NOT_LEADER");
  for (const auto& reason : gathered) EXPECT_EQ(reason(), "NOT_LEADER");
  EndRound(/*confirmed=*/true);  // too late; of no effect
  EXPECT_TRUE(grants_.empty());
  const Broker::Gauges gauges = broker_->gauges();
  EXPECT_EQ(gauges.leases + gauges.waiting_leases + gauges.waiting_reads + gauges.pending_commands +
                gauges.pending_bytes,
            0u);
}

TEST_F(BrokerRolesTest, StepDownEndsHoldsAndTheNextTermBeginsAnew) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  EXPECT_FALSE(state_->HasReady(std::vector<std::string>{"q"}, {}));
  StepDown();
  EXPECT_TRUE(state_->HasReady(std::vector<std::string>{"q"}, {}));
  EXPECT_EQ(Take(), 0u);
  Lead(5);
  const v1::Job again = LeaseOne();
  EXPECT_EQ(again.id(), "a");
  EXPECT_LT(TokenOf(job), TokenOf(again));
  EXPECT_EQ(TokenOf(again).term, 5u);
}

TEST_F(BrokerRolesTest, ANewTermWithoutAStepDownBetween) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  const auto waiting = Submit<LeaseCall>(LeaseRequest("w", 1, {"empty"}, 20));
  Lead(2);
  EXPECT_EQ(waiting->reason(), "NO_LEADER");
  EXPECT_EQ(LeaseOne().id(), "a");
  Lead(2);  // the same again: nothing happens
  EXPECT_EQ(broker_->gauges().leases, 1u);
}

TEST_F(BrokerRolesTest, MadeIdsDifferBetweenTermsOfTheSameSeed) {
  v1::JobSpec spec;
  const std::string first = Enqueue(spec);
  Make({}, 2);
  const std::string second = Enqueue(spec);
  EXPECT_NE(first.substr(20), second.substr(20));
}

TEST_F(BrokerRolesTest, DrainRefusesNewCallsAndFinishesTheOthers) {
  Enqueue("a");
  const auto before = Submit<EnqueueCall>(EnqueueRequest(Spec("b")));
  broker_->Drain();
  for (const auto& reason : SubmitAll()) EXPECT_EQ(reason(), "SHUTTING_DOWN");
  Run();
  EXPECT_TRUE(before->ok());
}

TEST_F(BrokerRolesTest, TheDestructorAnswersEveryCall) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  const auto in_flight = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  Take();
  const auto pending = Submit<EnqueueCall>(EnqueueRequest(Spec("b")));
  const auto asleep = Submit<LeaseCall>(LeaseRequest("w", 1, {"q"}, 20));
  const auto read = Submit<GetCall>(GetRequest("a"));
  broker_.reset();
  EXPECT_EQ(in_flight->reason(), "COMMIT_UNKNOWN");
  EXPECT_EQ(pending->reason(), "SHUTTING_DOWN");
  EXPECT_EQ(asleep->reason(), "SHUTTING_DOWN");
  EXPECT_EQ(read->reason(), "SHUTTING_DOWN");
}

// ---- reads ----

TEST_F(BrokerRolesTest, ReadsWaitForARoundThatBeganAfterThem) {
  Enqueue("a");
  const auto first = Submit<GetCall>(GetRequest("a"));
  ASSERT_TRUE(Begin());
  const auto second = Submit<GetCall>(GetRequest("a"));
  EXPECT_EQ(broker_->gauges().waiting_reads, 2u);
  EndRound();
  EXPECT_TRUE(first->ok());
  EXPECT_FALSE(second->answered());
  ASSERT_TRUE(Begin());
  EndRound();
  EXPECT_TRUE(second->ok());
  EXPECT_EQ(broker_->gauges().waiting_reads, 0u);
}

TEST_F(BrokerRolesTest, RoundsMayOverlap) {
  Enqueue("a");
  const auto first = Submit<GetCall>(GetRequest("a"));
  ASSERT_TRUE(Begin());
  const auto second = Submit<GetCall>(GetRequest("a"));
  ASSERT_TRUE(Begin());
  std::swap(rounds_[0], rounds_[1]);
  EndRound();
  EXPECT_FALSE(first->answered());
  EXPECT_TRUE(second->ok());
  EndRound();
  EXPECT_TRUE(first->ok());
}

TEST_F(BrokerRolesTest, UnconfirmedReadsAreRefused) {
  Enqueue("a");
  const auto get = Submit<GetCall>(GetRequest("a"));
  Begin();
  EndRound(/*confirmed=*/false);
  EXPECT_EQ(get->reason(), "NO_LEADER");
}

TEST_F(BrokerRolesTest, GetShowsTheLease) {
  Enqueue("a");
  EXPECT_EQ(Get("a").state(), v1::JOB_STATE_READY);
  const v1::Job leased = LeaseOne("worker");
  Advance(500ms);
  const v1::Job read = Get("a");
  EXPECT_EQ(read.state(), v1::JOB_STATE_LEASED);
  EXPECT_EQ(read.lease().worker_id(), "worker");
  EXPECT_EQ(TokenOf(read), TokenOf(leased));
  EXPECT_EQ(read.lease().remaining().seconds(), 29);
  EXPECT_EQ(read.lease().remaining().nanos(), 500'000'000);
  EXPECT_EQ(read.payload(), "payload");
  const auto missing = Submit<GetCall>(GetRequest("b"));
  Run();
  EXPECT_EQ(missing->reason(), "JOB_NOT_FOUND");
  EXPECT_EQ(missing->error().code, absl::StatusCode::kNotFound);
}

TEST_F(BrokerRolesTest, JobAgesAdvanceWhileTheLogIsIdle) {
  Enqueue("a");
  Advance(std::chrono::seconds(90));
  const auto stats = Submit<StatsCall>({});
  Run();
  ASSERT_TRUE(stats->ok());
  EXPECT_EQ(stats->value().total().oldest_ready_age().seconds(), 90);
  EXPECT_EQ(stats->value().queues(0).oldest_ready_age().seconds(), 90);
}

TEST_F(BrokerRolesTest, ListAndStatsShowLeases) {
  Enqueue("a");
  Enqueue("b");
  ASSERT_EQ(LeaseOne().id(), "a");
  const auto all = Submit<ListCall>({});
  v1::ListJobsRequest request;
  request.set_state(v1::JOB_STATE_LEASED);
  const auto leased = Submit<ListCall>(request);
  request.set_state(v1::JOB_STATE_READY);
  const auto ready = Submit<ListCall>(request);
  request.set_page_token("forged");
  const auto forged = Submit<ListCall>(request);
  v1::GetStatsRequest one;
  one.set_queue("q");
  const auto stats = Submit<StatsCall>(one);
  one.set_queue("never");
  const auto unknown = Submit<StatsCall>(one);
  Run();
  ASSERT_TRUE(all->ok() && leased->ok() && ready->ok() && stats->ok());
  EXPECT_EQ(all->value().jobs_size(), 2);
  ASSERT_EQ(leased->value().jobs_size(), 1);
  EXPECT_EQ(leased->value().jobs(0).id(), "a");
  EXPECT_EQ(leased->value().jobs(0).state(), v1::JOB_STATE_LEASED);
  EXPECT_TRUE(leased->value().jobs(0).has_lease());
  ASSERT_EQ(ready->value().jobs_size(), 1);
  EXPECT_EQ(ready->value().jobs(0).id(), "b");
  EXPECT_FALSE(ready->value().jobs(0).has_lease());
  EXPECT_EQ(forged->reason(), "INVALID_FIELD");
  EXPECT_EQ(forged->error().metadata.at("field"), "page_token");
  EXPECT_EQ(stats->value().total().leased(), 1u);
  EXPECT_EQ(stats->value().total().ready(), 1u);
  EXPECT_EQ(unknown->reason(), "QUEUE_NOT_FOUND");
}

TEST_F(BrokerRolesTest, ListPagesAreFiftyUnlessAsked) {
  v1::EnqueueJobsRequest request;
  for (int i = 0; i < 60; ++i) *request.add_jobs() = Spec("j" + std::to_string(i));
  Submit<EnqueueCall>(request);
  Run();
  const auto page = Submit<ListCall>({});
  Run();
  ASSERT_TRUE(page->ok());
  EXPECT_EQ(page->value().jobs_size(), 50);
  EXPECT_FALSE(page->value().next_page_token().empty());
}

// ---- deadlines ----

TEST_F(BrokerRolesTest, ADeadlineInThePastHasNoEffect) {
  const auto reply = Submit<EnqueueCall>(EnqueueRequest(Spec("a")), now_);
  EXPECT_EQ(reply->reason(), "DEADLINE_PASSED");
  EXPECT_EQ(reply->error().code, absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Submit<GetCall>(GetRequest("a"), now_ - 1ms)->reason(), "DEADLINE_PASSED");
  EXPECT_EQ(Submit<LeaseCall>(LeaseRequest(), now_)->reason(), "DEADLINE_PASSED");
  EXPECT_EQ(Take(), 0u);
}

TEST_F(BrokerRolesTest, CommandsPastTheirDeadlineAreNotProposed) {
  const auto late = Submit<EnqueueCall>(EnqueueRequest(Spec("a"), Spec("b")), now_ + 1s);
  const auto patient = Submit<EnqueueCall>(EnqueueRequest(Spec("c")));
  const auto last = Submit<EnqueueCall>(EnqueueRequest(Spec("d")), now_ + 2s);
  EXPECT_EQ(broker_->Deadline(now_, wall_ms_), now_ + 1s);
  Advance(1s);
  broker_->OnTimer(now_, wall_ms_);
  EXPECT_EQ(late->reason(), "DEADLINE_PASSED");
  EXPECT_EQ(broker_->gauges().pending_commands, 2u);
  ASSERT_EQ(Take(), 1u);
  log::v1::CommandBatch batch;
  ASSERT_TRUE(batch.ParseFromString(*batches_.front().payload));
  ASSERT_EQ(batch.commands_size(), 2);
  EXPECT_EQ(batch.commands(0).enqueue().jobs(0).id(), "c");
  EXPECT_EQ(batch.commands(1).enqueue().jobs(0).id(), "d");
  CommitAll();
  EXPECT_TRUE(patient->ok() && last->ok());
  EXPECT_EQ(broker_->gauges().pending_bytes, 0u);
}

TEST_F(BrokerRolesTest, ADroppedCompletionFreesItsLease) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  const auto late = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job), now_ + 1s);
  Advance(30s);
  ASSERT_EQ(Take(), 1u);
  EXPECT_EQ(late->reason(), "DEADLINE_PASSED");
  log::v1::CommandBatch batch;
  ASSERT_TRUE(batch.ParseFromString(*batches_.front().payload));
  ASSERT_EQ(batch.commands_size(), 1);
  EXPECT_TRUE(batch.commands(0).has_expire());
  CommitAll();
}

TEST_F(BrokerRolesTest, ACallThatIsPartlyProposedGoesOn) {
  BrokerOptions options;
  options.max_batch_commands = 1;
  Make(options, 2);
  const auto reply = Submit<EnqueueCall>(EnqueueRequest(Spec("a"), Spec("b")), now_ + 1s);
  auto first = broker_->TakeBatch(now_, wall_ms_);
  ASSERT_TRUE(first);
  batches_.push_back(*std::move(first));
  Advance(2s);
  Run();
  ASSERT_TRUE(reply->ok());
  EXPECT_TRUE(reply->value().results(1).created());
}

TEST_F(BrokerRolesTest, AnUnconfirmedReadEndsAtItsDeadline) {
  Enqueue("a");
  const auto get = Submit<GetCall>(GetRequest("a"), now_ + 1s);
  const auto lease = Submit<LeaseCall>(LeaseRequest(), now_ + 2s);
  ASSERT_TRUE(Begin());
  EXPECT_EQ(broker_->Deadline(now_, wall_ms_), now_ + 1s);
  Advance(1s);
  broker_->OnTimer(now_, wall_ms_);
  EXPECT_EQ(get->reason(), "DEADLINE_PASSED");
  EXPECT_FALSE(lease->answered());
  Advance(1s);
  broker_->OnTimer(now_, wall_ms_);
  EXPECT_EQ(lease->reason(), "DEADLINE_PASSED");
  EndRound();
  EXPECT_TRUE(grants_.empty());
}

// ---- bounds ----

TEST_F(BrokerRolesTest, WaitingCallsAreLimited) {
  BrokerOptions options;
  options.max_waiting_calls = 2;
  Make(options, 2);
  Submit<LeaseCall>(LeaseRequest("w", 1, {"q"}, 30));
  Submit<GetCall>(GetRequest("a"));
  const auto refused = Submit<GetCall>(GetRequest("a"));
  EXPECT_EQ(refused->reason(), "OVERLOADED");
  EXPECT_EQ(refused->error().code, absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(refused->error().metadata.at("limit"), "2");
  EXPECT_EQ(Submit<LeaseCall>(LeaseRequest())->reason(), "OVERLOADED");
  // Calls that end or extend leases are admitted, up to a limit of their own.
  const auto complete = Submit<CompleteCall>(CompleteRequest("a", {1, 1}));
  const auto extend = Submit<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>("a", {1, 1}));
  EXPECT_EQ(Submit<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>("a", {1, 1}))->reason(),
            "OVERLOADED");
  EXPECT_EQ(Submit<CompleteCall>(CompleteRequest("a", {1, 1}))->reason(), "OVERLOADED");
  Run();
  EXPECT_EQ(ItemReason(complete), "JOB_NOT_FOUND");
  EXPECT_EQ(ItemReason(extend), "JOB_NOT_FOUND");
}

TEST_F(BrokerRolesTest, OptionsAreChecked) {
  EXPECT_EQ(BrokerOptions().Problem(), "");
  BrokerOptions options;
  options.lease_timeout = 999ms;
  EXPECT_EQ(options.Problem(), "lease_timeout (999 ms) must be 1000 to 43200000 ms");
  options = {};
  options.max_retries = 1001;
  EXPECT_EQ(options.Problem(), "max_retries (1001) must be 0 to 1000");
  options = {};
  options.max_batch_commands = 0;
  EXPECT_EQ(options.Problem(), "max_batch_commands must be at least 1");
}

// ---- time ----

TEST_F(BrokerRolesTest, LogTimeNeverGoesBack) {
  const auto time_of = [](const Batch& batch) {
    log::v1::CommandBatch parsed;
    EXPECT_TRUE(parsed.ParseFromString(*batch.payload));
    return parsed.time_ms();
  };
  Submit<EnqueueCall>(EnqueueRequest(Spec("a")));
  Take();
  EXPECT_EQ(time_of(batches_.back()), kStartMs);
  wall_ms_ = 5;  // the clock was set back
  Submit<EnqueueCall>(EnqueueRequest(Spec("b")));
  Take();
  EXPECT_EQ(time_of(batches_.back()), kStartMs);
  CommitAll();
  // The log time of an entry of another leader counts, too.
  log::v1::CommandBatch foreign;
  foreign.set_time_ms(kStartMs + 7777);
  ApplyForeign(foreign);
  Submit<EnqueueCall>(EnqueueRequest(Spec("c")));
  Take();
  EXPECT_EQ(time_of(batches_.back()), kStartMs + 7777);
  CommitAll();
  // Any time fits: negative, tiny, far.
  for (const int64_t wall :
       {int64_t{4'398'046'511'103}, int64_t{4'398'046'511'104}, int64_t{200'000'000'000'000}}) {
    wall_ms_ = wall;
    Submit<EnqueueCall>(EnqueueRequest(Spec("t" + std::to_string(wall))));
    Take();
    EXPECT_EQ(time_of(batches_.back()), wall);
    CommitAll();
  }
}

TEST_F(BrokerRolesTest, SmallTimesAreEncodedToo) {
  for (const int64_t wall : {int64_t{-5}, int64_t{0}, int64_t{1}, int64_t{127}, int64_t{128}}) {
    wall_ms_ = wall;
    Submit<EnqueueCall>(EnqueueRequest(Spec("t" + std::to_string(wall + 10))));
    Take();
    log::v1::CommandBatch parsed;
    ASSERT_TRUE(parsed.ParseFromString(*batches_.back().payload));
    EXPECT_EQ(parsed.time_ms(), std::max<int64_t>(wall, 0));
    CommitAll();
  }
}

TEST_F(BrokerRolesTest, OneTickAtATime) {
  v1::JobSpec spec = Spec("a");
  spec.mutable_delay()->set_seconds(1);
  Enqueue(spec);
  EXPECT_EQ(Take(), 0u);
  Advance(1s);
  ASSERT_EQ(Take(), 1u);
  log::v1::CommandBatch tick;
  ASSERT_TRUE(tick.ParseFromString(*batches_.front().payload));
  EXPECT_EQ(tick.commands_size(), 0);
  EXPECT_EQ(tick.time_ms(), wall_ms_);
  Advance(1s);
  EXPECT_EQ(Take(), 0u) << "one is on its way";
  EXPECT_EQ(broker_->Deadline(now_, wall_ms_), Time::max());
  CommitAll();
  EXPECT_EQ(LogState("a"), v1::JOB_STATE_READY);
  EXPECT_EQ(Take(), 0u);
}

TEST_F(BrokerRolesTest, AnyBatchThatIsLateEnoughIsATick) {
  v1::JobSpec spec = Spec("a");
  spec.mutable_delay()->set_seconds(1);
  Enqueue(spec);
  Submit<EnqueueCall>(EnqueueRequest(Spec("b")));
  ASSERT_EQ(Take(), 1u);  // too early to promote "a"
  Advance(1s);
  ASSERT_EQ(Take(), 1u) << "so a tick is needed beside it";
  CommitAll();
  spec.set_id("c");
  Enqueue(spec);
  Advance(1s);
  Submit<EnqueueCall>(EnqueueRequest(Spec("d")));
  ASSERT_EQ(Take(), 1u) << "which serves as the tick";
  CommitAll();
  EXPECT_EQ(LogState("c"), v1::JOB_STATE_READY);
}

TEST_F(BrokerRolesTest, ARefusedTickIsProposedAgainAfterAWhile) {
  v1::JobSpec spec = Spec("a");
  spec.mutable_delay()->set_seconds(1);
  Enqueue(spec);
  Advance(1s);
  ASSERT_EQ(Take(), 1u);
  RefuseOne(ProposalOutcome::Reason::kOverloaded);
  EXPECT_EQ(Take(), 0u);
  EXPECT_EQ(broker_->Deadline(now_, wall_ms_), now_ + 10ms);
  Advance(10ms);
  ASSERT_EQ(Take(), 1u);
  CommitAll();
}

TEST_F(BrokerRolesTest, AnIdleLeaderNeedsNoTimer) {
  EXPECT_EQ(broker_->Deadline(now_, wall_ms_), Time::max());
  EXPECT_EQ(Take(), 0u);
  EXPECT_FALSE(broker_->WantsConfirmation());
}

using BrokerRolesDeathTest = BrokerRolesTest;

TEST_F(BrokerRolesDeathTest, OutcomesOfUnknownBatchesEndTheProcess) {
  ProposalOutcome outcome;
  outcome.id = 77;
  EXPECT_DEATH(broker_->OnProposal(outcome), "batch 77 is not in flight");
  EXPECT_DEATH(broker_->OnApplied(now_, 77, {}), "batch 77 was not reported as committed");
  Submit<EnqueueCall>(EnqueueRequest(Spec("a")));
  Take();
  const uint64_t id = batches_.front().id;
  EXPECT_DEATH(broker_->OnApplied(now_, id, {}), "was not reported as committed");
  outcome.id = id;
  outcome.kind = ProposalOutcome::Kind::kCommitted;
  broker_->OnProposal(outcome);
  EXPECT_DEATH(broker_->OnApplied(now_, id, {}), "0 results for 1 commands");
}

}  // namespace
}  // namespace dqueue::queue
