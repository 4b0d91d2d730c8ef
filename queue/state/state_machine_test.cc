// The effects of commands, time and holds, one sentence a test. lease_rules_test.cc tests the table
// of lease-ending commands, state_machine_model_test.cc random histories against a model.
#include "queue/state/state_machine.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "queue/api/limits.h"
#include "queue/state/testing/command_builder.h"

namespace dqueue::queue {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr int64_t kHour = 3600 * 1000;

v1::JobState StateOf(const StateMachine& machine, std::string_view id) {
  const JobRef job = machine.Find(id);
  return job.slot == UINT32_MAX ? v1::JOB_STATE_UNSPECIFIED : machine.View(job).state;
}

v1::Job JobOf(const StateMachine& machine, std::string_view id) {
  v1::Job job;
  machine.FillJob(machine.Find(id), true, &job);
  return job;
}

v1::QueueStats StatsOf(const StateMachine& machine, std::string_view queue) {
  v1::GetStatsResponse response;
  EXPECT_TRUE(machine.Stats(queue, &response).ok());
  return response.queues(0);
}

int64_t Ms(const google::protobuf::Duration& d) { return d.seconds() * 1000 + d.nanos() / 1000000; }
int64_t Ms(const google::protobuf::Timestamp& t) {
  return t.seconds() * 1000 + t.nanos() / 1000000;
}

void Tick(StateMachine& machine, int64_t time_ms) { ApplyNext(machine, BatchBuilder(time_ms)); }

std::string EventText(const StateEvent& event) {
  if (const auto* ready = std::get_if<JobsReady>(&event)) {
    return std::to_string(ready->count) + " ready in " + ready->queue + "/" + ready->type;
  }
  if (const auto* ended = std::get_if<HoldEnded>(&event)) {
    return "hold of job " + std::to_string(ended->sequence) + " ended, last token " +
           std::to_string(ended->last_token.term) + "." +
           std::to_string(ended->last_token.sequence);
  }
  if (const auto* resumed = std::get_if<QueueResumed>(&event)) return resumed->queue + " resumed";
  return "purged";
}

// The events of the batch, applied as the next entry.
std::vector<std::string> EventsOf(StateMachine& machine, const BatchBuilder& batch) {
  Effects effects;
  machine.Apply(machine.applied_index().Next(), batch.Bytes(), &effects);
  std::vector<std::string> texts;
  for (const StateEvent& event : effects.events) texts.push_back(EventText(event));
  return texts;
}

class StateMachineTest : public ::testing::Test {
 protected:
  ~StateMachineTest() override { EXPECT_EQ(machine_.CheckConsistency(), ""); }

  CommandResult Apply(const BatchBuilder& batch) { return ApplyNext(machine_, batch).back(); }
  CommandResult Enqueue(const log::v1::Enqueue::Job& job, int64_t time_ms = 1000) {
    return Apply(BatchBuilder(time_ms).Enqueue(job));
  }

