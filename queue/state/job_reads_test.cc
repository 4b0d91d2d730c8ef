// Lists and their pages.
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "queue/state/state_machine.h"
#include "queue/state/testing/command_builder.h"

namespace dqueue::queue {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// All pages of a listing; the number of pages in *pages.
std::vector<std::string> ListAll(const StateMachine& machine, v1::ListJobsRequest request,
                                 int* pages = nullptr) {
  std::vector<std::string> ids;
  int count = 0;
  do {
    v1::ListJobsResponse response;
    EXPECT_TRUE(machine.List(request, &response).ok());
    for (const v1::Job& job : response.jobs()) ids.push_back(job.id());
    request.set_page_token(response.next_page_token());
    ++count;
  } while (!request.page_token().empty() && count < 1000);
  if (pages != nullptr) *pages = count;
  return ids;
}

class ListTest : public ::testing::Test {
 protected:
  ListTest() {
    auto later = MakeJob("scheduled");
    later.set_run_time_ms(99000);
    ApplyNext(machine_, BatchBuilder(1000)
                            .Enqueue(MakeJob("ready"))
                            .Enqueue(MakeJob("leased"))
                            .Enqueue(MakeJob("elsewhere", "q2"))
                            .Enqueue(MakeJob("typed", "q", "t2"))
                            .Enqueue(later)
                            .Enqueue(MakeJob("done"))
                            .Enqueue(MakeJob("dead"))
                            .Enqueue(MakeJob("cancelled"))
                            .Complete("done", {1, 1}, "result")
                            .Fail("dead", {1, 2}, "", 0, true)
                            .Cancel("cancelled"));
    EXPECT_TRUE(machine_.Hold(machine_.Find("leased")));
  }

  std::vector<std::string> InState(v1::JobState state) {
    v1::ListJobsRequest request;
    request.set_state(state);
    return ListAll(machine_, request);
  }

