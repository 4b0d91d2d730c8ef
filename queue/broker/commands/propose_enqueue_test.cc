// Enqueue: defaults, ids, repetitions, refusals, all or nothing, and the command in the log.
#include <regex>
#include <string>

#include "gtest/gtest.h"
#include "queue/api/job_id.h"
#include "queue/api/limits.h"
#include "queue/broker/testing/broker_fixture.h"

namespace dqueue::queue {
namespace {

class BrokerEnqueueTest : public BrokerTest {
 protected:
  // The only job of the only command of the next batch.
  log::v1::Enqueue::Job Logged(v1::JobSpec spec) {
    const auto reply = Submit<EnqueueCall>(EnqueueRequest(std::move(spec)));
    EXPECT_EQ(Take(), 1u);
    log::v1::CommandBatch batch;
    EXPECT_TRUE(batch.ParseFromString(*batches_.front().payload));
    EXPECT_EQ(batch.time_ms(), wall_ms_);
    EXPECT_EQ(batch.commands_size(), 1);
    EXPECT_EQ(batch.commands(0).enqueue().jobs_size(), 1);
    CommitAll();
    EXPECT_EQ(reply->reason(), "OK");
    return batch.commands(0).enqueue().jobs(0);
  }
};

TEST_F(BrokerEnqueueTest, AnswersWhenTheLogHasAppliedIt) {
  const auto reply = Submit<EnqueueCall>(EnqueueRequest(Spec("a")));
  EXPECT_FALSE(reply->answered());
  ASSERT_EQ(Take(), 1u);
  EXPECT_FALSE(reply->answered());
  CommitOne();
  ASSERT_TRUE(reply->ok());
  ASSERT_EQ(reply->value().results_size(), 1);
  EXPECT_EQ(reply->value().results(0).id(), "a");
  EXPECT_TRUE(reply->value().results(0).created());
  EXPECT_FALSE(reply->value().results(0).has_error());
  EXPECT_EQ(LogState("a"), v1::JOB_STATE_READY);
  EXPECT_FALSE(broker_->WantsConfirmation());
}

TEST_F(BrokerEnqueueTest, ReturnsJobsAsGetJobShowsThem) {
  v1::EnqueueJobsRequest request = EnqueueRequest(Spec("a"), Spec("b"));
  request.set_return_jobs(true);
  const auto created = Submit<EnqueueCall>(request);
  Run();
  ASSERT_EQ(created->reason(), "OK");
  for (int i = 0; i < 2; ++i) {
    const auto& result = created->value().results(i);
    EXPECT_EQ(result.job().id(), result.id());
    EXPECT_EQ(result.job().state(), v1::JOB_STATE_READY);
  }

  // The original of a repetition, with its lease; the same for all or nothing.
  Submit<LeaseCall>(LeaseRequest("w", 1));
  Run();
  for (const bool all_or_nothing : {false, true}) {
    request.set_all_or_nothing(all_or_nothing);
    const auto repeated = Submit<EnqueueCall>(request);
    Run();
    ASSERT_EQ(repeated->reason(), "OK");
    const v1::Job& job = repeated->value().results(0).job();
    EXPECT_EQ(job.state(), v1::JOB_STATE_LEASED);
    EXPECT_EQ(job.lease().worker_id(), "w");
    EXPECT_EQ(repeated->value().results(1).job().id(), "b");
  }
  EXPECT_FALSE(created->value().results(0).job().has_lease());

  request.set_return_jobs(false);
  const auto without = Submit<EnqueueCall>(request);
  Run();
  EXPECT_FALSE(without->value().results(0).has_job());
}

TEST_F(BrokerEnqueueTest, ReturnsNoJobThatTookOverTheId) {
  v1::EnqueueJobsRequest first;
  *first.add_jobs() = Spec("a");
  first.mutable_jobs(0)->set_idempotency_key("key");
  first.set_return_jobs(true);
  Submit<EnqueueCall>(first);
  Run();
  v1::DeleteJobsRequest deletion;
  deletion.add_ids("a");
  Submit<DeleteCall>(deletion);
  v1::JobSpec other = Spec("a");
  other.set_payload("of another job");
  Submit<EnqueueCall>(EnqueueRequest(other));
  Run();

  // The idempotency key outlives its job.
  first.mutable_jobs(0)->set_id("b");
  for (const bool all_or_nothing : {false, true}) {
    first.set_all_or_nothing(all_or_nothing);
    const auto reply = Submit<EnqueueCall>(first);
    Run();
    ASSERT_EQ(reply->reason(), "OK");
    EXPECT_EQ(reply->value().results(0).id(), "a");
    EXPECT_FALSE(reply->value().results(0).created());
    EXPECT_FALSE(reply->value().results(0).has_job());
  }
}

TEST_F(BrokerEnqueueTest, ReturnsNoJobThatALaterCommandOfTheEntryReplaced) {
  v1::EnqueueJobsRequest first = EnqueueRequest(Spec("a"));
  first.set_return_jobs(true);
  const auto replaced = Submit<EnqueueCall>(first);
  Run();
  ASSERT_TRUE(replaced->value().results(0).has_job());
  const auto repeated = Submit<EnqueueCall>(first);
  v1::DeleteJobsRequest deletion;
  deletion.add_ids("a");
  Submit<DeleteCall>(deletion);
  v1::JobSpec other = Spec("a");
  other.set_payload("of another job");
  Submit<EnqueueCall>(EnqueueRequest(other));
  Run();
  ASSERT_EQ(repeated->reason(), "OK");
  EXPECT_FALSE(repeated->value().results(0).has_job());
  EXPECT_EQ(Get("a").payload(), "of another job");
}

TEST_F(BrokerEnqueueTest, ReturnsTheJobsOfABatchThatRepeatsItself) {
  v1::EnqueueJobsRequest request = EnqueueRequest(Spec("a"), Spec("a"));
  *request.add_jobs() = Spec("b");
  request.set_all_or_nothing(true);
  request.set_return_jobs(true);
  const auto reply = Submit<EnqueueCall>(request);
  Run();
  ASSERT_EQ(reply->reason(), "OK");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(reply->value().results(i).job().id(), i < 2 ? "a" : "b");
    EXPECT_EQ(reply->value().results(i).created(), i != 1);
  }
}

TEST_F(BrokerEnqueueTest, ReturnedJobsAreBounded) {
  v1::EnqueueJobsRequest request;
  for (int i = 0; i < 4; ++i) {
    v1::JobSpec spec = Spec("job-" + std::to_string(i));
    spec.set_payload(std::string(kPayloadBytesMax, 'x'));
    *request.add_jobs() = spec;
  }
  request.set_return_jobs(true);
  const auto reply = Submit<EnqueueCall>(request);
  Run();
  ASSERT_EQ(reply->reason(), "OK");
  EXPECT_TRUE(reply->value().results(0).has_job());
  EXPECT_FALSE(reply->value().results(1).has_job()) << "the second would exceed 2 MiB";
  EXPECT_FALSE(reply->value().results(2).has_job());
  EXPECT_TRUE(reply->value().results(3).created());
}

TEST_F(BrokerEnqueueTest, FillsInDefaults) {
  v1::JobSpec spec;
  spec.set_payload("p");
  const log::v1::Enqueue::Job job = Logged(spec);
  EXPECT_TRUE(std::regex_match(job.id(), std::regex("018bcfe5-6800-7[0-9a-f-]+"))) << job.id();
  EXPECT_EQ(job.queue(), "default");
  EXPECT_EQ(job.type(), "default");
  EXPECT_EQ(job.payload(), "p");
  EXPECT_EQ(job.run_time_ms(), 0);
  EXPECT_EQ(job.expire_time_ms(), 0);
  EXPECT_EQ(job.max_retries(), 3u);
  EXPECT_EQ(job.max_expirations(), 10u);
  EXPECT_EQ(job.backoff(), static_cast<uint32_t>(v1::RetryPolicy::BACKOFF_EXPONENTIAL));
  EXPECT_EQ(job.backoff_base_ms(), 1000);
  EXPECT_EQ(job.backoff_max_ms(), 3600 * 1000);
  EXPECT_EQ(job.jitter_permille(), 200u);
  EXPECT_EQ(job.idempotency_window_ms(), 0);
  EXPECT_EQ(job.retention_ms(), -1);
  EXPECT_EQ(job.lease_duration_ms(), 0);
}

TEST_F(BrokerEnqueueTest, CarriesEverythingOver) {
  v1::JobSpec spec = Spec("a", "q.1", "mail/x");
  spec.set_priority(200);
  spec.mutable_delay()->set_nanos(1);  // up to the next millisecond
  spec.mutable_expire_time()->set_seconds(kStartMs / 1000 + 5);
  auto* retry = spec.mutable_retry();
  retry->set_max_retries(0);
  retry->set_backoff(v1::RetryPolicy::BACKOFF_LINEAR);
  retry->mutable_base()->set_seconds(7200);
  retry->set_jitter(0.0625);
  retry->set_max_expirations(0);
  spec.set_idempotency_key("key");
  spec.set_ordering_key("o");
  for (const char* key : {"z", "b", "a", "m"}) {
    (*spec.mutable_headers())[key] = std::string("h") + key;
    (*spec.mutable_labels())[key] = std::string("l") + key;
  }
  spec.mutable_retention();
  spec.mutable_lease_duration()->set_seconds(5);
  const log::v1::Enqueue::Job job = Logged(spec);
  EXPECT_EQ(job.id(), "a");
  EXPECT_EQ(job.queue(), "q.1");
  EXPECT_EQ(job.type(), "mail/x");
  EXPECT_EQ(job.priority(), 200u);
  EXPECT_EQ(job.run_time_ms(), kStartMs + 1);
  EXPECT_EQ(job.expire_time_ms(), kStartMs + 5000);
  EXPECT_EQ(job.max_retries(), 0u);
  EXPECT_EQ(job.max_expirations(), 0u);
  EXPECT_EQ(job.backoff(), static_cast<uint32_t>(v1::RetryPolicy::BACKOFF_LINEAR));
  EXPECT_EQ(job.backoff_base_ms(), 7200 * 1000);
  EXPECT_EQ(job.backoff_max_ms(), 7200 * 1000) << "the base, being longer than an hour";
  EXPECT_EQ(job.jitter_permille(), 63u);
  EXPECT_EQ(job.idempotency_key(), "key");
  EXPECT_EQ(job.idempotency_window_ms(), 24 * 3600 * 1000);
  EXPECT_EQ(job.ordering_key(), "o");
  ASSERT_EQ(job.headers_size(), 4);
  ASSERT_EQ(job.labels_size(), 4);
  for (int i = 0; i < 4; ++i) {
    const std::string key(1, "abmz"[i]);
    EXPECT_EQ(job.headers(i).key(), key);
    EXPECT_EQ(job.headers(i).value(), "h" + key);
    EXPECT_EQ(job.labels(i).key(), key);
    EXPECT_EQ(job.labels(i).value(), "l" + key);
  }
  EXPECT_EQ(job.retention_ms(), 0);
  EXPECT_EQ(job.lease_duration_ms(), 5000);
}

TEST_F(BrokerEnqueueTest, RunTimeInThePastIsNow) {
  v1::JobSpec spec = Spec("a");
  spec.mutable_run_time()->set_seconds(kStartMs / 1000);
  EXPECT_EQ(Logged(spec).run_time_ms(), 0);
  spec.set_id("b");
  spec.mutable_run_time()->set_nanos(1);
  EXPECT_EQ(Logged(spec).run_time_ms(), kStartMs + 1);
  // Before 1970: the zero time of some languages, and the last moment.
  spec.set_id("c");
  spec.mutable_run_time()->set_seconds(-62'135'596'800);
  EXPECT_EQ(Logged(spec).run_time_ms(), 0);
  spec.set_id("d");
  spec.mutable_run_time()->set_seconds(-1);
  EXPECT_EQ(Logged(spec).run_time_ms(), 0);
}

TEST_F(BrokerEnqueueTest, ExpiryAtTheEpochIsNotNever) {
  v1::JobSpec spec = Spec("a");
  spec.mutable_expire_time();
  EXPECT_EQ(Logged(spec).expire_time_ms(), 1);
}

TEST_F(BrokerEnqueueTest, NodeDefaultOfRetriesIsUsed) {
  BrokerOptions options;
  options.max_retries = 17;
  Make(options, 2);
  EXPECT_EQ(Logged(Spec("a")).max_retries(), 17u);
}

TEST_F(BrokerEnqueueTest, ARepeatedRequestCreatesNothingNew) {
  v1::JobSpec spec;
  spec.set_queue("q");
  v1::EnqueueJobsRequest request = EnqueueRequest(spec, spec);
  request.set_request_id("r-1");
  const auto first = Submit<EnqueueCall>(request);
  Run();
  ASSERT_TRUE(first->ok());
  EXPECT_EQ(first->value().results(0).id(), DerivedJobId("r-1", 0));
  EXPECT_EQ(first->value().results(1).id(), DerivedJobId("r-1", 1));
  EXPECT_TRUE(first->value().results(1).created());
  Advance(5s);
  const auto second = Submit<EnqueueCall>(request);
  Run();
  ASSERT_TRUE(second->ok());
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(second->value().results(i).id(), first->value().results(i).id());
    EXPECT_FALSE(second->value().results(i).created());
  }
  EXPECT_EQ(state_->job_count(), 2u);
}

// The level of the replicated state is raised as soon as every member knows it.
TEST_F(BrokerEnqueueTest, ABatchWithoutCommandsRaisesTheLevelOnce) {
  Run();
  EXPECT_EQ(state_->level(), 0u);
  EXPECT_EQ(Take(), 0u);
  broker_->SetLevel(1);
  EXPECT_LE(broker_->Deadline(now_, wall_ms_), now_ + 1ms);
  EXPECT_EQ(Take(), 1u) << "one in flight is enough";
  EXPECT_EQ(state_->level(), 0u);
  CommitAll();
  EXPECT_EQ(state_->level(), 1u);
  EXPECT_EQ(Take(), 0u);
}

TEST_F(BrokerEnqueueTest, ARefusedBatchForTheLevelIsRepeatedLater) {
  broker_->SetLevel(1);
  ASSERT_EQ(Take(), 1u);
  RefuseOne(raft::ProposalOutcome::Reason::kOverloaded);
  EXPECT_EQ(Take(), 0u);
  Advance(10ms);
  EXPECT_EQ(Take(), 1u);
}

TEST_F(BrokerEnqueueTest, ANewLeaderDoesNotRaiseTheLevelByItself) {
  broker_->SetLevel(1);
  StepDown();
  Lead(9);
  EXPECT_EQ(Take(), 0u) << "its members may be others";
}

TEST_F(BrokerEnqueueTest, BelowLevel1TheLogHasNothingThatOlderProgramsDoNotKnow) {
  v1::EnqueueJobsRequest request = EnqueueRequest(v1::JobSpec(), Spec("mine"));
  request.set_request_id("r-1");
  Submit<EnqueueCall>(request);
  ASSERT_EQ(Take(), 1u);
  log::v1::CommandBatch batch;
  ASSERT_TRUE(batch.ParseFromString(*batches_.front().payload));
  EXPECT_EQ(batch.level(), 0u);
  for (const log::v1::Command& command : batch.commands()) {
    EXPECT_FALSE(command.enqueue().jobs(0).id_of_request());
    EXPECT_EQ(command.enqueue().jobs(0).request_key(), "");
  }
}

TEST_F(BrokerEnqueueTest, ARepeatedRequestCreatesNothingAlsoAfterItsJobsAreGone) {
  broker_->SetLevel(1);
  Run();
  v1::JobSpec spec = Spec("");
  spec.mutable_retention()->set_seconds(0);
  v1::JobSpec named = Spec("mine");
  named.mutable_retention()->set_seconds(0);
  v1::EnqueueJobsRequest request = EnqueueRequest(spec, named);
  request.set_request_id("r-1");
  request.set_return_jobs(true);
  for (const bool all_or_nothing : {false, true}) {
    request.set_request_id(all_or_nothing ? "r-1" : "r-2");
    request.set_all_or_nothing(all_or_nothing);
    const auto first = Submit<EnqueueCall>(request);
    Run();
    ASSERT_TRUE(first->ok());
    EXPECT_TRUE(first->value().results(1).created());
    for (const v1::Job& job : Lease(LeaseRequest())) {
      EXPECT_EQ(Do<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job)), "OK");
    }
    Advance(1s);
    Run();
    ASSERT_EQ(state_->job_count(), 0u);
    const auto again = Submit<EnqueueCall>(request);
    Run();
    ASSERT_TRUE(again->ok());
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(again->value().results(i).id(), first->value().results(i).id());
      EXPECT_FALSE(again->value().results(i).created());
      EXPECT_FALSE(again->value().results(i).has_job());
    }
    EXPECT_EQ(state_->job_count(), 0u);
    v1::EnqueueJobsRequest other = request;
    other.mutable_jobs(0)->set_payload("other");
    const auto refused = Submit<EnqueueCall>(other);
    Run();
    if (all_or_nothing) {
      EXPECT_EQ(refused->reason(), "BATCH_REJECTED");
    } else {
      ASSERT_TRUE(refused->ok());
      EXPECT_EQ(ReasonOf(refused->value().results(0).error()), "DUPLICATE_JOB");
    }
  }
}