  StateMachine machine_;
};

// ---- the log ----

TEST_F(StateMachineTest, EntriesAreAppliedInOrder) {
  EXPECT_EQ(machine_.applied_index(), raft::Index(0));
  machine_.ApplyNothing(raft::Index(1));
  Tick(machine_, 5);
  EXPECT_EQ(machine_.applied_index(), raft::Index(2));
  EXPECT_DEATH(machine_.Apply(raft::Index(2), "", nullptr), "entry 2 cannot follow 2");
  EXPECT_DEATH(machine_.Apply(raft::Index(4), "", nullptr), "entry 4 cannot follow 2");
  EXPECT_DEATH(machine_.ApplyNothing(raft::Index(4)), "applied.Next");
}

TEST_F(StateMachineTest, TimeNeverGoesBack) {
  Tick(machine_, 5000);
  Tick(machine_, 3000);
  EXPECT_EQ(machine_.time_ms(), 5000);
  Enqueue(MakeJob("a"), 4000);
  EXPECT_EQ(Ms(JobOf(machine_, "a").create_time()), 5000);
}

TEST_F(StateMachineTest, TimesOutOfRangeAreClamped) {
  Tick(machine_, -1);
  EXPECT_EQ(machine_.time_ms(), 0);
  auto job = MakeJob("a");
  job.set_run_time_ms(INT64_MAX);
  job.set_expire_time_ms(INT64_MAX);
  job.set_retention_ms(INT64_MAX);
  job.set_priority(UINT32_MAX);
  job.set_idempotency_key("k");
  job.set_idempotency_window_ms(INT64_MAX);
  EXPECT_EQ(Enqueue(job).code, ResultCode::kOk);
  EXPECT_EQ(JobOf(machine_, "a").priority(), kPriorityMax);
  Apply(BatchBuilder(2000).Cancel("a"));
  Tick(machine_, INT64_MAX);
  EXPECT_EQ(machine_.job_count(), 0u);
}

TEST_F(StateMachineTest, AnUnreadableBatchEndsTheProcess) {
  EXPECT_DEATH(machine_.Apply(raft::Index(1), "\xff", nullptr), "entry 1 is no batch");
  log::v1::CommandBatch unset;
  unset.add_commands();
  EXPECT_DEATH(machine_.Apply(raft::Index(1), unset.SerializeAsString(), nullptr),
               "entry 1 holds a command or field unknown");
  // Field 100 of a command: a kind of the future.
  EXPECT_DEATH(machine_.Apply(raft::Index(1), "\x12\x04\xa2\x06\x01x", nullptr),
               "entry 1 holds a command or field unknown");
  // Field 15 of a cancel.
  EXPECT_DEATH(machine_.Apply(raft::Index(1), "\x12\x04\x2a\x02\x78\x01", nullptr),
               "entry 1 holds a command or field unknown");
  // Field 15 of the batch.
  EXPECT_DEATH(machine_.Apply(raft::Index(1), "\x78\x01", nullptr),
               "entry 1 holds a command or field unknown");
}

TEST_F(StateMachineTest, EachCommandHasItsResultInOrder) {
  Effects effects;
  std::vector<CommandResult>& results = effects.results;
  results.resize(7);
  machine_.Apply(raft::Index(1),
                 BatchBuilder(1).Enqueue(MakeJob("a")).Cancel("b").Cancel("a").Bytes(), &effects);
  ASSERT_EQ(results.size(), 3u);
  EXPECT_EQ(results[0].code, ResultCode::kOk);
  EXPECT_EQ(results[1].code, ResultCode::kNotFound);
  EXPECT_EQ(results[2].state, v1::JOB_STATE_CANCELLED);
}

// ---- enqueue ----

TEST_F(StateMachineTest, AJobKeepsAllItsFields) {
  auto job = MakeJob("id-1", "mail", "send");
  job.set_payload(std::string("\0\xff{}", 4));
  job.set_priority(7);
  job.set_run_time_ms(5000);
  job.set_expire_time_ms(9000);
  job.set_max_retries(5);
  job.set_max_expirations(2);
  job.set_backoff(v1::RetryPolicy::BACKOFF_LINEAR);
  job.set_backoff_base_ms(1500);
  job.set_backoff_max_ms(60000);
  job.set_jitter_permille(125);
  job.set_idempotency_key("key");
  job.set_idempotency_window_ms(1000);
  job.set_ordering_key("customer 9");
  auto* header = job.add_headers();
  header->set_key("trace");
  header->set_value("abc");
  auto* label = job.add_labels();
  label->set_key("team");
  label->set_value("x");
  job.set_retention_ms(123456);
  job.set_lease_duration_ms(45000);
  const CommandResult result = Enqueue(job);
  EXPECT_EQ(result.code, ResultCode::kOk);
  EXPECT_EQ(result.state, v1::JOB_STATE_SCHEDULED);

  const v1::Job full = JobOf(machine_, "id-1");
  EXPECT_EQ(full.id(), "id-1");
  EXPECT_EQ(full.queue(), "mail");
  EXPECT_EQ(full.type(), "send");
  EXPECT_EQ(full.payload(), job.payload());
  EXPECT_EQ(full.state(), v1::JOB_STATE_SCHEDULED);
  EXPECT_EQ(full.priority(), 7);
  EXPECT_EQ(Ms(full.create_time()), 1000);
  EXPECT_EQ(Ms(full.run_time()), 5000);
  EXPECT_EQ(Ms(full.expire_time()), 9000);
  EXPECT_FALSE(full.has_finish_time());
  EXPECT_EQ(full.retry().max_retries(), 5);
  EXPECT_EQ(full.retry().max_expirations(), 2);
  EXPECT_EQ(full.retry().backoff(), v1::RetryPolicy::BACKOFF_LINEAR);
  EXPECT_EQ(Ms(full.retry().base()), 1500);
  EXPECT_EQ(Ms(full.retry().max_delay()), 60000);
  EXPECT_DOUBLE_EQ(full.retry().jitter(), 0.125);
  EXPECT_EQ(full.idempotency_key(), "key");
  EXPECT_EQ(full.ordering_key(), "customer 9");
  EXPECT_EQ(full.headers().at("trace"), "abc");
  EXPECT_EQ(full.labels().at("team"), "x");
  EXPECT_EQ(Ms(full.retention()), 123456);
  EXPECT_EQ(Ms(full.lease_duration()), 45000);
  EXPECT_FALSE(full.has_lease());

  v1::Job brief;
  machine_.FillJob(machine_.Find("id-1"), false, &brief);
  EXPECT_EQ(brief.payload(), "");
  EXPECT_TRUE(brief.headers().empty());
  EXPECT_TRUE(brief.labels().empty());
  EXPECT_EQ(brief.idempotency_key(), "key");

  const JobView view = machine_.View(machine_.Find("id-1"));
  EXPECT_EQ(view.id, "id-1");
  EXPECT_EQ(view.queue, "mail");
  EXPECT_EQ(view.type, "send");
  EXPECT_EQ(view.lease_duration_ms, 45000);
  EXPECT_EQ(view.max_retries, 5u);
  EXPECT_EQ(view.backoff, static_cast<uint32_t>(v1::RetryPolicy::BACKOFF_LINEAR));
  EXPECT_EQ(view.backoff_base_ms, 1500);
  EXPECT_EQ(view.backoff_max_ms, 60000);
  EXPECT_EQ(view.jitter_permille, 125u);
  EXPECT_EQ(view.expire_time_ms, 9000);
}

TEST_F(StateMachineTest, ARunTimeInThePastMeansNow) {
  auto job = MakeJob("a");
  job.set_run_time_ms(10);
  EXPECT_EQ(Enqueue(job, 1000).state, v1::JOB_STATE_READY);
  EXPECT_EQ(Ms(JobOf(machine_, "a").run_time()), 1000);
}

TEST_F(StateMachineTest, TheSameJobAgainIsTheExistingOne) {
  auto job = MakeJob("a");
  job.set_payload("p");
  Enqueue(job);
  // Times and retry settings do not make it another job.
  job.set_run_time_ms(999999);
  job.set_max_retries(77);
  job.set_retention_ms(5);
  const CommandResult again = Enqueue(job);
  EXPECT_EQ(again.code, ResultCode::kExisting);
  EXPECT_EQ(again.existing_id, "a");
  EXPECT_EQ(again.state, v1::JOB_STATE_READY);
  EXPECT_EQ(machine_.job_count(), 1u);
  EXPECT_EQ(JobOf(machine_, "a").retry().max_retries(), 3);
}

TEST_F(StateMachineTest, AnIdWithOtherContentIsADuplicate) {
  auto original = MakeJob("a");
  original.set_payload("p");
  original.set_priority(3);
  original.set_ordering_key("o");
  Enqueue(original);
  const auto changed = [&](auto change) {
    auto job = original;
    change(job);
    return Enqueue(job);
  };
  using Job = log::v1::Enqueue::Job;
  const auto pair = [](log::v1::KeyValue* kv) {
    kv->set_key("k");
    kv->set_value("v");
  };
  EXPECT_EQ(changed([](Job&) {}).code, ResultCode::kExisting);
  for (const CommandResult& result :
       {changed([](Job& j) { j.set_payload("P"); }), changed([](Job& j) { j.set_queue("q2"); }),
        changed([](Job& j) { j.set_type("t2"); }), changed([](Job& j) { j.set_priority(4); }),
        changed([](Job& j) { j.set_ordering_key(""); }),
        changed([&](Job& j) { pair(j.add_headers()); }),
        changed([&](Job& j) { pair(j.add_labels()); })}) {
    EXPECT_EQ(result.code, ResultCode::kDuplicateJob);
    EXPECT_EQ(result.existing_id, "a");
    EXPECT_EQ(result.failed_item, 0u);
  }
  EXPECT_EQ(machine_.job_count(), 1u);
  v1::GetStatsResponse stats;
  EXPECT_FALSE(machine_.Stats("q2", &stats).ok()) << "a refused job must not make its queue";
}

TEST_F(StateMachineTest, AFinishedJobStillOwnsItsIdUntilItIsPurged) {
  auto job = MakeJob("a");
  job.set_retention_ms(1000);
  Enqueue(job, 1000);
  Apply(BatchBuilder(2000).Complete("a", {1, 1}));
  EXPECT_EQ(Enqueue(job, 2999).code, ResultCode::kExisting);
  EXPECT_EQ(StateOf(machine_, "a"), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(Enqueue(job, 3000).code, ResultCode::kOk);
  EXPECT_EQ(StateOf(machine_, "a"), v1::JOB_STATE_READY);
}

TEST_F(StateMachineTest, AnIdempotencyKeyHoldsWithinItsWindow) {
  auto job = MakeJob("a");
  job.set_idempotency_key("k");
  job.set_idempotency_window_ms(5000);
  Enqueue(job, 1000);
  job.set_id("b");
  CommandResult result = Enqueue(job, 5999);
  EXPECT_EQ(result.code, ResultCode::kExisting);
  EXPECT_EQ(result.existing_id, "a");
  EXPECT_EQ(result.state, v1::JOB_STATE_READY);

  auto other = job;
  other.set_payload("other");
  result = Enqueue(other, 5999);
  EXPECT_EQ(result.code, ResultCode::kIdempotencyMismatch);
  EXPECT_EQ(result.existing_id, "a");

  auto elsewhere = job;
  elsewhere.set_id("c");
  elsewhere.set_queue("q2");
  EXPECT_EQ(Enqueue(elsewhere, 5999).code, ResultCode::kOk);

  // The window begins anew with the job that takes the key next.
  EXPECT_EQ(Enqueue(job, 6000).code, ResultCode::kOk);
  job.set_id("d");
  EXPECT_EQ(Enqueue(job, 10999).existing_id, "b");
  EXPECT_EQ(Enqueue(job, 11000).code, ResultCode::kOk);
}

TEST_F(StateMachineTest, AnIdempotencyKeyOutlivesItsJob) {
  auto job = MakeJob("a");
  job.set_idempotency_key("k");
  job.set_idempotency_window_ms(kHour);
  job.set_retention_ms(0);
  Enqueue(job, 1000);
  Apply(BatchBuilder(1000).Complete("a", {1, 1}));
  Tick(machine_, 2000);
  EXPECT_EQ(machine_.job_count(), 0u);
  job.set_id("b");
  const CommandResult result = Enqueue(job, 3000);
  EXPECT_EQ(result.code, ResultCode::kExisting);
  EXPECT_EQ(result.existing_id, "a");
  EXPECT_EQ(result.state, v1::JOB_STATE_UNSPECIFIED);
}

TEST_F(StateMachineTest, TheIdDecidesBeforeTheIdempotencyKey) {
  auto a = MakeJob("a");
  a.set_idempotency_key("k");
  a.set_idempotency_window_ms(kHour);
  Enqueue(a);
  auto b = MakeJob("b");
  Enqueue(b);
  b.set_idempotency_key("k");
  b.set_idempotency_window_ms(kHour);
  const CommandResult result = Enqueue(b);
  EXPECT_EQ(result.code, ResultCode::kExisting);
  EXPECT_EQ(result.existing_id, "b");
}

TEST_F(StateMachineTest, SeveralJobsAreCreatedTogetherOrNotAtAll) {
  Enqueue(MakeJob("taken"));
  auto other = MakeJob("taken");
  other.set_payload("other");
  const CommandResult refused = Apply(
      BatchBuilder(1000).EnqueueAll({MakeJob("a", "new"), MakeJob("b"), other, MakeJob("c")}));
  EXPECT_EQ(refused.code, ResultCode::kDuplicateJob);
  EXPECT_EQ(refused.failed_item, 2u);
  EXPECT_EQ(refused.existing_id, "taken");
  EXPECT_EQ(machine_.job_count(), 1u);
  v1::GetStatsResponse stats;
  EXPECT_FALSE(machine_.Stats("new", &stats).ok());

  const CommandResult accepted =
      Apply(BatchBuilder(1000).EnqueueAll({MakeJob("a"), MakeJob("taken"), MakeJob("b")}));
  EXPECT_EQ(accepted.code, ResultCode::kOk);
  EXPECT_THAT(accepted.existing, ElementsAre(Pair(1, "taken")));
  EXPECT_EQ(machine_.job_count(), 3u);

  const CommandResult repeated =
      Apply(BatchBuilder(1000).EnqueueAll({MakeJob("a"), MakeJob("taken"), MakeJob("b")}));
  EXPECT_EQ(repeated.code, ResultCode::kExisting);
  EXPECT_THAT(repeated.existing, ElementsAre(Pair(0, "a"), Pair(1, "taken"), Pair(2, "b")));
  EXPECT_EQ(machine_.job_count(), 3u);
  EXPECT_EQ(Apply(BatchBuilder(1000).EnqueueAll({})).code, ResultCode::kOk);
}

TEST_F(StateMachineTest, JobsOfOneCommandSeeThoseBeforeThem) {
  auto keyed = [](std::string_view id, std::string_view payload) {
    auto job = MakeJob(id);
    job.set_payload(std::string(payload));
    job.set_idempotency_key("k");
    job.set_idempotency_window_ms(kHour);
    return job;
  };
  const CommandResult same = Apply(BatchBuilder(1000).EnqueueAll(
      {MakeJob("a"), MakeJob("a"), keyed("b", ""), keyed("c", ""), keyed("b", "")}));
  EXPECT_EQ(same.code, ResultCode::kOk);
  EXPECT_THAT(same.existing, ElementsAre(Pair(1, "a"), Pair(3, "b"), Pair(4, "b")));
  EXPECT_EQ(machine_.job_count(), 2u);

  auto other = MakeJob("d");
  other.set_payload("other");
  const CommandResult duplicate = Apply(BatchBuilder(1000).EnqueueAll({MakeJob("d"), other}));
  EXPECT_EQ(duplicate.code, ResultCode::kDuplicateJob);
  EXPECT_EQ(duplicate.failed_item, 1u);

  auto e = keyed("e", "1");
  auto f = keyed("f", "2");
  e.set_idempotency_key("k2");
  f.set_idempotency_key("k2");
  const CommandResult mismatch = Apply(BatchBuilder(1000).EnqueueAll({e, f}));
  EXPECT_EQ(mismatch.code, ResultCode::kIdempotencyMismatch);
  EXPECT_EQ(mismatch.failed_item, 1u);
  EXPECT_EQ(mismatch.existing_id, "e");
  EXPECT_EQ(machine_.job_count(), 2u);
}

TEST_F(StateMachineTest, QueuesAreBounded) {
  for (size_t i = 0; i < kQueuesMax; i += 1000) {
    BatchBuilder batch(1000);
    for (size_t j = i; j < i + 1000; ++j) {
      batch.Enqueue(MakeJob("j" + std::to_string(j), "q" + std::to_string(j)));
    }
    for (const CommandResult& result : ApplyNext(machine_, batch)) {
      ASSERT_EQ(result.code, ResultCode::kOk);
    }
  }
  EXPECT_EQ(Enqueue(MakeJob("x", "one-more")).code, ResultCode::kTooManyQueues);
  const CommandResult several =
      Apply(BatchBuilder(1000).EnqueueAll({MakeJob("y", "q1"), MakeJob("z", "one-more")}));
  EXPECT_EQ(several.code, ResultCode::kTooManyQueues);
  EXPECT_EQ(several.failed_item, 1u);
  EXPECT_EQ(Enqueue(MakeJob("y", "q1")).code, ResultCode::kOk);

  v1::GetStatsResponse stats;
  ASSERT_TRUE(machine_.Stats("", &stats).ok());
  EXPECT_EQ(stats.queues_size(), 1000);
  EXPECT_EQ(stats.queues(0).queue(), "q0");
  EXPECT_EQ(stats.queues(1).queue(), "q1");
  EXPECT_EQ(stats.queues(2).queue(), "q10");
  EXPECT_EQ(stats.total().ready(), kQueuesMax + 1);
}

// ---- ends of leases ----

TEST_F(StateMachineTest, ACompletedJobKeepsItsResultAndLastError) {
  Enqueue(MakeJob("a"));
  Apply(BatchBuilder(2000).Fail("a", {1, 1}, "first try"));
  const CommandResult result = Apply(BatchBuilder(3000).Complete("a", {1, 2}, "42"));
  EXPECT_EQ(result.code, ResultCode::kOk);
  EXPECT_EQ(result.state, v1::JOB_STATE_SUCCEEDED);
  const v1::Job job = JobOf(machine_, "a");
  EXPECT_EQ(job.result(), "42");
  EXPECT_EQ(job.last_error(), "first try");
  EXPECT_EQ(Ms(job.finish_time()), 3000);
  EXPECT_EQ(job.counters().delivered(), 2);
  EXPECT_EQ(job.counters().failed(), 1);
}

TEST_F(StateMachineTest, FailuresLeadToTheDeadLetterSet) {
  auto spec = MakeJob("a");
  spec.set_max_retries(2);
  Enqueue(spec);
  EXPECT_EQ(Apply(BatchBuilder(2000).Fail("a", {1, 1}, "one", 2500)).state,
            v1::JOB_STATE_SCHEDULED);
  Tick(machine_, 2499);
  EXPECT_EQ(StateOf(machine_, "a"), v1::JOB_STATE_SCHEDULED);
  Tick(machine_, 2500);
  EXPECT_EQ(StateOf(machine_, "a"), v1::JOB_STATE_READY);
  EXPECT_EQ(Apply(BatchBuilder(3000).Fail("a", {1, 2}, "two", 0)).state, v1::JOB_STATE_READY);
  EXPECT_EQ(Apply(BatchBuilder(3000).Fail("a", {1, 3}, "three", 9000)).state, v1::JOB_STATE_DEAD);
  const v1::Job job = JobOf(machine_, "a");
  EXPECT_EQ(job.dead_reason(), v1::DEAD_REASON_FAILED);
  EXPECT_EQ(job.counters().failed(), 3);
  EXPECT_EQ(job.counters().delivered(), 3);
  EXPECT_EQ(job.last_error(), "three");
  EXPECT_EQ(Ms(job.retention()), kDeadRetentionMsDefault);
}

TEST_F(StateMachineTest, ARejectedJobIsDeadAtOnce) {
  Enqueue(MakeJob("a"));
  EXPECT_EQ(Apply(BatchBuilder(2000).Fail("a", {1, 1}, "useless", 0, true)).state,
            v1::JOB_STATE_DEAD);
  EXPECT_EQ(JobOf(machine_, "a").dead_reason(), v1::DEAD_REASON_REJECTED);
}

// A job that crashes its workers must end, though it never "fails".
TEST_F(StateMachineTest, ExpiriesAreLimitedSeparately) {
  auto spec = MakeJob("a");
  spec.set_max_retries(0);
  spec.set_max_expirations(2);
  Enqueue(spec);
  for (uint64_t i = 1; i <= 2; ++i) {
    EXPECT_EQ(Apply(BatchBuilder(2000).Expire("a", {1, i}, "w" + std::to_string(i))).state,
              v1::JOB_STATE_READY);
  }
  EXPECT_EQ(JobOf(machine_, "a").last_error(), "lease expired (worker w2)");
  EXPECT_EQ(Apply(BatchBuilder(2000).Expire("a", {1, 3}, "w3")).state, v1::JOB_STATE_DEAD);
  const v1::Job job = JobOf(machine_, "a");
  EXPECT_EQ(job.dead_reason(), v1::DEAD_REASON_LEASE_EXPIRED);
  EXPECT_EQ(job.counters().expired(), 3);
  EXPECT_EQ(job.counters().failed(), 0);
}

// "Benign late completion": the work is done and no newer lease of the job exists.
TEST_F(StateMachineTest, ACompletionAfterItsOwnExpiryCounts) {
  Enqueue(MakeJob("a"));
  Apply(BatchBuilder(2000).Expire("a", {1, 1}));
  EXPECT_EQ(Apply(BatchBuilder(2000).Complete("a", {1, 1}, "late")).state, v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(JobOf(machine_, "a").counters().delivered(), 1);
  EXPECT_EQ(Apply(BatchBuilder(2000).Complete("a", {1, 1}, "again")).code, ResultCode::kOk);
  EXPECT_EQ(JobOf(machine_, "a").result(), "late");
}

TEST_F(StateMachineTest, ACompletionFencedByALaterLeaseHasNoEffect) {
  Enqueue(MakeJob("a"));
  Apply(BatchBuilder(2000).Expire("a", {1, 1}).Expire("a", {2, 1}));
  EXPECT_EQ(Apply(BatchBuilder(2000).Complete("a", {1, 1})).code, ResultCode::kLeaseStale);
  EXPECT_EQ(StateOf(machine_, "a"), v1::JOB_STATE_READY);
}

// The command waited; meanwhile its job was cancelled, purged, and its id used again.
TEST_F(StateMachineTest, ALeaseOfAnEarlierJobWithTheSameIdEndsNothing) {
  auto spec = MakeJob("a");
  spec.set_retention_ms(0);
  Enqueue(spec);
  const uint64_t first = machine_.View(machine_.Find("a")).sequence;
  Apply(BatchBuilder(2000).Cancel("a"));
  Enqueue(spec, 3000);
  const uint64_t second = machine_.View(machine_.Find("a")).sequence;
  ASSERT_NE(first, second);
  const BatchBuilder late[] = {BatchBuilder(3000).Complete("a", {1, 1}).OfJob(first),
                               BatchBuilder(3000).Fail("a", {1, 1}).OfJob(first),
                               BatchBuilder(3000).Expire("a", {1, 1}).OfJob(first)};
  for (const BatchBuilder& batch : late) {
    EXPECT_EQ(Apply(batch).code, ResultCode::kLeaseStale);
    EXPECT_EQ(StateOf(machine_, "a"), v1::JOB_STATE_READY);
    EXPECT_EQ(JobOf(machine_, "a").counters().delivered(), 0);
  }
  EXPECT_EQ(Apply(BatchBuilder(3000).Complete("a", {1, 2}).OfJob(second)).code, ResultCode::kOk);
}

TEST_F(StateMachineTest, CancelIsFinalAndIdempotent) {
  Enqueue(MakeJob("a"));
  EXPECT_EQ(Apply(BatchBuilder(2000).Cancel("a")).state, v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(Apply(BatchBuilder(3000).Cancel("a")).code, ResultCode::kOk);
  EXPECT_EQ(Ms(JobOf(machine_, "a").finish_time()), 2000);
  EXPECT_EQ(Apply(BatchBuilder(3000).Complete("a", {1, 1})).code, ResultCode::kInvalidState);
  Enqueue(MakeJob("b"));
  Apply(BatchBuilder(3000).Complete("b", {1, 1}));
  const CommandResult done = Apply(BatchBuilder(3000).Cancel("b"));
  EXPECT_EQ(done.code, ResultCode::kInvalidState);
  EXPECT_EQ(done.state, v1::JOB_STATE_SUCCEEDED);
}

TEST_F(StateMachineTest, RetryMakesDeadAndCancelledJobsReady) {
  auto spec = MakeJob("a");
  spec.set_max_retries(0);
  Enqueue(spec);
  EXPECT_EQ(Apply(BatchBuilder(1500).Retry("a")).code, ResultCode::kInvalidState);
  Apply(BatchBuilder(2000).Fail("a", {3, 4}));
  EXPECT_EQ(Apply(BatchBuilder(3000).Retry("a")).state, v1::JOB_STATE_READY);
  const v1::Job job = JobOf(machine_, "a");
  EXPECT_EQ(job.counters().failed(), 0);
  EXPECT_EQ(job.counters().expired(), 0);
  EXPECT_EQ(job.counters().delivered(), 1);
  EXPECT_EQ(job.dead_reason(), v1::DEAD_REASON_UNSPECIFIED);
  EXPECT_EQ(Ms(job.run_time()), 3000);
  EXPECT_FALSE(job.has_finish_time());
  EXPECT_EQ(machine_.View(machine_.Find("a")).last_token, (LeaseToken{3, 4}));
  EXPECT_EQ(Apply(BatchBuilder(3000).Complete("a", {3, 3})).code, ResultCode::kLeaseStale);

  Apply(BatchBuilder(4000).Cancel("a"));
  EXPECT_EQ(Apply(BatchBuilder(5000).Retry("a")).code, ResultCode::kOk);
  Apply(BatchBuilder(5000).Complete("a", {3, 5}));
  EXPECT_EQ(Apply(BatchBuilder(5000).Retry("a")).code, ResultCode::kInvalidState);
  EXPECT_EQ(StatsOf(machine_, "q").retries(), 2u);
}

TEST_F(StateMachineTest, RetryForgetsAnExpiryThatHasPassed) {
  auto spec = MakeJob("a");
  spec.set_expire_time_ms(2000);
  Enqueue(spec);
  Tick(machine_, 2000);
  EXPECT_EQ(JobOf(machine_, "a").dead_reason(), v1::DEAD_REASON_JOB_EXPIRED);
  Apply(BatchBuilder(3000).Retry("a"));
  Tick(machine_, 4000);
  EXPECT_EQ(StateOf(machine_, "a"), v1::JOB_STATE_READY);
  EXPECT_FALSE(JobOf(machine_, "a").has_expire_time());
}

// ---- time ----

TEST_F(StateMachineTest, JobsBecomeReadyAtTheirTimeNotBefore) {
  auto spec = MakeJob("a");
  spec.set_run_time_ms(5000);
  Enqueue(spec, 1000);
  EXPECT_EQ(machine_.NextTickMs(), 5000);
  Tick(machine_, 4999);
  EXPECT_EQ(StateOf(machine_, "a"), v1::JOB_STATE_SCHEDULED);
  Tick(machine_, 5000);
  EXPECT_EQ(StateOf(machine_, "a"), v1::JOB_STATE_READY);
  EXPECT_EQ(machine_.NextTickMs(), INT64_MAX);
}

TEST_F(StateMachineTest, LiveJobsDieAtTheirExpiry) {
  for (const char* id : {"ready", "held", "scheduled", "done"}) {
    auto spec = MakeJob(id);
    spec.set_expire_time_ms(5000);
    if (id == std::string_view("scheduled")) spec.set_run_time_ms(9000);
    Enqueue(spec, 1000);
  }
  Apply(BatchBuilder(1000).Complete("done", {1, 1}));
  ASSERT_TRUE(machine_.Hold(machine_.Find("held")));
  EXPECT_EQ(machine_.NextTickMs(), 5000);
  Tick(machine_, 4999);
  EXPECT_EQ(StatsOf(machine_, "q").dead(), 0u);
  Tick(machine_, 5000);
  for (const char* id : {"ready", "held", "scheduled"}) {
    EXPECT_EQ(StateOf(machine_, id), v1::JOB_STATE_DEAD) << id;
    EXPECT_EQ(JobOf(machine_, id).dead_reason(), v1::DEAD_REASON_JOB_EXPIRED);
    EXPECT_FALSE(machine_.View(machine_.Find(id)).held);
  }
  EXPECT_EQ(StateOf(machine_, "done"), v1::JOB_STATE_SUCCEEDED);
}

TEST_F(StateMachineTest, FinishedJobsAreKeptForTheirRetention) {
  struct Case {
    const char* id;
    int64_t retention_ms;
    bool dead;
    int64_t purged_at;
  };
  const Case cases[] = {{"default", -1, false, 2000 + kRetentionMsDefault},
                        {"default-dead", -1, true, 2000 + kDeadRetentionMsDefault},
                        {"own", 7000, false, 9000},
                        {"own-dead", 8000, true, 10000},
                        {"none", 0, false, 2000}};
  for (const Case& c : cases) {
    auto spec = MakeJob(c.id);
    spec.set_retention_ms(c.retention_ms);
    Enqueue(spec);
    if (c.dead) {
      Apply(BatchBuilder(2000).Fail(c.id, {1, 1}, "", 0, true));
    } else {
      Apply(BatchBuilder(2000).Complete(c.id, {1, 1}));
    }
    EXPECT_NE(machine_.Find(c.id), JobRef{}) << "kept at least until the next entry";
    const int64_t last = std::max<int64_t>(c.purged_at - 1, 2000);
    if (c.purged_at > 2000) {
      StateMachine later;
      ASSERT_TRUE(
          Restore(TakeImage(machine_), machine_.applied_index(), machine_.Digest(), &later).ok());
      Tick(later, last);
      EXPECT_NE(later.Find(c.id), JobRef{}) << c.id;
      Tick(later, c.purged_at);
      EXPECT_EQ(later.Find(c.id), JobRef{}) << c.id;
      EXPECT_EQ(later.CheckConsistency(), "");
    }
  }
  Tick(machine_, 2000 + kDeadRetentionMsDefault);
  EXPECT_EQ(machine_.job_count(), 0u);
  EXPECT_EQ(StatsOf(machine_, "q").purged(), std::size(cases));
}

TEST_F(StateMachineTest, HousekeepingTicksComeOnWholeSeconds) {
  auto spec = MakeJob("a");
  spec.set_retention_ms(300);
  spec.set_idempotency_key("k");
  spec.set_idempotency_window_ms(7100);
  Enqueue(spec, 1000);
  EXPECT_EQ(machine_.NextTickMs(), 9000);
  Apply(BatchBuilder(2000).Cancel("a"));
  EXPECT_EQ(machine_.NextTickMs(), 3000);
  Tick(machine_, 3000);
  EXPECT_EQ(machine_.job_count(), 0u);
  EXPECT_EQ(machine_.NextTickMs(), 9000);
  Tick(machine_, 9000);
  EXPECT_EQ(machine_.NextTickMs(), INT64_MAX);
}

// One entry must not hold the loop for long, however much became due at once.
TEST_F(StateMachineTest, EachEntryDoesABoundedAmountOfHousekeeping) {
  constexpr uint64_t kStep = 4096;
  constexpr uint64_t kJobs = 2 * kStep + 100;
  for (const char* kind : {"due", "expiring"}) {
    BatchBuilder batch(1000);
    for (uint64_t i = 0; i < kJobs; ++i) {
      auto spec = MakeJob(kind + std::to_string(i), kind);
      spec.set_retention_ms(10000);
      if (kind == std::string_view("due")) {
        spec.set_run_time_ms(2000 + static_cast<int64_t>(i));
        spec.set_idempotency_key(spec.id());
        spec.set_idempotency_window_ms(500000);
      } else {
        spec.set_expire_time_ms(20000);
      }
      batch.Enqueue(spec);
    }
    ApplyNext(machine_, batch);
  }
  Tick(machine_, 15000);
  EXPECT_EQ(StatsOf(machine_, "due").ready(), kStep);
  EXPECT_EQ(StateOf(machine_, "due4095"), v1::JOB_STATE_READY) << "the earliest first";
  EXPECT_LE(machine_.NextTickMs(), machine_.time_ms());
  Tick(machine_, 15000);
  Tick(machine_, 15000);
  EXPECT_EQ(StatsOf(machine_, "due").scheduled(), 0u);
  EXPECT_EQ(machine_.NextTickMs(), 20000);

  Tick(machine_, 20000);
  EXPECT_EQ(StatsOf(machine_, "expiring").dead(), kStep);
  Tick(machine_, 20000);
  Tick(machine_, 20000);
  EXPECT_EQ(StatsOf(machine_, "expiring").ready(), 0u);

  Tick(machine_, 30000);
  EXPECT_EQ(StatsOf(machine_, "expiring").purged(), kStep);
  EXPECT_LE(machine_.NextTickMs(), machine_.time_ms());
  Tick(machine_, 30000);
  Tick(machine_, 30000);
  EXPECT_EQ(StatsOf(machine_, "expiring").purged(), kJobs);
  EXPECT_EQ(machine_.NextTickMs(), 501000);

  Tick(machine_, 501000);
  EXPECT_LE(machine_.NextTickMs(), machine_.time_ms());
  // Its window is over, though its entry still waits to be dropped.
  auto again = MakeJob("again", "due");
  again.set_idempotency_key("due8191");
  again.set_idempotency_window_ms(500000);
  EXPECT_EQ(machine_.CheckConsistency(), "");
  Tick(machine_, 501000);
  EXPECT_EQ(Enqueue(again, 501000).code, ResultCode::kOk);
  EXPECT_EQ(machine_.NextTickMs(), 1001000);
}

TEST_F(StateMachineTest, AKeyWhoseWindowIsOverIsFreeBeforeItIsDropped) {
  BatchBuilder batch(1000);
  for (int i = 0; i < 5000; ++i) {
    auto spec = MakeJob("j" + std::to_string(i));
    spec.set_idempotency_key("k" + std::to_string(i));
    spec.set_idempotency_window_ms(1000);
    batch.Enqueue(spec);
  }
  ApplyNext(machine_, batch);
  auto spec = MakeJob("new");
  spec.set_idempotency_key("k4999");
  spec.set_idempotency_window_ms(1000);
  EXPECT_EQ(Enqueue(spec, 1999).existing_id, "j4999");
  EXPECT_EQ(Enqueue(spec, 2000).code, ResultCode::kOk);
  spec.set_id("newer");
  EXPECT_EQ(Enqueue(spec, 2000).existing_id, "new");
}

// ---- order and holds ----

TEST_F(StateMachineTest, PriorityThenRunTimeThenEnqueueOrder) {
  const auto add = [&](std::string_view id, uint32_t priority, int64_t run_time_ms,
                       int64_t now_ms) {
    auto spec = MakeJob(id);
    spec.set_priority(priority);
    spec.set_run_time_ms(run_time_ms);
    Enqueue(spec, now_ms);
  };
  add("late", 5, 3000, 1000);
  add("early", 5, 2000, 1000);
  add("low", 0, 0, 1000);
  add("first", 5, 2500, 1000);
  add("second", 5, 2500, 1000);
  add("top", 255, 4000, 1000);
  Tick(machine_, 4000);
  EXPECT_THAT(TakeIds(machine_, {"q"}, 10),
              ElementsAre("top", "early", "first", "second", "late", "low"));
}

TEST_F(StateMachineTest, QueuesAreMergedInOneOrder) {
  for (int i = 0; i < 6; ++i) {
    auto spec = MakeJob("j" + std::to_string(i), i % 2 == 0 ? "even" : "odd");
    spec.set_priority(i == 5 ? 1 : 0);
    Enqueue(spec);
  }
  EXPECT_THAT(TakeIds(machine_, {"odd", "even", "odd", "unknown"}, 4),
              ElementsAre("j5", "j0", "j1", "j2"));
  EXPECT_THAT(TakeIds(machine_, {"odd"}, 4), ElementsAre("j3"));
  EXPECT_THAT(TakeIds(machine_, {}, 4), IsEmpty());
}

TEST_F(StateMachineTest, TypesFilter) {
  for (int i = 0; i < 9; ++i) {
    Enqueue(MakeJob("j" + std::to_string(i), "q", "type" + std::to_string(i % 3)));
  }
  const std::vector<std::string> queues = {"q"};
  EXPECT_TRUE(machine_.HasReady(queues, std::vector<std::string>{"nope", "type1"}));
  EXPECT_FALSE(machine_.HasReady(queues, std::vector<std::string>{"nope"}));
  EXPECT_THAT(TakeIds(machine_, queues, 9, {"type2", "type1", "type1", "nope"}),
              ElementsAre("j1", "j2", "j4", "j5", "j7", "j8"));
  EXPECT_FALSE(machine_.HasReady(queues, std::vector<std::string>{"type1", "type2"}));
  EXPECT_TRUE(machine_.HasReady(queues, {}));
  EXPECT_THAT(TakeIds(machine_, queues, 9), ElementsAre("j0", "j3", "j6"));
  EXPECT_FALSE(machine_.HasReady(queues, {}));
}

TEST_F(StateMachineTest, AReleasedJobIsBackInItsOldPlace) {
  for (const char* id : {"a", "b", "c"}) Enqueue(MakeJob(id));
  EXPECT_THAT(TakeIds(machine_, {"q"}, 2), ElementsAre("a", "b"));
  machine_.Release(machine_.Find("a"));
  EXPECT_THAT(TakeIds(machine_, {"q"}, 3), ElementsAre("a", "c"));
}

TEST_F(StateMachineTest, AnExpiredJobIsBackInItsOldPlaceAFailedOneBehind) {
  for (const char* id : {"a", "b", "c"}) Enqueue(MakeJob(id));
  Apply(BatchBuilder(2000).Expire("b", {1, 1}).Fail("a", {1, 2}));
  EXPECT_THAT(TakeIds(machine_, {"q"}, 3), ElementsAre("b", "c", "a"));
}

TEST_F(StateMachineTest, HoldTakesOnlyReadyJobsThatAreNotHeld) {
  Enqueue(MakeJob("a"));
  auto later = MakeJob("later");
  later.set_run_time_ms(9000);
  Enqueue(later);
  EXPECT_TRUE(machine_.Hold(machine_.Find("a")));
  EXPECT_TRUE(machine_.View(machine_.Find("a")).held);
  EXPECT_FALSE(machine_.Hold(machine_.Find("a")));
  EXPECT_FALSE(machine_.Hold(machine_.Find("later")));
  EXPECT_DEATH(machine_.Release(machine_.Find("later")), "only a held job");
  EXPECT_DEATH(machine_.View(JobRef{}), "slot");
}

TEST_F(StateMachineTest, HoldsChangeNeitherStateNorDigest) {
  for (const char* id : {"a", "b", "c"}) Enqueue(MakeJob(id));
  const uint64_t digest = machine_.Digest();
  TakeIds(machine_, {"q"}, 2);
  EXPECT_EQ(machine_.Digest(), digest);
  EXPECT_EQ(StateOf(machine_, "a"), v1::JOB_STATE_READY);
  const v1::QueueStats held = StatsOf(machine_, "q");
  EXPECT_EQ(held.leased(), 2u);
  EXPECT_EQ(held.ready(), 1u);
  machine_.ReleaseAll();
  EXPECT_EQ(machine_.Digest(), digest);
  EXPECT_EQ(StatsOf(machine_, "q").leased(), 0u);
  EXPECT_THAT(TakeIds(machine_, {"q"}, 9), ElementsAre("a", "b", "c"));
}

TEST_F(StateMachineTest, EventsReportReadyJobsAndEndedHolds) {
  auto later = MakeJob("later", "q2");
  later.set_run_time_ms(5000);
  EXPECT_THAT(EventsOf(machine_, BatchBuilder(1000).Enqueue(MakeJob("a")).Enqueue(later)),
              ElementsAre("1 ready in q/t"));
  EXPECT_THAT(EventsOf(machine_, BatchBuilder(5000)), ElementsAre("1 ready in q2/t"));

  const auto hold = [&](std::string_view id) { ASSERT_TRUE(machine_.Hold(machine_.Find(id))); };
  hold("a");
  EXPECT_TRUE(machine_.Release(machine_.Find("a")));
  hold("a");
  EXPECT_THAT(EventsOf(machine_, BatchBuilder(5000).Fail("a", {1, 1})),
              ElementsAre("hold of job 1 ended, last token 1.1", "1 ready in q/t"));
  hold("a");
  EXPECT_THAT(EventsOf(machine_, BatchBuilder(5000).Fail("a", {1, 1})), IsEmpty())
      << "a repeated command ends nothing";
  EXPECT_THAT(EventsOf(machine_, BatchBuilder(5000).Expire("a", {1, 2})),
              ElementsAre("hold of job 1 ended, last token 1.2", "1 ready in q/t"));
  hold("a");
  EXPECT_THAT(EventsOf(machine_, BatchBuilder(5000).Fail("a", {1, 3}, "", 6000)),
              ElementsAre("hold of job 1 ended, last token 1.3"));
  Tick(machine_, 6000);
  hold("a");
  EXPECT_THAT(EventsOf(machine_, BatchBuilder(6000).Complete("a", {1, 4})),
              ElementsAre("hold of job 1 ended, last token 1.4"));
  hold("later");
  EXPECT_THAT(EventsOf(machine_, BatchBuilder(6000).Cancel("later")),
              ElementsAre("hold of job 2 ended, last token 0.0"));
  EXPECT_THAT(EventsOf(machine_, BatchBuilder(6000).Retry("later")),
              ElementsAre("1 ready in q2/t"));
  hold("later");
  machine_.ReleaseAll();
  EXPECT_TRUE(machine_.HasReady(std::vector<std::string>{"q2"}, {}));
}

TEST_F(StateMachineTest, RunsOfReadyJobsOfOneTypeAreOneEvent) {
  EXPECT_THAT(EventsOf(machine_, BatchBuilder(1000)
                                     .Enqueue(MakeJob("a"))
                                     .Enqueue(MakeJob("b"))
                                     .Enqueue(MakeJob("c", "q", "mail"))
                                     .Enqueue(MakeJob("d"))),
              ElementsAre("2 ready in q/t", "1 ready in q/mail", "1 ready in q/t"));
  EXPECT_THAT(EventsOf(machine_, BatchBuilder(1000).Enqueue(MakeJob("e"))),
              ElementsAre("1 ready in q/t"))
      << "a run ends with the entry";
}

TEST_F(StateMachineTest, EventsKeepTheStateOfTheirMoment) {
  // The job's slot, and the number of its queue and type, are reused in the same entry.
  Apply(BatchBuilder(1000).Enqueue(MakeJob("a", "q", "old")));
  ASSERT_TRUE(machine_.Hold(machine_.Find("a")));
  const JobRef slot = machine_.Find("a");
  EXPECT_THAT(
      EventsOf(
          machine_,
          BatchBuilder(1000).Complete("a", {1, 7}).Delete("a").Enqueue(MakeJob("b", "q", "new"))),
      ElementsAre("hold of job 1 ended, last token 1.7", "purged", "1 ready in q/new"));
  EXPECT_EQ(machine_.Find("b"), slot);
  EXPECT_THAT(EventsOf(machine_, BatchBuilder(1000)
                                     .Enqueue(MakeJob("c", "q", "short-lived"))
                                     .Delete("c")
                                     .Enqueue(MakeJob("d", "q", "next"))),
              ElementsAre("1 ready in q/short-lived", "purged", "1 ready in q/next"));
}

// ---- statistics and digests ----

TEST_F(StateMachineTest, TheAgeOfTheOldestReadyJob) {
  EXPECT_EQ(machine_.NextTickMs(), INT64_MAX);
  Enqueue(MakeJob("a"), 1000);
  Enqueue(MakeJob("b"), 3000);
  Enqueue(MakeJob("c", "q2"), 4000);
  Tick(machine_, 10000);
  EXPECT_EQ(Ms(StatsOf(machine_, "q").oldest_ready_age()), 9000);
  EXPECT_THAT(TakeIds(machine_, {"q"}, 1), ElementsAre("a"));
  EXPECT_EQ(Ms(StatsOf(machine_, "q").oldest_ready_age()), 7000);
  machine_.Release(machine_.Find("a"));
  EXPECT_EQ(Ms(StatsOf(machine_, "q").oldest_ready_age()), 9000);
  Apply(BatchBuilder(11000).Expire("a", {1, 1}));
  EXPECT_EQ(Ms(StatsOf(machine_, "q").oldest_ready_age()), 8000);
  Apply(BatchBuilder(11000).Cancel("b"));
  EXPECT_EQ(Ms(StatsOf(machine_, "q").oldest_ready_age()), 0);
  v1::GetStatsResponse all;
  ASSERT_TRUE(machine_.Stats("", &all).ok());
  EXPECT_EQ(Ms(all.total().oldest_ready_age()), 7000);
  Apply(BatchBuilder(11000).Cancel("a").Cancel("c"));
  EXPECT_EQ(Ms(StatsOf(machine_, "q").oldest_ready_age()), 0);
}

TEST_F(StateMachineTest, StatsCountWhatHappened) {
  auto spec = MakeJob("a");
  spec.set_max_retries(0);
  spec.set_retention_ms(0);
  Apply(BatchBuilder(1000)
            .Enqueue(spec)
            .Enqueue(MakeJob("b"))
            .Enqueue(MakeJob("c"))
            .Enqueue(MakeJob("d"))
            .Expire("a", {1, 1})
            .Fail("a", {1, 2})
            .Retry("a")
            .Fail("a", {1, 3})
            .Complete("b", {1, 4})
            .Cancel("c"));
  TakeIds(machine_, {"q"}, 1);
  Tick(machine_, 2000);
  const v1::QueueStats stats = StatsOf(machine_, "q");
  EXPECT_EQ(stats.enqueued(), 4u);
  EXPECT_EQ(stats.expirations(), 1u);
  EXPECT_EQ(stats.failures(), 2u);
  EXPECT_EQ(stats.deaths(), 2u);
  EXPECT_EQ(stats.retries(), 1u);
  EXPECT_EQ(stats.completions(), 1u);
  EXPECT_EQ(stats.cancellations(), 1u);
  EXPECT_EQ(stats.purged(), 1u);
  EXPECT_EQ(stats.leased(), 1u);
  EXPECT_EQ(stats.ready(), 0u);
  EXPECT_EQ(stats.succeeded(), 1u);
  EXPECT_EQ(stats.cancelled(), 1u);
  EXPECT_EQ(stats.dead(), 0u);
  v1::GetStatsResponse one;
  ASSERT_TRUE(machine_.Stats("q", &one).ok());
  EXPECT_EQ(one.applied_index(), 2u);
  EXPECT_EQ(one.total().enqueued(), 4u);
  EXPECT_EQ(one.total().queue(), "");
  EXPECT_EQ(machine_.Stats("nobody", &one).code(), absl::StatusCode::kNotFound);
}

TEST_F(StateMachineTest, EveryDifferenceShowsInTheDigest) {
  const auto digest_of = [](const std::vector<BatchBuilder>& batches) {
    StateMachine machine;
    for (const BatchBuilder& batch : batches) ApplyNext(machine, batch);
    EXPECT_EQ(machine.Digest(), machine.RecomputeDigest());
    return machine.Digest();
  };
  auto payload = MakeJob("a");
  payload.set_payload("x");
  auto expiring = MakeJob("a");
  expiring.set_expire_time_ms(99999);
  auto keyed = MakeJob("a");
  keyed.set_idempotency_key("k");
  keyed.set_idempotency_window_ms(1000);
  auto longer = keyed;
  longer.set_idempotency_window_ms(1001);
  auto lease = MakeJob("a");
  lease.set_lease_duration_ms(7);
  const BatchBuilder a = BatchBuilder(1000).Enqueue(MakeJob("a"));
  const std::vector<std::vector<BatchBuilder>> histories = {
      {},
      {BatchBuilder(0)},
      {BatchBuilder(1000)},
      {a},
      {BatchBuilder(1001).Enqueue(MakeJob("a"))},
      {BatchBuilder(1000).Enqueue(MakeJob("b"))},
      {BatchBuilder(1000).Enqueue(MakeJob("a", "q2"))},
      {BatchBuilder(1000).Enqueue(MakeJob("a", "q", "t2"))},
      {BatchBuilder(1000).Enqueue(payload)},
      {BatchBuilder(1000).Enqueue(expiring)},
      {BatchBuilder(1000).Enqueue(keyed)},
      {BatchBuilder(1000).Enqueue(longer)},
      {BatchBuilder(1000).Enqueue(lease)},
      {BatchBuilder(1000).Enqueue(MakeJob("a")).Enqueue(MakeJob("b"))},
      {BatchBuilder(1000).Enqueue(MakeJob("b")).Enqueue(MakeJob("a"))},
      {a, BatchBuilder(1000)},
      {a, BatchBuilder(1000).Complete("a", {1, 1})},
      {a, BatchBuilder(1000).Complete("a", {1, 2})},
      {a, BatchBuilder(1000).Complete("a", {1, 1}, "r")},
      {a, BatchBuilder(1000).Fail("a", {1, 1})},
      {a, BatchBuilder(1000).Fail("a", {1, 1}, "other")},
      {a, BatchBuilder(1000).Fail("a", {1, 1}, "failed", 2000)},
      {a, BatchBuilder(1000).Expire("a", {1, 1})},
      {a, BatchBuilder(1000).Cancel("a")},
      {a, BatchBuilder(1000).Delete("a")},
      {a, BatchBuilder(1000).Pause("q")},
      {a, BatchBuilder(1000).Pause("q", true)},
      {BatchBuilder(1000).Pause("q")},
      {BatchBuilder(1000).Pause("q2")},
  };
  std::map<uint64_t, size_t> seen;
  for (size_t i = 0; i < histories.size(); ++i) {
    const auto [it, inserted] = seen.try_emplace(digest_of(histories[i]), i);
    EXPECT_TRUE(inserted) << "history " << i << " looks like " << it->second;
  }
}

// ---- what operators do to queues and their jobs ----

TEST_F(StateMachineTest, DeleteTakesAJobOfAnyStateAtOnce) {
  auto later = MakeJob("scheduled");
  later.set_run_time_ms(9000);
  later.set_expire_time_ms(10000);
  Apply(BatchBuilder(1000)
            .Enqueue(MakeJob("ready"))
            .Enqueue(later)
            .Enqueue(MakeJob("done"))
            .Enqueue(MakeJob("dead"))
            .Enqueue(MakeJob("cancelled"))
            .Complete("done", {1, 1}, "result")
            .Fail("dead", {1, 2}, "why", 0, true)
            .Cancel("cancelled"));
  uint64_t purged = 0;
  for (const char* id : {"ready", "scheduled", "done", "dead", "cancelled"}) {
    EXPECT_EQ(Apply(BatchBuilder(1000).Delete(id)).code, ResultCode::kOk) << id;
    EXPECT_EQ(machine_.Find(id), JobRef{}) << id;
    EXPECT_EQ(StatsOf(machine_, "q").purged(), ++purged) << id;
    EXPECT_EQ(machine_.CheckConsistency(), "") << id;
    EXPECT_EQ(Apply(BatchBuilder(1000).Delete(id)).code, ResultCode::kNotFound) << id;
  }
  EXPECT_EQ(StatsOf(machine_, "q").enqueued(), 5u);
  EXPECT_EQ(machine_.NextTickMs(), INT64_MAX) << "no timer is left";
}

TEST_F(StateMachineTest, ADeletedJobsKeyStaysTaken) {
  auto job = MakeJob("a");
  job.set_idempotency_key("k");
  job.set_idempotency_window_ms(5000);
  Apply(BatchBuilder(1000).Enqueue(job).Delete("a"));
  job.set_id("b");
  const CommandResult again = Enqueue(job, 2000);
  EXPECT_EQ(again.code, ResultCode::kExisting);
  EXPECT_EQ(again.existing_id, "a");
  EXPECT_EQ(Enqueue(job, 6000).code, ResultCode::kOk);
}

TEST_F(StateMachineTest, DeleteAndRetryMeanTheJobThatTheyName) {
  Apply(BatchBuilder(1000).Enqueue(MakeJob("a")).Delete("a").Enqueue(MakeJob("a")));
  EXPECT_EQ(Apply(BatchBuilder(1000).Delete("a").OfJob(1)).code, ResultCode::kNotFound);
  EXPECT_EQ(StateOf(machine_, "a"), v1::JOB_STATE_READY);
  Apply(BatchBuilder(1000).Cancel("a"));
  EXPECT_EQ(Apply(BatchBuilder(1000).Retry("a").OfJob(1)).code, ResultCode::kNotFound);
  EXPECT_EQ(StateOf(machine_, "a"), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(Apply(BatchBuilder(1000).Retry("a").OfJob(2)).code, ResultCode::kOk);
  EXPECT_EQ(Apply(BatchBuilder(1000).Delete("a").OfJob(2)).code, ResultCode::kOk);
}

TEST_F(StateMachineTest, DeletingAHeldJobEndsItsHold) {
  Enqueue(MakeJob("a"));
  TakeIds(machine_, {"q"}, 1);
  EXPECT_THAT(EventsOf(machine_, BatchBuilder(1000).Delete("a")),
              ElementsAre("hold of job 1 ended, last token 0.0", "purged"));
  EXPECT_EQ(StatsOf(machine_, "q").leased(), 0u);
  EXPECT_EQ(Apply(BatchBuilder(1000).Complete("a", {1, 1})).code, ResultCode::kNotFound);
}

TEST_F(StateMachineTest, NothingIsTakenFromAPausedQueue) {
  Apply(BatchBuilder(1000).Enqueue(MakeJob("a")).Enqueue(MakeJob("b", "other")).Pause("q"));
  EXPECT_FALSE(machine_.HasReady(std::vector<std::string>{"q"}, {}));
  EXPECT_TRUE(machine_.HasReady(std::vector<std::string>{"q", "other"}, {}));
  EXPECT_THAT(TakeIds(machine_, {"q", "other"}, 9), ElementsAre("b"));
  EXPECT_TRUE(StatsOf(machine_, "q").paused());
  EXPECT_FALSE(StatsOf(machine_, "q").refuses_enqueues());
  EXPECT_EQ(Enqueue(MakeJob("c")).code, ResultCode::kOk) << "it takes jobs";
  Apply(BatchBuilder(1000).Resume("q"));
  EXPECT_FALSE(StatsOf(machine_, "q").paused());
  EXPECT_THAT(TakeIds(machine_, {"q"}, 9), ElementsAre("a", "c"));
}

TEST_F(StateMachineTest, WhatIsHeldOrDueGoesOnWhilePaused) {
  auto later = MakeJob("later");
  later.set_run_time_ms(2000);
  auto expiring = MakeJob("expiring");
  expiring.set_expire_time_ms(2000);
  Apply(BatchBuilder(1000).Enqueue(MakeJob("held")).Enqueue(later).Enqueue(expiring));
  TakeIds(machine_, {"q"}, 1);
  Apply(BatchBuilder(1000).Pause("q"));
  EXPECT_TRUE(machine_.View(machine_.Find("held")).held);
  EXPECT_EQ(Apply(BatchBuilder(2000).Complete("held", {1, 1})).code, ResultCode::kOk);
  EXPECT_EQ(StateOf(machine_, "later"), v1::JOB_STATE_READY);
  EXPECT_EQ(StateOf(machine_, "expiring"), v1::JOB_STATE_DEAD);
  EXPECT_TRUE(machine_.Hold(machine_.Find("later"))) << "a lease of an earlier leader goes on";
}

TEST_F(StateMachineTest, APausedQueueReportsNoReadyJobsAndAResumedOneThatItIs) {
  Apply(BatchBuilder(1000).Enqueue(MakeJob("held")).Pause("q"));
  machine_.Hold(machine_.Find("held"));
  EXPECT_FALSE(machine_.Release(machine_.Find("held")));
  auto urgent = MakeJob("urgent");
  urgent.set_priority(9);
  EXPECT_THAT(
      EventsOf(machine_, BatchBuilder(1000).Enqueue(urgent).Enqueue(MakeJob("mail", "q", "mail"))),
      IsEmpty());
  EXPECT_THAT(EventsOf(machine_, BatchBuilder(1000).Pause("q", true)), IsEmpty()) << "still paused";
  EXPECT_THAT(EventsOf(machine_, BatchBuilder(1000).Resume("q")), ElementsAre("q resumed"));
  EXPECT_THAT(EventsOf(machine_, BatchBuilder(1000).Resume("q")), IsEmpty()) << "it was not paused";
}

TEST_F(StateMachineTest, AQueueThatRefusesJobsRecognisesExistingOnes) {
  auto keyed = MakeJob("keyed");
  keyed.set_idempotency_key("k");
  keyed.set_idempotency_window_ms(5000);
  Apply(BatchBuilder(1000).Enqueue(MakeJob("a")).Enqueue(keyed).Pause("q", true));
  EXPECT_TRUE(StatsOf(machine_, "q").refuses_enqueues());
  EXPECT_EQ(Enqueue(MakeJob("a")).code, ResultCode::kExisting);
  keyed.set_id("again");
  EXPECT_EQ(Enqueue(keyed).code, ResultCode::kExisting);
  EXPECT_EQ(Enqueue(MakeJob("b")).code, ResultCode::kQueuePaused);
  const CommandResult all = Apply(BatchBuilder(1000).EnqueueAll(
      {MakeJob("c", "other"), MakeJob("a"), MakeJob("d"), MakeJob("e")}));
  EXPECT_EQ(all.code, ResultCode::kQueuePaused);
  EXPECT_EQ(all.failed_item, 2u);
  EXPECT_EQ(machine_.job_count(), 2u) << "all or nothing";
  Apply(BatchBuilder(1000).Pause("q"));
  EXPECT_EQ(Enqueue(MakeJob("b")).code, ResultCode::kOk) << "pausing again says it anew";
}

TEST_F(StateMachineTest, PausingMakesAQueueAndResumingDoesNot) {
  EXPECT_EQ(Apply(BatchBuilder(1000).Resume("q")).code, ResultCode::kNotFound);
  EXPECT_FALSE(machine_.HasQueue("q"));
  EXPECT_EQ(Apply(BatchBuilder(1000).Pause("q", true)).code, ResultCode::kOk);
  EXPECT_TRUE(machine_.HasQueue("q"));
  EXPECT_EQ(Enqueue(MakeJob("a")).code, ResultCode::kQueuePaused);
  EXPECT_EQ(Apply(BatchBuilder(1000).Resume("q")).code, ResultCode::kOk);
  EXPECT_EQ(Enqueue(MakeJob("a")).code, ResultCode::kOk);
}

TEST_F(StateMachineTest, PausingCannotMakeTooManyQueues) {
  for (size_t i = 0; i < kQueuesMax;) {
    BatchBuilder batch(1000);
    for (int j = 0; j < 10000; ++j) batch.Pause("q" + std::to_string(i++));
    ApplyNext(machine_, batch);
  }
  EXPECT_EQ(Apply(BatchBuilder(1000).Pause("one more")).code, ResultCode::kTooManyQueues);
  EXPECT_EQ(Apply(BatchBuilder(1000).Pause("q7", true)).code, ResultCode::kOk) << "it is there";
}

TEST_F(StateMachineTest, MemoryIsGivenBackOrReused) {
  const auto fill = [&](int round) {
    for (int i = 0; i < 20; ++i) {
      BatchBuilder batch(1000 * round);
      for (int j = 0; j < 1000; ++j) {
        auto spec = MakeJob("job-" + std::to_string(round) + "-" + std::to_string(i * 1000 + j));
        spec.set_payload(std::string(256, 'x'));
        spec.set_retention_ms(0);
        batch.Enqueue(spec);
      }
      ApplyNext(machine_, batch);
    }
  };
  const auto empty_out = [&](int round) {
    for (int i = 0; i < 20; ++i) {
      BatchBuilder batch(1000 * round);
      for (int j = 0; j < 1000; ++j) {
        batch.Cancel("job-" + std::to_string(round) + "-" + std::to_string(i * 1000 + j));
      }
      ApplyNext(machine_, batch);
    }
    for (int i = 0; i < 5; ++i) Tick(machine_, 1000 * round);
    EXPECT_EQ(machine_.job_count(), 0u);
  };
  // Allocates once: buffers for batches of this size, and the index's table of shards.
  fill(0);
  empty_out(0);
  const uint64_t fixed = 800 << 10;
  fill(1);
  const uint64_t full = machine_.memory_bytes();
  EXPECT_LT((full - fixed) / 20000, 256 + 11 + 200u) << "bytes a job with payload and id";
  empty_out(1);
  fill(2);
  EXPECT_LE(machine_.memory_bytes(), full + full / 50);
  empty_out(2);
}

}  // namespace
}  // namespace dqueue::queue
