#include "queue/broker/reports/worker_registry.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace dqueue::queue {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using Strings = std::vector<std::string>;

constexpr int64_t kWallMs = 1'700'000'000'500;

class WorkerRegistryTest : public ::testing::Test {
 protected:
  uint32_t Hear(const std::string& id) { return registry_.Heard(id, now_, kWallMs); }
  v1::ListWorkersResponse List(const QueueAccessPtr& access = nullptr) {
    v1::ListWorkersResponse response;
    v1::ListWorkersRequest request;
    do {
      v1::ListWorkersResponse page;
      EXPECT_TRUE(registry_.List(now_, request, access, &page));
      request.set_page_token(page.next_page_token());
      page.clear_next_page_token();
      response.MergeFrom(page);
    } while (!request.page_token().empty());
    return response;
  }
  Strings Ids() {
    Strings ids;
    const v1::ListWorkersResponse response = List();
    for (const v1::Worker& worker : response.workers()) ids.push_back(worker.id());
    return ids;
  }

  WorkerRegistry registry_;
  Time now_{seconds(1000)};
};

TEST_F(WorkerRegistryTest, ListsWhatWasRecorded) {
  const uint32_t a = Hear("host-1:77:abc");
  registry_.Asked(a, "", {"mail", "sms"}, {"send"});
  registry_.Delivered(a, 3);
  for (int i = 0; i < 3; ++i) registry_.Hold(a);
  registry_.Release(a);
  for (const AttemptEnd end : {AttemptEnd::kCompleted, AttemptEnd::kFailed, AttemptEnd::kRejected,
                               AttemptEnd::kExpired, AttemptEnd::kNone}) {
    registry_.Ended(a, end);
  }
  registry_.BeginWait(a);
  now_ += seconds(2);
  EXPECT_EQ(registry_.Heard("host-1:77:abc", now_, kWallMs + 2000), a);
  EXPECT_EQ(registry_.id(a), "host-1:77:abc");

  const v1::ListWorkersResponse shown = List();
  ASSERT_EQ(shown.workers_size(), 1);
  const v1::Worker& worker = shown.workers(0);
  EXPECT_EQ(worker.id(), "host-1:77:abc");
  EXPECT_EQ(worker.host(), "host-1") << "from the id";
  EXPECT_EQ(worker.first_time().seconds(), kWallMs / 1000);
  EXPECT_EQ(worker.first_time().nanos(), 500'000'000);
  EXPECT_EQ(worker.last_time().seconds(), kWallMs / 1000 + 2);
  EXPECT_TRUE(worker.waiting());
  EXPECT_EQ(worker.leased(), 2);
  EXPECT_EQ(worker.delivered(), 3u);
  EXPECT_EQ(worker.completed(), 1u);
  EXPECT_EQ(worker.failed(), 2u);
  EXPECT_EQ(worker.expired(), 1u);
  EXPECT_THAT(worker.queues(), ElementsAre("mail", "sms"));
  EXPECT_THAT(worker.types(), ElementsAre("send"));
  registry_.EndWait(a);
  EXPECT_FALSE(List().workers(0).waiting());
}

TEST_F(WorkerRegistryTest, TheHostDefaultsToTheBeginningOfTheId) {
  registry_.Asked(Hear("a/1"), "db.example", {}, {});
  Hear("b/1:2");
  Hear("plain");
  const v1::ListWorkersResponse shown = List();
  ASSERT_EQ(shown.workers_size(), 3);
  EXPECT_EQ(shown.workers(0).host(), "db.example");
  EXPECT_EQ(shown.workers(1).host(), "b");
  EXPECT_EQ(shown.workers(2).host(), "plain");
}

TEST_F(WorkerRegistryTest, TheLastCallCounts) {
  const uint32_t a = Hear("a");
  registry_.Asked(a, "", {"one", "two", "three"}, {"t"});
  registry_.Asked(a, "", {"two"}, {});
  EXPECT_THAT(List().workers(0).queues(), ElementsAre("two"));
  EXPECT_THAT(List().workers(0).types(), ElementsAre());
}

TEST_F(WorkerRegistryTest, OnlyAllowedQueuesAreShownButEveryWorker) {
  registry_.Asked(Hear("a"), "", {"mail-in", "sms"}, {"t"});
  registry_.Asked(Hear("b"), "", {"sms"}, {});
  const auto access = std::make_shared<const QueueAccess>(Strings{"mail-*"});
  const v1::ListWorkersResponse shown = List(access);
  ASSERT_EQ(shown.workers_size(), 2);
  EXPECT_THAT(shown.workers(0).queues(), ElementsAre("mail-in"));
  EXPECT_THAT(shown.workers(1).queues(), ElementsAre());
}