TEST_F(BrokerEnqueueTest, RepeatedInFlightItStillCreatesOne) {
  const auto first = Submit<EnqueueCall>(EnqueueRequest(Spec("a")));
  const auto second = Submit<EnqueueCall>(EnqueueRequest(Spec("a")));
  Run();
  ASSERT_TRUE(first->ok() && second->ok());
  EXPECT_TRUE(first->value().results(0).created());
  EXPECT_FALSE(second->value().results(0).created());
}

TEST_F(BrokerEnqueueTest, OtherContentUnderTheSameIdIsRefused) {
  Enqueue("a");
  v1::JobSpec other = Spec("a");
  other.set_payload("other");
  const auto reply = Submit<EnqueueCall>(EnqueueRequest(other, Spec("b")));
  Run();
  ASSERT_TRUE(reply->ok());
  EXPECT_EQ(reply->value().results(0).error().code(), 6);
  EXPECT_EQ(ReasonOf(reply->value().results(0).error()), "DUPLICATE_JOB");
  EXPECT_EQ(InfoOf(reply->value().results(0).error()).metadata().at("existing_id"), "a");
  EXPECT_TRUE(reply->value().results(1).created());
}

TEST_F(BrokerEnqueueTest, IdempotencyKeys) {
  v1::JobSpec spec = Spec("a");
  spec.set_idempotency_key("k");
  Enqueue(spec);
  v1::JobSpec same = spec;
  same.set_id("b");
  v1::JobSpec other = same;
  other.set_payload("other");
  v1::JobSpec elsewhere = other;
  elsewhere.set_queue("q2");
  const auto reply = Submit<EnqueueCall>(EnqueueRequest(same, other, elsewhere));
  Run();
  ASSERT_TRUE(reply->ok());
  EXPECT_EQ(reply->value().results(0).id(), "a");
  EXPECT_FALSE(reply->value().results(0).created());
  EXPECT_EQ(ReasonOf(reply->value().results(1).error()), "IDEMPOTENCY_MISMATCH");
  EXPECT_EQ(InfoOf(reply->value().results(1).error()).metadata().at("existing_id"), "a");
  EXPECT_TRUE(reply->value().results(2).created());
}

