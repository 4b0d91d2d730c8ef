// Names that are used once: queues, types, keys and requests are forgotten; statistics of many
// queues come in pages; the rules hold from the entry on that sets their level.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "queue/api/hash.h"
#include "queue/api/job_id.h"
#include "queue/api/limits.h"
#include "queue/state/state_level.h"
#include "queue/state/state_machine.h"
#include "queue/state/testing/command_builder.h"
#include "queue/state/testing/early_history.h"

namespace dqueue::queue {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string Name(const char* prefix, size_t number) {
  std::string digits = std::to_string(number);
  return prefix + std::string(7 - digits.size(), '0') + digits;
}

// A job that is gone as soon as it is finished.
log::v1::Enqueue::Job ShortJob(std::string_view id, std::string_view queue = "q") {
  log::v1::Enqueue::Job job = MakeJob(id, queue);
  job.set_retention_ms(0);
  return job;
}
// The job at a position of the request "r1".
log::v1::Enqueue::Job RequestedJob(uint64_t position) {
  log::v1::Enqueue::Job job = ShortJob(DerivedJobId("r1", position));
  job.set_id_of_request(true);
  return job;
}

std::vector<std::string> QueuesOf(const StateMachine& machine, const QueueAccess* access = nullptr,
                                  int page_size = 0) {
  std::vector<std::string> names;
  v1::GetStatsRequest request;
  request.set_page_size(page_size);
  do {
    v1::GetStatsResponse page;
    EXPECT_TRUE(machine.Stats(request, &page, access).ok());
    EXPECT_LE(page.queues_size(), page_size == 0 ? kStatsPageSizeMax : page_size);
    for (const v1::QueueStats& queue : page.queues()) names.push_back(queue.queue());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return names;
}

class NamesTest : public ::testing::Test {
 protected:
  NamesTest() { Apply(BatchBuilder(1000).Level(1)); }

  std::vector<CommandResult> Apply(const BatchBuilder& batch) { return ApplyNext(machine_, batch); }
  CommandResult ApplyOne(const BatchBuilder& batch) { return Apply(batch).back(); }
  // An image restores to the same state, and so do both after another entry.
  void ExpectRestores() {
    StateMachine restored;
    const uint64_t digest = machine_.Digest();
    const absl::Status status =
        Restore(TakeImage(machine_, 100), machine_.applied_index(), digest, &restored, 77);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(restored.CheckConsistency(), "");
    EXPECT_EQ(restored.level(), machine_.level());
    EXPECT_EQ(restored.forgotten_queues(), machine_.forgotten_queues());
    EXPECT_EQ(restored.NextTickMs(), machine_.NextTickMs());
    const BatchBuilder next = BatchBuilder(machine_.time_ms() + kQueueIdleMs);
    ApplyNext(restored, next);
    ApplyNext(machine_, next);
    EXPECT_EQ(restored.Digest(), machine_.Digest());
    EXPECT_EQ(QueuesOf(restored), QueuesOf(machine_));
  }

  StateMachine machine_;
};

// ---- levels ----

TEST(LevelTest, AtLevel0DigestAndImageAreThoseOfEarlierPrograms) {
  StateMachine machine;
  ApplyEarlyHistory(machine);
  EXPECT_EQ(machine.level(), 0u);
  EXPECT_EQ(machine.Digest(), 0x36b075101b21bd1d);
  EXPECT_EQ(HashBytes(TakeImage(machine), 7), 0xe38811ff088390be);
  EXPECT_EQ(machine.NextTickMs(), 900'000) << "nothing is forgotten";
}

TEST(LevelTest, AnImageOfLevel0RestoresAndRises) {
  StateMachine machine;
  ApplyEarlyHistory(machine);
  StateMachine restored;
  ASSERT_TRUE(
      Restore(TakeImage(machine), machine.applied_index(), machine.Digest(), &restored).ok());
  for (StateMachine* each : {&machine, &restored}) {
    ApplyNext(*each, BatchBuilder(2 * kQueueIdleMs).Level(1));
    EXPECT_EQ(each->level(), 1u);
    EXPECT_EQ(each->CheckConsistency(), "");
    EXPECT_THAT(QueuesOf(*each), ElementsAre("bulk", "mail"))
        << "those that were idle before the level rose are forgotten first";
  }
  EXPECT_EQ(restored.Digest(), machine.Digest());
}

TEST(LevelTest, ItNeverFallsAndAnUnknownOneStopsTheProcess) {
  StateMachine machine;
  ApplyNext(machine, BatchBuilder(1000).Level(1));
  ApplyNext(machine, BatchBuilder(2000));
  EXPECT_EQ(machine.level(), 1u);
  EXPECT_DEATH(ApplyNext(machine, BatchBuilder(3000).Level(kStateLevelMax + 1)), "upgrade");
}

TEST(LevelTest, AnImageBegunAtLevel0SurvivesARiseAndForgetting) {
  StateMachine machine;
  ApplyEarlyHistory(machine);
  const uint64_t digest = machine.Digest();
  const raft::Index index = machine.applied_index();
  machine.BeginSnapshot();
  std::string image;
  machine.ContinueSnapshot(1, &image);
  // reply-1 is idle, and an idempotency key names it. It is forgotten and made again.
  const int64_t later_ms = 2 * kQueueIdleMs;
  ApplyNext(machine, BatchBuilder(later_ms).Level(1));
  ASSERT_FALSE(machine.HasQueue("reply-1"));
  ApplyNext(machine, BatchBuilder(later_ms).Enqueue(MakeJob("n1", "new")));
  ApplyNext(machine, BatchBuilder(later_ms).Enqueue(MakeJob("n2", "reply-1")));
  while (!machine.ContinueSnapshot(1, &image)) {
  }
  StateMachine restored;
  const absl::Status status = Restore(image, index, digest, &restored);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(restored.level(), 0u);
  auto again = MakeJob("other", "reply-1");
  again.set_idempotency_key("k1");
  EXPECT_EQ(ApplyNext(restored, BatchBuilder(80'000).Enqueue(again)).back().existing_id, "once");
}

// ---- queues ----

TEST_F(NamesTest, AnIdleQueueIsForgottenAfterItsTimeAndTheTotalKeepsItsCounters) {
  Apply(BatchBuilder(2000).Enqueue(ShortJob("a", "reply")).Enqueue(MakeJob("b", "mail")));
  Apply(BatchBuilder(3000).Complete("a", {1, 1}));
  Apply(BatchBuilder(4000));
  ASSERT_EQ(machine_.job_count(), 1u);
  Apply(BatchBuilder(4000 + kQueueIdleMs - 1));
  EXPECT_TRUE(machine_.HasQueue("reply"));
  EXPECT_EQ(machine_.NextTickMs(), 4000 + kQueueIdleMs);
  Apply(BatchBuilder(4000 + kQueueIdleMs));
  EXPECT_FALSE(machine_.HasQueue("reply"));
  EXPECT_EQ(machine_.forgotten_queues(), 1u);
  v1::GetStatsResponse stats;
  ASSERT_TRUE(machine_.Stats("", &stats).ok());
  EXPECT_EQ(stats.queues_size(), 1);
  EXPECT_EQ(stats.total_size(), 1);
  EXPECT_EQ(stats.total().enqueued(), 2u);
  EXPECT_EQ(stats.total().completions(), 1u);
  EXPECT_EQ(stats.total().purged(), 1u);
  EXPECT_EQ(machine_.CheckConsistency(), "");
  // The name begins again.
  Apply(BatchBuilder(machine_.time_ms()).Enqueue(MakeJob("c", "reply")));
  ASSERT_TRUE(machine_.Stats("reply", &stats).ok());
  EXPECT_EQ(stats.total().enqueued(), 1u);
  EXPECT_EQ(stats.total().purged(), 0u);
  ExpectRestores();
}

TEST_F(NamesTest, AQueueWithAJobOrAPauseIsKept) {
  Apply(BatchBuilder(2000)
            .Enqueue(MakeJob("a", "waiting"))
            .Pause("paused")
            .Pause("was-paused")
            .Resume("was-paused"));
  Apply(BatchBuilder(2000 + 10 * kQueueIdleMs));
  EXPECT_THAT(QueuesOf(machine_), ElementsAre("paused", "waiting"));
  Apply(BatchBuilder(machine_.time_ms()).Resume("paused"));
  const int64_t resumed_ms = machine_.time_ms();
  Apply(BatchBuilder(resumed_ms + kQueueIdleMs - 1));
  EXPECT_TRUE(machine_.HasQueue("paused"));
  Apply(BatchBuilder(resumed_ms + kQueueIdleMs));
  EXPECT_FALSE(machine_.HasQueue("paused"));
}

TEST_F(NamesTest, AJobThatComesAgainStartsTheTimeAnew) {
  Apply(BatchBuilder(2000).Enqueue(ShortJob("a")).Delete("a"));
  Apply(BatchBuilder(3000).Enqueue(ShortJob("b")));
  Apply(BatchBuilder(4000 + kQueueIdleMs));
  EXPECT_TRUE(machine_.HasQueue("q"));
  Apply(BatchBuilder(machine_.time_ms()).Delete("b"));
  EXPECT_EQ(machine_.NextTickMs(), 4000 + 2 * kQueueIdleMs);
}

TEST_F(NamesTest, AnIdempotencyKeyOutlivesItsQueue) {
  auto job = ShortJob("a", "reply");
  job.set_idempotency_key("k");
  job.set_idempotency_window_ms(2 * kQueueIdleMs);
  Apply(BatchBuilder(2000).Enqueue(job).Delete("a"));
  Apply(BatchBuilder(2000 + kQueueIdleMs));
  ASSERT_FALSE(machine_.HasQueue("reply"));
  job.set_id("b");
  EXPECT_EQ(ApplyOne(BatchBuilder(machine_.time_ms()).Enqueue(job)).existing_id, "a");
  EXPECT_FALSE(machine_.HasQueue("reply"));
  ExpectRestores();
}

TEST_F(NamesTest, IdleQueuesMakeRoomTheOldestFirst) {
  Apply(BatchBuilder(2000).Enqueue(MakeJob("live", "live")).Pause("paused"));
  for (size_t i = 2; i < kQueuesMax;) {
    BatchBuilder batch(2000 + static_cast<int64_t>(i));
    for (const size_t end = std::min(kQueuesMax, i + 1000); i < end; ++i) {
      batch.Enqueue(ShortJob("j", Name("q", i))).Delete("j");
    }
    Apply(batch);
  }
  ASSERT_EQ(QueuesOf(machine_).size(), kQueuesMax);
  const int64_t now_ms = machine_.time_ms();
  // An idle queue that is used again is not the one that goes.
  EXPECT_EQ(ApplyOne(BatchBuilder(now_ms).Enqueue(MakeJob("a", Name("q", 2)))).code,
            ResultCode::kOk);
  EXPECT_EQ(ApplyOne(BatchBuilder(now_ms).Enqueue(MakeJob("b", "default"))).code, ResultCode::kOk);
  EXPECT_EQ(ApplyOne(BatchBuilder(now_ms).Pause("other")).code, ResultCode::kOk);
  EXPECT_TRUE(machine_.HasQueue(Name("q", 2)));
  EXPECT_FALSE(machine_.HasQueue(Name("q", 3)));
  EXPECT_FALSE(machine_.HasQueue(Name("q", 4)));
  // Together: the second job's queue is the next to go, unless it is used.
  EXPECT_EQ(ApplyOne(BatchBuilder(now_ms).EnqueueAll({MakeJob("c", "new-1"), MakeJob("d", "new-2"),
                                                      MakeJob("e", Name("q", 5))}))
                .code,
            ResultCode::kOk);
  EXPECT_TRUE(machine_.HasQueue(Name("q", 5)));
  EXPECT_EQ(QueuesOf(machine_).size(), kQueuesMax);
  EXPECT_EQ(machine_.CheckConsistency(), "");
  ExpectRestores();
}

TEST_F(NamesTest, TheLimitIsOnWhatLives) {
  for (size_t i = 0; i < kQueuesMax; i += 1000) {
    BatchBuilder batch(2000);
    for (size_t j = i; j < i + 1000; ++j) batch.Enqueue(MakeJob(Name("j", j), Name("q", j)));
    Apply(batch);
  }
  EXPECT_EQ(ApplyOne(BatchBuilder(2000).Enqueue(MakeJob("x", "new"))).code,
            ResultCode::kTooManyQueues);
  EXPECT_EQ(ApplyOne(BatchBuilder(2000).Pause("new")).code, ResultCode::kTooManyQueues);
  Apply(BatchBuilder(2000).Delete(Name("j", 7)).Delete(Name("j", 8)));
  EXPECT_EQ(ApplyOne(BatchBuilder(2000).EnqueueAll(
                         {MakeJob("x", "new"), MakeJob("y", Name("q", 7)), MakeJob("z", "new-2")}))
                .code,
            ResultCode::kTooManyQueues)
      << "two places for three queues";
  EXPECT_EQ(ApplyOne(BatchBuilder(2000).EnqueueAll(
                         {MakeJob("x", "new"), MakeJob("y", Name("q", 7)), MakeJob("z", "new")}))
                .code,
            ResultCode::kOk);
  EXPECT_EQ(ApplyOne(BatchBuilder(2000).Enqueue(MakeJob("w", "new-2"))).code,
            ResultCode::kTooManyQueues);
  EXPECT_EQ(machine_.CheckConsistency(), "");
}

// Each name once: a queue, a type, an idempotency key (its window over at the next second), a job
// id.
TEST_F(NamesTest, AMillionNamesLeaveNothing) {
  constexpr size_t kNames = 1'000'000;
  constexpr size_t kInABatch = 2000;
  uint64_t after_first = 0;
  for (size_t i = 0; i < kNames; i += kInABatch) {
    BatchBuilder batch(10'000 + static_cast<int64_t>(i));
    for (size_t j = i; j < i + kInABatch; ++j) {
      auto job = ShortJob(Name("j", j), Name("reply-", j));
      job.set_type(Name("type-", j));
      job.set_idempotency_key(Name("key-", j));
      job.set_idempotency_window_ms(1000);
      batch.Enqueue(job).Delete(job.id());
    }
    Apply(batch);
    // All kQueuesMax places are taken once by then.
    if (i == 2 * kQueuesMax) after_first = machine_.memory_bytes();
  }
  EXPECT_EQ(machine_.job_count(), 0u);
  EXPECT_LE(QueuesOf(machine_).size(), kQueuesMax);
  EXPECT_LE(machine_.memory_bytes(), after_first + after_first / 20);
  Apply(BatchBuilder(machine_.time_ms() + kQueueIdleMs));
  for (int i = 0; i < 200 && machine_.NextTickMs() <= machine_.time_ms(); ++i) {
    Apply(BatchBuilder(machine_.time_ms()));
  }
  EXPECT_THAT(QueuesOf(machine_), IsEmpty());
  EXPECT_EQ(machine_.forgotten_queues(), kNames);
  EXPECT_EQ(machine_.NextTickMs(), INT64_MAX);
  EXPECT_LT(machine_.memory_bytes(), 10u << 20);
  EXPECT_EQ(machine_.CheckConsistency(), "");
  const std::string image = TakeImage(machine_);
  EXPECT_LT(image.size(), 200u);
  v1::GetStatsResponse stats;
  ASSERT_TRUE(machine_.Stats("", &stats).ok());
  EXPECT_EQ(stats.total().enqueued(), kNames);
  EXPECT_EQ(stats.total().purged(), kNames);
}

// ---- pages ----

TEST_F(NamesTest, StatisticsComeInPagesByName) {
  BatchBuilder batch(2000);
  for (size_t i = 0; i < 2500; ++i) batch.Enqueue(MakeJob(Name("j", i), Name("q", i)));
  Apply(batch);
  for (const int page_size : {0, 1, 7, 1000}) {
    const std::vector<std::string> names = QueuesOf(machine_, nullptr, page_size);
    ASSERT_EQ(names.size(), 2500u);
    EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  }
  v1::GetStatsRequest request;
  request.set_page_size(2);
  v1::GetStatsResponse page;
  ASSERT_TRUE(machine_.Stats(request, &page).ok());
  EXPECT_EQ(page.total_size(), 2500);
  EXPECT_EQ(page.total().ready(), 2500u) << "on each page";
  // The next page begins behind the name, whatever became of the queue.
  request.set_page_token(page.next_page_token());
  Apply(BatchBuilder(2000).Delete(Name("j", 1)).Delete(Name("j", 2)));
  Apply(BatchBuilder(2000 + kQueueIdleMs));
  v1::GetStatsResponse next;
  ASSERT_TRUE(machine_.Stats(request, &next).ok());
  EXPECT_EQ(next.queues(0).queue(), Name("q", 3));
  for (const std::string token : {"x", "0123456789abcdefq0000001"}) {
    request.set_page_token(token);
    EXPECT_EQ(machine_.Stats(request, &next).code(), absl::StatusCode::kInvalidArgument) << token;
  }
}

TEST_F(NamesTest, ALimitedKeySeesItsQueuesInOrderAndOnce) {
  BatchBuilder batch(2000);
  for (const char* queue : {"a", "a-1", "a-2", "ab", "b", "c", "c-1", "d"}) {
    batch.Enqueue(MakeJob(queue, queue));
  }
  Apply(batch);
  const QueueAccess access({"c-1", "a-*", "a-1", "zz", "a", "a-1*", "d", "a", "b*"});
  for (const int page_size : {0, 1, 2, 3}) {
    EXPECT_THAT(QueuesOf(machine_, &access, page_size),
                ElementsAre("a", "a-1", "a-2", "b", "c-1", "d"));
  }
  v1::GetStatsRequest request;
  request.set_page_size(2);
  v1::GetStatsResponse page;
  ASSERT_TRUE(machine_.Stats(request, &page, &access).ok());
  EXPECT_EQ(page.total().ready(), 2u) << "of the page";
  EXPECT_EQ(page.total_size(), 0) << "not known without a walk over all";
  const QueueAccess all({"*"});
  EXPECT_EQ(QueuesOf(machine_, &all).size(), 8u);
  const QueueAccess nothing({"nobody"});
  EXPECT_THAT(QueuesOf(machine_, &nothing), IsEmpty());
}

// ---- requests ----

TEST_F(NamesTest, ARepeatedRequestMeansItsJobsThatAreGone) {
  Apply(BatchBuilder(2000).Enqueue(RequestedJob(0)).Complete(DerivedJobId("r1", 0), {1, 1}));
  Apply(BatchBuilder(3000));
  ASSERT_EQ(machine_.job_count(), 0u);
  EXPECT_EQ(machine_.used_request_ids().count, 1u);
  const CommandResult again = ApplyOne(BatchBuilder(4000).Enqueue(RequestedJob(0)));
  EXPECT_EQ(again.code, ResultCode::kExisting);
  EXPECT_EQ(again.existing_id, DerivedJobId("r1", 0));
  EXPECT_EQ(again.sequence, 1u);
  EXPECT_EQ(machine_.job_count(), 0u);
  auto other = RequestedJob(0);
  other.set_payload("other");
  EXPECT_EQ(ApplyOne(BatchBuilder(4000).Enqueue(other)).code, ResultCode::kDuplicateJob);
  EXPECT_EQ(ApplyOne(BatchBuilder(4000).Enqueue(RequestedJob(1))).code, ResultCode::kOk);
  const CommandResult together =
      ApplyOne(BatchBuilder(4000).EnqueueAll({RequestedJob(0), RequestedJob(2)}));
  EXPECT_EQ(together.code, ResultCode::kOk);
  ASSERT_EQ(together.existing.size(), 1u);
  EXPECT_EQ(together.existing[0].first, 0u);
  // An hour after the request it is forgotten.
  Apply(BatchBuilder(2000 + kRequestIdMs - 1));
  EXPECT_EQ(ApplyOne(BatchBuilder(2000 + kRequestIdMs - 1).Enqueue(RequestedJob(0))).code,
            ResultCode::kExisting);
  EXPECT_EQ(ApplyOne(BatchBuilder(2000 + kRequestIdMs).Enqueue(RequestedJob(0))).code,
            ResultCode::kOk);
  EXPECT_EQ(machine_.CheckConsistency(), "");
}

TEST_F(NamesTest, AJobWithAnIdOfItsOwnIsRememberedByItsRequest) {
  auto job = ShortJob("mine");
  job.set_request_key(DerivedRequestKey("r1", 0));
  Apply(BatchBuilder(2000).Enqueue(job).Delete("mine"));
  EXPECT_EQ(ApplyOne(BatchBuilder(3000).Enqueue(job)).code, ResultCode::kExisting);
  auto renamed = job;
  renamed.set_id("other");
  EXPECT_EQ(ApplyOne(BatchBuilder(3000).Enqueue(renamed)).code, ResultCode::kDuplicateJob);
  ExpectRestores();
  auto of_another = job;
  of_another.set_request_key(DerivedRequestKey("r2", 0));
  EXPECT_EQ(ApplyOne(BatchBuilder(machine_.time_ms()).Enqueue(of_another)).code, ResultCode::kOk)
      << "the id itself is free again";
}

TEST_F(NamesTest, ARequestWithALargePayloadIsComparedWithoutHashingItAgain) {
  auto job = RequestedJob(0);
  job.set_payload(std::string(100'000, 'x'));
  Apply(BatchBuilder(2000).Enqueue(job));
  v1::Job shown;
  machine_.FillJob(machine_.Find(job.id()), true, &shown);
  EXPECT_EQ(shown.payload(), job.payload());
  EXPECT_EQ(ApplyOne(BatchBuilder(2000).Enqueue(job)).code, ResultCode::kExisting);
  Apply(BatchBuilder(2000).Delete(job.id()));
  EXPECT_EQ(ApplyOne(BatchBuilder(2000).Enqueue(job)).code, ResultCode::kExisting);
  job.mutable_payload()->back() = 'y';
  EXPECT_EQ(ApplyOne(BatchBuilder(2000).Enqueue(job)).code, ResultCode::kDuplicateJob);
}

TEST_F(NamesTest, JobsThatLiveLongLeaveNoRequest) {
  auto job = RequestedJob(0);
  job.set_retention_ms(-1);
  Apply(BatchBuilder(2000).Enqueue(job).Complete(job.id(), {1, 1}));
  Apply(BatchBuilder(2000 + kRetentionMsDefault));
  ASSERT_EQ(machine_.job_count(), 0u);
  EXPECT_EQ(machine_.used_request_ids().count, 0u);
  Apply(BatchBuilder(machine_.time_ms()).Enqueue(ShortJob("plain")).Delete("plain"));
  EXPECT_EQ(machine_.used_request_ids().count, 0u) << "of no request";
}

TEST_F(NamesTest, RequestsAreBoundedAndTheOldestGoFirst) {
  constexpr size_t kOver = 1000;
  constexpr size_t kInABatch = 2000;
  for (size_t i = 0; i < kRequestsMax + kOver; i += kInABatch) {
    BatchBuilder batch(2000);
    const size_t end = std::min<size_t>(i + kInABatch, kRequestsMax + kOver);
    for (size_t j = i; j < end; ++j) {
      auto job = ShortJob(Name("j", j));
      job.set_id_of_request(true);
      batch.Enqueue(job).Delete(job.id());
    }
    Apply(batch);
  }
  EXPECT_EQ(machine_.used_request_ids().count, kRequestsMax);
  EXPECT_LE(machine_.used_request_ids().bytes, 80u * kRequestsMax);
  const auto repeated = [&](size_t number) {
    auto job = ShortJob(Name("j", number));
    job.set_id_of_request(true);
    return ApplyOne(BatchBuilder(2000).Enqueue(job)).code;
  };
  EXPECT_EQ(repeated(kOver), ResultCode::kExisting);
  EXPECT_EQ(repeated(kOver - 1), ResultCode::kOk);
  EXPECT_EQ(machine_.CheckConsistency(), "");
}

TEST_F(NamesTest, RequestsAreInImagesInTheirOrder) {
  for (uint64_t i = 0; i < 50; ++i) {
    Apply(BatchBuilder(2000 + static_cast<int64_t>(i))
              .Enqueue(RequestedJob(i))
              .Delete(DerivedJobId("r1", i)));
  }
  // While the image is written, the first ones end and others are added.
  const uint64_t digest = machine_.Digest();
  const raft::Index index = machine_.applied_index();
  std::string image;
  machine_.BeginSnapshot();
  machine_.ContinueSnapshot(200, &image);
  Apply(BatchBuilder(2020 + kRequestIdMs));
  Apply(BatchBuilder(2020 + kRequestIdMs).Enqueue(RequestedJob(99)).Delete(DerivedJobId("r1", 99)));
  EXPECT_EQ(machine_.used_request_ids().count, 30u);
  while (!machine_.ContinueSnapshot(50, &image)) {
  }
  StateMachine restored;
  const absl::Status status = Restore(image, index, digest, &restored);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(restored.used_request_ids().count, 50u);
  ApplyNext(restored, BatchBuilder(2020 + kRequestIdMs));
  EXPECT_EQ(restored.used_request_ids().count, 29u) << "those of the first 21 ms are over";
}

}  // namespace
}  // namespace dqueue::queue