  StateMachine machine_;
};

TEST_F(ListTest, StatesIncludeLeased) {
  EXPECT_THAT(InState(v1::JOB_STATE_READY), ElementsAre("ready", "elsewhere", "typed"));
  EXPECT_THAT(InState(v1::JOB_STATE_LEASED), ElementsAre("leased"));
  EXPECT_THAT(InState(v1::JOB_STATE_SCHEDULED), ElementsAre("scheduled"));
  EXPECT_THAT(InState(v1::JOB_STATE_SUCCEEDED), ElementsAre("done"));
  EXPECT_THAT(InState(v1::JOB_STATE_DEAD), ElementsAre("dead"));
  EXPECT_THAT(InState(v1::JOB_STATE_CANCELLED), ElementsAre("cancelled"));
  EXPECT_EQ(InState(v1::JOB_STATE_UNSPECIFIED).size(), 8u);
}

TEST_F(ListTest, QueueAndTypeFilter) {
  v1::ListJobsRequest request;
  request.set_queue("q2");
  EXPECT_THAT(ListAll(machine_, request), ElementsAre("elsewhere"));
  request.set_queue("q");
  request.set_type("t2");
  EXPECT_THAT(ListAll(machine_, request), ElementsAre("typed"));
  request.set_queue("nobody");
  EXPECT_THAT(ListAll(machine_, request), IsEmpty());
}

TEST_F(ListTest, PagesMeetWithoutGapOrOverlap) {
  v1::ListJobsRequest request;
  request.set_page_size(3);
  int pages = 0;
  EXPECT_THAT(ListAll(machine_, request, &pages),
              UnorderedElementsAre("ready", "leased", "elsewhere", "typed", "scheduled", "done",
                                   "dead", "cancelled"));
  EXPECT_EQ(pages, 3);
}

TEST_F(ListTest, FullJobsOnlyWhenAsked) {
  v1::ListJobsRequest request;
  request.set_state(v1::JOB_STATE_SUCCEEDED);
  v1::ListJobsResponse response;
  ASSERT_TRUE(machine_.List(request, &response).ok());
  EXPECT_EQ(response.jobs(0).result(), "");
  request.set_full(true);
  response.Clear();
  ASSERT_TRUE(machine_.List(request, &response).ok());
  EXPECT_EQ(response.jobs(0).result(), "result");
}

TEST_F(ListTest, ForgedTokensAreRefused) {
  v1::ListJobsRequest request;
  request.set_page_size(2);
  v1::ListJobsResponse response;
  ASSERT_TRUE(machine_.List(request, &response).ok());
  const std::string token = response.next_page_token();
  ASSERT_FALSE(token.empty());

  std::vector<std::string> forged = {"0",
                                     "zz",
                                     token + "0",
                                     token.substr(1),
                                     "3" + token.substr(1),
                                     std::string(24, '0'),
                                     std::string(24, 'f'),
                                     std::string(24, '\xff')};
  for (size_t i = 0; i < token.size(); ++i) {
    std::string changed = token;
    changed[i] = changed[i] == '7' ? '8' : '7';
    forged.push_back(changed);
  }
  for (const std::string& bad : forged) {
    request.set_page_token(bad);
    response.Clear();
    EXPECT_EQ(machine_.List(request, &response).code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_EQ(response.jobs_size(), 0);
  }
  request.set_page_token(token);
  EXPECT_TRUE(machine_.List(request, &response).ok());

  // A token continues its own listing only.
  for (auto change : {+[](v1::ListJobsRequest& r) { r.set_queue("q"); },
                      +[](v1::ListJobsRequest& r) { r.set_type("t"); },
                      +[](v1::ListJobsRequest& r) { r.set_state(v1::JOB_STATE_READY); }}) {
    v1::ListJobsRequest other = request;
    change(other);
    EXPECT_EQ(machine_.List(other, &response).code(), absl::StatusCode::kInvalidArgument);
  }
  request.set_page_size(-1);
  EXPECT_EQ(machine_.List(request, &response).code(), absl::StatusCode::kInvalidArgument);
}

// A restored node may keep the same jobs in other slots: positions of the old listing mean nothing.
TEST_F(ListTest, TokensDoNotSurviveARestore) {
  v1::ListJobsRequest request;
  request.set_page_size(2);
  v1::ListJobsResponse response;
  ASSERT_TRUE(machine_.List(request, &response).ok());
  request.set_page_token(response.next_page_token());
  StateMachine restored;
  ASSERT_TRUE(
      Restore(TakeImage(machine_), machine_.applied_index(), machine_.Digest(), &restored).ok());
  EXPECT_EQ(restored.List(request, &response).code(), absl::StatusCode::kInvalidArgument);
}

TEST(ListManyTest, ACallLooksAtABoundedNumberOfJobs) {
  StateMachine machine;
  for (int i = 0; i < 50; ++i) {
    BatchBuilder batch(1000);
    for (int j = 0; j < 1000; ++j) batch.Enqueue(MakeJob(std::to_string(i * 1000 + j)));
    ApplyNext(machine, batch);
  }
  ApplyNext(machine, BatchBuilder(1000).Cancel("49999"));
  v1::ListJobsRequest request;
  request.set_state(v1::JOB_STATE_CANCELLED);
  v1::ListJobsResponse response;
  ASSERT_TRUE(machine.List(request, &response).ok());
  EXPECT_EQ(response.jobs_size(), 0);
  EXPECT_FALSE(response.next_page_token().empty());
  int pages = 0;
  EXPECT_THAT(ListAll(machine, request, &pages), ElementsAre("49999"));
  EXPECT_EQ(pages, 3);

  request.Clear();
  request.set_page_size(100000);
  response.Clear();
  ASSERT_TRUE(machine.List(request, &response).ok());
  EXPECT_EQ(response.jobs_size(), 1000);
  request.set_page_size(0);
  response.Clear();
  ASSERT_TRUE(machine.List(request, &response).ok());
  EXPECT_EQ(response.jobs_size(), 50);
}

// ---- Pick ----

std::vector<std::string> PickIds(const StateMachine& machine, const JobFilter& filter,
                                 size_t max = 1000) {
  std::vector<JobRef> found;
  uint32_t position = 0;
  machine.Pick(filter, max, machine.pick_end(), &position, &found);
  std::vector<std::string> ids;
  for (const JobRef job : found) ids.emplace_back(machine.View(job).id);
  return ids;
}

TEST(PickTest, FindsJobsThatMatchTheFilter) {
  StateMachine machine;
  auto later = MakeJob("later");
  later.set_run_time_ms(9000);
  ApplyNext(machine, BatchBuilder(1000)
                         .Enqueue(MakeJob("held"))
                         .Enqueue(MakeJob("ready"))
                         .Enqueue(later)
                         .Enqueue(MakeJob("mail", "q2", "mail"))
                         .Enqueue(MakeJob("dead"))
                         .Enqueue(MakeJob("gone"))
                         .Fail("dead", {1, 1}, "no such host", 0, true)
                         .Delete("gone"));
  TakeIds(machine, {"q"}, 1);
  EXPECT_THAT(PickIds(machine, {}), ElementsAre("held", "ready", "later", "mail", "dead"));
  EXPECT_THAT(PickIds(machine, {.queue = "q2"}), ElementsAre("mail"));
  EXPECT_THAT(PickIds(machine, {.queue = "unknown"}), IsEmpty());
  EXPECT_THAT(PickIds(machine, {.type = "mail"}), ElementsAre("mail"));
  EXPECT_THAT(PickIds(machine, {.queue = "q", .type = "mail"}), IsEmpty());
  EXPECT_THAT(PickIds(machine, {.states = JobStateBit(v1::JOB_STATE_LEASED)}), ElementsAre("held"));
  EXPECT_THAT(PickIds(machine, {.queue = "q",
                                .states = JobStateBit(v1::JOB_STATE_READY) |
                                          JobStateBit(v1::JOB_STATE_SCHEDULED)}),
              ElementsAre("ready", "later"));
  EXPECT_THAT(PickIds(machine, {.error_contains = "such h"}), ElementsAre("dead"));
  EXPECT_THAT(PickIds(machine, {.error_contains = "Such"}), IsEmpty());
}

TEST(PickTest, GoesOnWhereItStopped) {
  StateMachine machine;
  BatchBuilder batch(1000);
  for (int i = 0; i < 10; ++i) batch.Enqueue(MakeJob(std::to_string(i)));
  ApplyNext(machine, batch);
  std::vector<JobRef> found;
  uint32_t position = 3;
  machine.Pick({}, 2, 8, &position, &found);
  EXPECT_EQ(position, 5u);
  machine.Pick({}, 100, 8, &position, &found);
  EXPECT_EQ(position, 8u);
  EXPECT_EQ(found.size(), 5u);
}

TEST(PickTest, ACallLooksAtABoundedNumberOfJobsAndErrors) {
  StateMachine machine;
  for (int i = 0; i < 30; ++i) {
    BatchBuilder batch(1000);
    for (int j = 0; j < 1000; ++j) batch.Enqueue(MakeJob(std::to_string(i * 1000 + j)));
    ApplyNext(machine, batch);
  }
  std::vector<JobRef> found;
  uint32_t position = 0;
  const JobFilter dead{.states = JobStateBit(v1::JOB_STATE_DEAD)};
  machine.Pick(dead, 1, machine.pick_end(), &position, &found);
  EXPECT_EQ(position, 20000u);

  BatchBuilder fail(1000);
  for (int i = 0; i < 5000; ++i) {
    fail.Fail(std::to_string(i), {1, 1}, std::string(4096, 'x'), 0, true);
  }
  ApplyNext(machine, fail);
  position = 0;
  machine.Pick({.error_contains = "y"}, 1, machine.pick_end(), &position, &found);
  EXPECT_LT(position, 2000u) << "long texts take time";
  EXPECT_TRUE(found.empty());
}

TEST(ListManyTest, PagesOfLargeJobsStayBelowTheMessageLimit) {
  StateMachine machine;
  std::set<std::string> ids;
  for (int i = 0; i < 12; ++i) {
    auto spec = MakeJob("j" + std::to_string(i));
    spec.set_payload(std::string(i == 3 ? 3 << 20 : 900 << 10, 'x'));
    ApplyNext(machine, BatchBuilder(1000).Enqueue(spec));
    ids.insert(spec.id());
  }
  v1::ListJobsRequest request;
  request.set_full(true);
  v1::ListJobsResponse response;
  do {
    response.Clear();
    ASSERT_TRUE(machine.List(request, &response).ok());
    EXPECT_LT(response.ByteSizeLong(), 4u << 20);
    ASSERT_GT(response.jobs_size(), 0);
    for (const v1::Job& job : response.jobs()) EXPECT_EQ(ids.erase(job.id()), 1u);
    request.set_page_token(response.next_page_token());
  } while (!response.next_page_token().empty());
  EXPECT_TRUE(ids.empty());
}

}  // namespace
}  // namespace dqueue::queue