TEST_F(BrokerEnqueueTest, AMalformedItemDoesNotStopTheOthers) {
  v1::JobSpec bad = Spec("b");
  bad.set_priority(256);
  const auto reply = Submit<EnqueueCall>(EnqueueRequest(Spec("a"), bad, Spec("c")));
  Run();
  ASSERT_TRUE(reply->ok());
  ASSERT_EQ(reply->value().results_size(), 3);
  EXPECT_TRUE(reply->value().results(0).created());
  EXPECT_EQ(ReasonOf(reply->value().results(1).error()), "INVALID_FIELD");
  EXPECT_EQ(InfoOf(reply->value().results(1).error()).metadata().at("field"), "jobs[1].priority");
  EXPECT_TRUE(reply->value().results(2).created());
  EXPECT_EQ(state_->job_count(), 2u);
}

TEST_F(BrokerEnqueueTest, OnlyMalformedItemsNeedNoLeader) {
  StepDown();
  v1::JobSpec bad = Spec("b");
  bad.set_priority(256);
  const auto reply = Submit<EnqueueCall>(EnqueueRequest(bad));
  ASSERT_TRUE(reply->ok());
  EXPECT_EQ(ReasonOf(reply->value().results(0).error()), "INVALID_FIELD");
}

TEST_F(BrokerEnqueueTest, AllOrNothingIsOneCommand) {
  v1::EnqueueJobsRequest request = EnqueueRequest(Spec("a"), Spec("b"), Spec("c"));
  request.set_all_or_nothing(true);
  const auto reply = Submit<EnqueueCall>(request);
  ASSERT_EQ(Take(), 1u);
  log::v1::CommandBatch batch;
  ASSERT_TRUE(batch.ParseFromString(*batches_.front().payload));
  ASSERT_EQ(batch.commands_size(), 1);
  EXPECT_EQ(batch.commands(0).enqueue().jobs_size(), 3);
  CommitAll();
  ASSERT_TRUE(reply->ok());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(reply->value().results(i).created());

  // Again, with one more: what was there is there.
  *request.add_jobs() = Spec("d");
  const auto again = Submit<EnqueueCall>(request);
  Run();
  ASSERT_TRUE(again->ok());
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(again->value().results(i).created());
  EXPECT_EQ(again->value().results(1).id(), "b");
  EXPECT_TRUE(again->value().results(3).created());
}