TEST_F(WorkerRegistryTest, AWorkerThatIsSilentAndHoldsNothingIsForgotten) {
  Hear("silent");
  registry_.Hold(Hear("holds"));
  registry_.BeginWait(Hear("waits"));
  now_ += minutes(5);
  EXPECT_THAT(Ids(), ElementsAre("holds", "silent", "waits")) << "five minutes are not over yet";
  now_ += seconds(1);
  EXPECT_THAT(Ids(), ElementsAre("holds", "waits"));
  EXPECT_EQ(registry_.size(), 2u);
  Hear("silent");
  EXPECT_EQ(List().workers(1).first_time().seconds(), kWallMs / 1000);
}

TEST_F(WorkerRegistryTest, TheLongestSilentIsReplacedAtTheLimit) {
  uint32_t second = 0;
  for (size_t i = 0; i < kWorkersMax; ++i) {
    const uint32_t worker = Hear("w" + std::to_string(i));
    if (i == 1) second = worker;
  }
  Hear("w0");  // now "w1" has been silent for longest
  registry_.Hold(second);
  Hear("new");
  EXPECT_EQ(registry_.size(), kWorkersMax);
  const Strings ids = Ids();
  EXPECT_EQ(std::count(ids.begin(), ids.end(), "w0"), 1);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), "w1"), 0);
  // Its number means it until its last lease is over.
  EXPECT_EQ(registry_.id(second), "w1");
  const uint32_t again = Hear("w1");
  EXPECT_NE(again, second);
  registry_.Release(second);
  EXPECT_EQ(registry_.id(second), "");
}

TEST_F(WorkerRegistryTest, CallsWithoutAnIdHaveNumberZero) {
  EXPECT_EQ(Hear(""), 0u);
  registry_.Heard(0u, now_, kWallMs);
  registry_.Asked(0, "host", {"q"}, {});
  registry_.BeginWait(0);
  registry_.EndWait(0);
  registry_.Hold(0);
  registry_.Release(0);
  registry_.Delivered(0, 1);
  registry_.Ended(0, AttemptEnd::kFailed);
  EXPECT_EQ(registry_.id(0), "");
  EXPECT_THAT(Ids(), ElementsAre());
}

TEST_F(WorkerRegistryTest, NamesAndAnswersAreBounded) {
  Strings long_names;
  for (int i = 0; i < 100; ++i) long_names.push_back(std::string(125, 'q') + std::to_string(i));
  registry_.Asked(Hear("a"), "", long_names, {});
  EXPECT_EQ(List().workers(0).queues_size(), 8) << "of 1 KiB";
  for (size_t i = 0; i < kWorkersMax; ++i) {
    registry_.Asked(Hear("w" + std::to_string(i)), "", long_names, long_names);
  }
  v1::ListWorkersResponse page;
  ASSERT_TRUE(registry_.List(now_, {}, nullptr, &page));
  EXPECT_LT(page.ByteSizeLong(), 600u << 10);
  EXPECT_EQ(List().workers_size(), static_cast<int>(kWorkersMax)) << "on several pages";
}

TEST_F(WorkerRegistryTest, PagesBeginBehindTheLastWorker) {
  for (const char* id : {"c", "a", "d", "b"}) Hear(id);
  v1::ListWorkersRequest request;
  request.set_page_size(2);
  v1::ListWorkersResponse page;
  ASSERT_TRUE(registry_.List(now_, request, nullptr, &page));
  ASSERT_EQ(page.workers_size(), 2);
  EXPECT_EQ(page.workers(1).id(), "b");
  request.set_page_token(page.next_page_token());
  Hear("bb");
  v1::ListWorkersResponse next;
  ASSERT_TRUE(registry_.List(now_, request, nullptr, &next));
  EXPECT_EQ(next.workers(0).id(), "bb");
  request.set_page_token("b");
  EXPECT_FALSE(registry_.List(now_, request, nullptr, &next));
}

// Workers that call once, hold a job and give it back: no more is kept than kWorkersMax.
TEST_F(WorkerRegistryTest, AMillionWorkersLeaveAtMostTheLimit) {
  uint32_t highest = 0;
  for (int i = 0; i < 1'000'000; ++i) {
    const uint32_t worker = Hear("w" + std::to_string(i));
    registry_.Hold(worker);
    registry_.Release(worker);
    highest = std::max(highest, worker);
  }
  EXPECT_EQ(registry_.size(), kWorkersMax);
  EXPECT_LE(highest, kWorkersMax + 1) << "numbers are used again";
}

TEST_F(WorkerRegistryTest, TakeAllForgetsAllWorkers) {
  const uint32_t a = Hear("a");
  registry_.Hold(a);
  const WorkerRegistry taken = registry_.TakeAll();
  EXPECT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken.id(a), "a") << "for another thread to free";
  EXPECT_THAT(Ids(), ElementsAre());
  registry_.Hold(Hear("b"));
  EXPECT_THAT(Ids(), ElementsAre("b"));
}

}  // namespace
}  // namespace dqueue::queue
