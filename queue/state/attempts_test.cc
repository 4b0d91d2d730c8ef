#include "queue/state/attempts.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "queue/state/state_machine.h"
#include "queue/state/testing/command_builder.h"

namespace dqueue::queue {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Show(std::string_view attempts) {
  std::vector<AttemptView> parsed;
  if (!ParseAttempts(attempts, &parsed)) return "damaged";
  std::string out;
  for (const AttemptView& a : parsed) {
    out += std::to_string(a.number) + " " + v1::Attempt::End_Name(a.end) + " at " +
           std::to_string(a.end_ms) + " held " + std::to_string(a.held_ms) + " by " +
           std::string(a.worker_id) + ": " + std::string(a.error) + "\n";
  }
  return out;
}

AttemptView Failed(uint32_t number, std::string_view error) {
  return {number, v1::Attempt::END_FAILED, 1000, 5, "w", error};
}

TEST(Attempts, KeepsAttemptsOldestFirst) {
  std::string attempts = WithAttempt("", {1, v1::Attempt::END_FAILED, 1000, 5, "w1", "one"});
  attempts = WithAttempt(attempts, {3, v1::Attempt::END_EXPIRED, 70000, -1, "", ""});
  EXPECT_EQ(Show(attempts),
            "1 END_FAILED at 1000 held 5 by w1: one\n"
            "3 END_EXPIRED at 70000 held -1 by : \n");
}

TEST(Attempts, ForgetsTheOldestBeyondTen) {
  std::string attempts;
  for (uint32_t i = 1; i <= 13; ++i) attempts = WithAttempt(attempts, Failed(i, "e"));
  std::vector<AttemptView> parsed;
  ASSERT_TRUE(ParseAttempts(attempts, &parsed));
  EXPECT_EQ(parsed.size(), kAttemptsMax);
  EXPECT_EQ(parsed.front().number, 4u);
  EXPECT_EQ(parsed.back().number, 13u);
}

TEST(Attempts, ClampsTextsAndTimes) {
  // 511 letters and a character of two bytes: it goes as a whole.
  const std::string error = std::string(511, 'e') + "\xc3\xa4 and more";
  const std::string attempts =
      WithAttempt("", {1, v1::Attempt::END_REJECTED, -7, -9, std::string(200, 'w'), error});
  EXPECT_EQ(Show(attempts), "1 END_REJECTED at 0 held -1 by " + std::string(128, 'w') + ": " +
                                std::string(511, 'e') + "\n");
}

TEST(Attempts, DamagedBytesAreFound) {
  const std::string good = WithAttempt("", Failed(2, "error"));
  std::string eleven;
  for (int i = 0; i < 11; ++i) eleven += good;
  const auto with_byte = [&good](size_t at, char value) {
    std::string bytes = good;
    bytes[at] = value;
    return bytes;
  };
  EXPECT_EQ(Show(""), "");
  for (size_t size = 1; size < good.size(); ++size) {
    EXPECT_EQ(Show(good.substr(0, size)), "damaged") << size;
  }
  EXPECT_EQ(Show(with_byte(1, 0)), "damaged") << "no such end";
  EXPECT_EQ(Show(with_byte(1, 4)), "damaged") << "no such end";
  EXPECT_EQ(Show(good + with_byte(0, 1)), "damaged") << "numbers do not rise";
  EXPECT_EQ(Show(eleven), "damaged");
}

// ---- in the state machine ----

class AttemptsOfJobsTest : public ::testing::Test {
 protected:
  std::vector<std::string> Shown(const StateMachine& machine, const std::string& id) {
    v1::Job job;
    machine.FillAttempts(machine.Find(id), &job);
    std::vector<std::string> shown;
    for (const v1::Attempt& a : job.attempts()) {
      shown.push_back(std::to_string(a.number()) + " " + v1::Attempt::End_Name(a.end()) + " " +
                      a.worker_id() + " " + std::to_string(a.end_time().seconds()) + "s held " +
                      (a.has_held() ? std::to_string(a.held().seconds()) + "s" : "?") + " " +
                      a.error());
    }
    return shown;
  }
  StateMachine machine_;
};

TEST_F(AttemptsOfJobsTest, EachEndWithoutSuccessIsKept) {
  auto job = MakeJob("j");
  job.set_max_retries(0);
  ApplyNext(machine_, BatchBuilder(1000).Enqueue(job));
  EXPECT_THAT(Shown(machine_, "j"), ElementsAre());
  ApplyNext(machine_, BatchBuilder(2000).Expire("j", {1, 1}, "w1", 30000));
  ApplyNext(machine_, BatchBuilder(3000).Fail("j", {1, 2}, "bad", 0, false, "w2", -1));
  const std::vector<std::string> two = {"1 END_EXPIRED w1 2s held 30s ",
                                        "2 END_FAILED w2 3s held ? bad"};
  EXPECT_EQ(Shown(machine_, "j"), two);
  // Repeated, or stale: nothing new. Brought back: they stay, and numbers go on.
  ApplyNext(machine_, BatchBuilder(4000).Fail("j", {1, 2}, "bad").Expire("j", {1, 1}));
  EXPECT_EQ(Shown(machine_, "j"), two);
  ApplyNext(machine_, BatchBuilder(5000).Retry("j"));
  ApplyNext(machine_, BatchBuilder(6000).Fail("j", {1, 3}, "no", 0, true, "w3", 2000));
  EXPECT_THAT(Shown(machine_, "j"), ElementsAre(two[0], two[1], "3 END_REJECTED w3 6s held 2s no"));
  EXPECT_EQ(machine_.CheckConsistency(), "");
}

TEST_F(AttemptsOfJobsTest, ACompletionKeepsAttemptsAndAddsNone) {
  ApplyNext(machine_, BatchBuilder(1000)
                          .Enqueue(MakeJob("j"))
                          .Enqueue(MakeJob("k"))
                          .Fail("j", {1, 1}, "bad")
                          .Complete("j", {1, 2}, "result")
                          .Complete("k", {1, 3}, "result"));
  EXPECT_THAT(Shown(machine_, "j"), ElementsAre("1 END_FAILED w1 1s held 1s bad"));
  EXPECT_THAT(Shown(machine_, "k"), ElementsAre());
  v1::Job job;
  machine_.FillJob(machine_.Find("j"), true, &job);
  EXPECT_EQ(job.result(), "result");
  EXPECT_EQ(job.attempts_size(), 0) << "FillJob leaves them out";
}

// A replica that replays the entries of such a version must come to the state of one that restored
// an image of it.
TEST_F(AttemptsOfJobsTest, EntriesOfAVersionWithoutAttemptsMakeNone) {
  ApplyNext(machine_, BatchBuilder(1000)
                          .Enqueue(MakeJob("j"))
                          .Expire("j", {1, 1}, "w1", 0)
                          .Fail("j", {1, 2}, "bad", 0, false, "", 0));
  EXPECT_THAT(Shown(machine_, "j"), ElementsAre());
  EXPECT_EQ(machine_.CheckConsistency(), "");
}

TEST_F(AttemptsOfJobsTest, TheyAreInListsThatAreFull) {
  ApplyNext(machine_, BatchBuilder(1000).Enqueue(MakeJob("j")).Fail("j", {1, 1}, "bad"));
  for (const bool full : {false, true}) {
    v1::ListJobsRequest request;
    request.set_full(full);
    v1::ListJobsResponse response;
    ASSERT_TRUE(machine_.List(request, &response).ok());
    ASSERT_EQ(response.jobs_size(), 1);
    EXPECT_EQ(response.jobs(0).attempts_size(), full ? 1 : 0);
  }
}

TEST_F(AttemptsOfJobsTest, TheyAreInTheDigest) {
  StateMachine other;
  for (StateMachine* machine : {&machine_, &other}) {
    ApplyNext(*machine, BatchBuilder(1000)
                            .Enqueue(MakeJob("j"))
                            .Fail("j", {1, 1}, "bad", 0, false, machine == &other ? "w2" : "w1"));
  }
  EXPECT_NE(machine_.Digest(), other.Digest());
}

TEST_F(AttemptsOfJobsTest, TheyComeBackFromAnImage) {
  auto gone = MakeJob("gone");
  ApplyNext(machine_, BatchBuilder(1000)
                          .Enqueue(MakeJob("j"))
                          .Enqueue(gone)
                          .Fail("j", {1, 1}, "bad")
                          .Fail("gone", {1, 2}, "bad"));
  const std::vector<std::string> before = Shown(machine_, "j");
  machine_.BeginSnapshot();
  // Copied before it changes.
  ApplyNext(machine_, BatchBuilder(2000).Expire("j", {1, 3}).Delete("gone"));
  std::string image;
  while (!machine_.ContinueSnapshot(50, &image)) {
  }
  StateMachine restored;
  ASSERT_TRUE(
      Restore(image, machine_.snapshot_index(), machine_.snapshot_digest(), &restored, 7).ok());
  EXPECT_EQ(Shown(restored, "j"), before);
  EXPECT_EQ(Shown(restored, "gone").size(), 1u);
  EXPECT_EQ(restored.CheckConsistency(), "");
}

// ---- deletions of jobs in certain states ----

TEST(DeleteStates, AJobInAnotherStateIsKept) {
  StateMachine machine;
  ApplyNext(machine, BatchBuilder(1000).Enqueue(MakeJob("j")).Fail("j", {1, 1}, "bad", 0, true));
  const uint32_t dead = JobStateBit(v1::JOB_STATE_DEAD);
  const auto results = ApplyNext(machine, BatchBuilder(2000).Retry("j").Delete("j", dead));
  EXPECT_EQ(results[1].code, ResultCode::kInvalidState);
  EXPECT_EQ(results[1].state, v1::JOB_STATE_READY);
  ASSERT_NE(machine.Find("j"), JobRef{});
  const uint32_t either = dead | JobStateBit(v1::JOB_STATE_READY);
  EXPECT_EQ(ApplyNext(machine, BatchBuilder(3000).Delete("j", either))[0].code, ResultCode::kOk);
  EXPECT_EQ(machine.Find("j"), JobRef{});
}

}  // namespace
}  // namespace dqueue::queue