TEST_F(BrokerEnqueueTest, AllOrNothingStopsAtAMalformedItem) {
  v1::JobSpec bad = Spec("b");
  bad.set_type("a b");
  v1::EnqueueJobsRequest request = EnqueueRequest(Spec("a"), bad);
  request.set_all_or_nothing(true);
  const auto reply = Submit<EnqueueCall>(request);
  EXPECT_EQ(reply->reason(), "INVALID_FIELD");
  EXPECT_EQ(reply->error().metadata.at("field"), "jobs[1].type");
  EXPECT_EQ(Take(), 0u);
}

TEST_F(BrokerEnqueueTest, AllOrNothingStopsAtADuplicate) {
  Enqueue("b");
  v1::JobSpec other = Spec("b");
  other.set_payload("other");
  v1::EnqueueJobsRequest request = EnqueueRequest(Spec("a"), other);
  request.set_all_or_nothing(true);
  const auto reply = Submit<EnqueueCall>(request);
  Run();
  EXPECT_EQ(reply->reason(), "BATCH_REJECTED");
  EXPECT_EQ(reply->error().code, absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(reply->error().metadata.at("index"), "1");
  EXPECT_EQ(reply->error().metadata.at("item_reason"), "DUPLICATE_JOB");
  EXPECT_EQ(reply->error().metadata.at("existing_id"), "b");
  EXPECT_EQ(state_->job_count(), 1u);
}

TEST_F(BrokerEnqueueTest, AllOrNothingOfOne) {
  v1::EnqueueJobsRequest request = EnqueueRequest(Spec("a"));
  request.set_all_or_nothing(true);
  const auto first = Submit<EnqueueCall>(request);
  const auto second = Submit<EnqueueCall>(request);
  request.mutable_jobs(0)->set_payload("other");
  const auto third = Submit<EnqueueCall>(request);
  Run();
  ASSERT_TRUE(first->ok() && second->ok());
  EXPECT_TRUE(first->value().results(0).created());
  EXPECT_FALSE(second->value().results(0).created());
  EXPECT_EQ(second->value().results(0).id(), "a");
  EXPECT_EQ(third->reason(), "BATCH_REJECTED");
  EXPECT_EQ(third->error().metadata.at("index"), "0");
}

TEST_F(BrokerEnqueueTest, BadRequestsAreAnsweredInAnyRole) {
  StepDown();
  EXPECT_EQ(Submit<EnqueueCall>({})->reason(), "INVALID_FIELD");
  v1::EnqueueJobsRequest request;
  for (int i = 0; i < 17; ++i) request.add_jobs()->set_payload(std::string(1 << 20, 'x'));
  EXPECT_EQ(Submit<EnqueueCall>(request)->reason(), "PAYLOAD_TOO_LARGE");
}

TEST_F(BrokerEnqueueTest, LowSpaceStopsOnlyEnqueues) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  broker_->SetLowSpace(true);
  const auto reply = Submit<EnqueueCall>(EnqueueRequest(Spec("b")));
  EXPECT_EQ(reply->reason(), "DISK_LOW");
  EXPECT_EQ(reply->error().code, absl::StatusCode::kResourceExhausted);
  EXPECT_GT(reply->error().retry_after, Duration::zero());
  EXPECT_EQ(Do<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job)), "OK");
  broker_->SetLowSpace(false);
  Enqueue("b");
}

TEST_F(BrokerEnqueueTest, LowMemoryStopsOnlyEnqueues) {
  Enqueue("a");
  Enqueue("b");
  Enqueue("c");
  const std::vector<v1::Job> jobs = Lease(LeaseRequest("w", 2));
  ASSERT_EQ(jobs.size(), 2u);
  broker_->SetLowMemory(MemoryShortage{.used_bytes = 600, .limit_bytes = 1000});
  const auto reply = Submit<EnqueueCall>(EnqueueRequest(Spec("d")));
  EXPECT_EQ(reply->reason(), "MEMORY_LOW");
  EXPECT_EQ(reply->error().code, absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(reply->error().retry_after, 1s);
  EXPECT_EQ(reply->error().message,
            "the leader uses 600 bytes of memory, and --memory-limit is 1000: there is no memory "
            "for new jobs; workers can go on");
  EXPECT_EQ(reply->error().metadata.at("used"), "600");
  EXPECT_EQ(reply->error().metadata.at("limit"), "1000");
  EXPECT_EQ(Do<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(jobs[0])), "OK");
  // Errors of failures are kept, but shorter.
  v1::FailJobsRequest fail = ItemRequest<v1::FailJobsRequest>(jobs[1]);
  fail.mutable_items(0)->set_error(std::string(kErrorBytesMax, 'e'));
  EXPECT_EQ(Do<FailCall>(fail), "OK");
  EXPECT_EQ(Get("b").last_error(), std::string(kErrorBytesLowMemory, 'e'));
  EXPECT_EQ(Lease(LeaseRequest("w", 1)).size(), 1u);
  v1::DeleteJobsRequest remove;
  remove.add_ids("b");
  EXPECT_EQ(Do<DeleteCall>(remove), "OK");

  broker_->SetLowMemory(MemoryShortage{});
  const auto of_others = Submit<EnqueueCall>(EnqueueRequest(Spec("d")));
  EXPECT_EQ(of_others->error().message,
            "too few members have memory for new jobs; workers can go on");
  broker_->SetLowMemory(std::nullopt);
  Enqueue("d");
}

TEST_F(BrokerEnqueueTest, TooMuchThatWaitsIsOverload) {
  BrokerOptions options;
  options.max_pending_commands = 3;
  Make(options, 2);
  // One call always fits.
  const auto big = Submit<EnqueueCall>(EnqueueRequest(Spec("a"), Spec("b"), Spec("c"), Spec("d")));
  const auto refused = Submit<EnqueueCall>(EnqueueRequest(Spec("e")));
  EXPECT_EQ(refused->reason(), "OVERLOADED");
  EXPECT_EQ(refused->error().code, absl::StatusCode::kResourceExhausted);
  EXPECT_GT(refused->error().retry_after, Duration::zero());
  EXPECT_EQ(broker_->gauges().pending_commands, 4u);
  EXPECT_GT(broker_->gauges().pending_bytes, 0u);
  Run();
  EXPECT_TRUE(big->ok());
  EXPECT_EQ(broker_->gauges().pending_commands, 0u);
  EXPECT_EQ(broker_->gauges().pending_bytes, 0u);
  Enqueue("e");

  options.max_pending_commands = 100;
  options.max_pending_bytes = 1000;
  Make(options, 3);
  v1::JobSpec large = Spec("f");
  large.set_payload(std::string(900, 'x'));
  Submit<EnqueueCall>(EnqueueRequest(large));
  EXPECT_EQ(Submit<EnqueueCall>(EnqueueRequest(Spec("g", "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq",
                                                    "tttttttttttttttttttttttttttttttttttttttt")))
                ->reason(),
            "OVERLOADED");
  Run();
}

TEST_F(BrokerEnqueueTest, ACallMaySpreadOverSeveralBatches) {
  BrokerOptions options;
  options.max_batch_commands = 2;
  Make(options, 2);
  v1::EnqueueJobsRequest request;
  for (int i = 0; i < 5; ++i) *request.add_jobs() = Spec("j" + std::to_string(i));
  const auto reply = Submit<EnqueueCall>(request);
  ASSERT_EQ(Take(), 3u);
  CommitOne();
  CommitOne();
  EXPECT_FALSE(reply->answered());
  CommitOne();
  ASSERT_TRUE(reply->ok());
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(reply->value().results(i).id(), "j" + std::to_string(i));
    EXPECT_TRUE(reply->value().results(i).created());
  }
}

TEST_F(BrokerEnqueueTest, BatchesAreLimitedInBytesButOneCommandAlwaysFits) {
  BrokerOptions options;
  options.max_batch_bytes = 1000;
  Make(options, 2);
  v1::EnqueueJobsRequest request;
  for (const int size : {400, 400, 5000, 10, 10}) {
    v1::JobSpec spec = Spec("j" + std::to_string(request.jobs_size()));
    spec.set_payload(std::string(size, 'x'));
    *request.add_jobs() = spec;
  }
  const auto reply = Submit<EnqueueCall>(request);
  ASSERT_EQ(Take(), 3u);
  EXPECT_LE(batches_[0].payload->size(), 1000u);
  EXPECT_GT(batches_[1].payload->size(), 5000u);
  EXPECT_LE(batches_[2].payload->size(), 1000u);
  CommitAll();
  EXPECT_TRUE(reply->ok());
}

}  // namespace
}  // namespace dqueue::queue
