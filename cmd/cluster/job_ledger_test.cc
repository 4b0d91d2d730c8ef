// Each violation of a guarantee must be reported: a chaos test that cannot fail proves nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cmd/cluster/job_ledger.h"

namespace dqueue::cmd {
namespace {

using client::JobState;
using testing::ElementsAre;
using testing::IsEmpty;

class JobLedgerTest : public testing::Test {
 protected:
  using Clock = JobLedger::Clock;

  void Lease(const std::string& id, uint64_t sequence,
             Clock::time_point call_start = Clock::now()) {
    client::Job job;
    job.id = id;
    job.token = {1, sequence};
    ledger_.Leased(job, call_start);
  }
  void Complete(const std::string& id, uint64_t sequence) {
    ledger_.CompletionAnswered({id, {1, sequence}, ""}, client::Status());
  }
  // Submitted, acknowledged, worked on once and completed.
  std::string GoodJob() {
    const std::string id = ledger_.Submit();
    ledger_.Acknowledged(id, Clock::now());
    Lease(id, ++sequence_);
    Complete(id, sequence_);
    return id;
  }
  std::vector<std::string> Violations() { return ledger_.report().violations; }

  JobLedger ledger_{"j"};
  uint64_t sequence_ = 100;
};

TEST_F(JobLedgerTest, NoViolation) {
  const std::string a = GoodJob();
  ledger_.Judge({{a, JobState::kSucceeded}});
  const LedgerReport report = ledger_.report();
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.submitted, 1u);
  EXPECT_EQ(report.acknowledged, 1u);
  EXPECT_EQ(report.completed, 1u);
  EXPECT_EQ(report.executed_twice, 0u);
}

TEST_F(JobLedgerTest, TheFirstLeaseTellsTheTimeSinceTheSubmission) {
  const std::string id = ledger_.Submit();
  client::Job job;
  job.id = id;
  job.token = {1, 1};
  EXPECT_TRUE(ledger_.Leased(job, Clock::now()).has_value());
  job.token = {1, 2};
  EXPECT_FALSE(ledger_.Leased(job, Clock::now()).has_value());
}

TEST_F(JobLedgerTest, AcknowledgedAndGone) {
  const std::string id = ledger_.Submit();
  ledger_.Acknowledged(id, Clock::now());
  ledger_.Judge({});
  EXPECT_EQ(ledger_.report().lost, 1u);
  EXPECT_FALSE(ledger_.report().ok());
  EXPECT_THAT(Violations(), ElementsAre("job " + id + " was acknowledged and is gone"));
}

TEST_F(JobLedgerTest, CompletedAndPurged) {
  GoodJob();
  const std::string id = GoodJob();
  ledger_.Judge({}, 2);
  EXPECT_TRUE(ledger_.report().ok());
  ledger_.Judge({}, 1);
  EXPECT_EQ(ledger_.report().lost, 1u);
  EXPECT_THAT(Violations(),
              ElementsAre("job " + id + " was acknowledged and is gone",
                          "job " + id + " was completed, but its state is not SUCCEEDED"));
}

TEST_F(JobLedgerTest, OnlyCompletedJobsMayBePurged) {
  const std::string id = ledger_.Submit();
  ledger_.Acknowledged(id, Clock::now());
  ledger_.Judge({}, 1);
  EXPECT_EQ(ledger_.report().lost, 1u);
}

TEST_F(JobLedgerTest, AcknowledgedAndNotFinished) {
  const std::string id = ledger_.Submit();
  ledger_.Acknowledged(id, Clock::now());
  ledger_.Judge({{id, JobState::kReady}});
  EXPECT_EQ(ledger_.report().lost, 1u);
  EXPECT_THAT(Violations(), ElementsAre("job " + id + " was acknowledged and is READY"));
}

TEST_F(JobLedgerTest, NotAcknowledgedMayExistOrNot) {
  const std::string a = ledger_.Submit();
  const std::string b = ledger_.Submit();
  client::Status unknown;
  unknown.code = client::Code::kUnknownOutcome;
  client::Status refused;
  refused.code = client::Code::kUnavailable;
  ledger_.NotAcknowledged(unknown);
  ledger_.NotAcknowledged(refused);
  Lease(b, 1);
  Complete(b, 1);
  ledger_.Judge({{b, JobState::kSucceeded}});
  EXPECT_TRUE(ledger_.report().ok());
  EXPECT_EQ(ledger_.report().unknown, 1u);
  EXPECT_EQ(ledger_.report().refused, 1u);
}

TEST_F(JobLedgerTest, CompletedTwice) {
  const std::string id = GoodJob();
  Complete(id, 999);
  EXPECT_EQ(ledger_.report().outcome_twice, 1u);
  EXPECT_FALSE(ledger_.report().ok());
}

TEST_F(JobLedgerTest, LateOutcomeThatIsRefusedIsFine) {
  const std::string id = GoodJob();
  client::Status stale;
  stale.code = client::Code::kFailedPrecondition;
  ledger_.CompletionAnswered({id, {1, 1}, ""}, stale);
  ledger_.Judge({{id, JobState::kSucceeded}});
  EXPECT_TRUE(ledger_.report().ok());
  EXPECT_EQ(ledger_.report().stale_refused, 1u);
}

TEST_F(JobLedgerTest, LeasedAfterItsCompletion) {
  const std::string id = GoodJob();
  Lease(id, 999, Clock::now() + std::chrono::seconds(1));
  EXPECT_THAT(Violations(),
              ElementsAre("job " + id + " was leased after its completion was acknowledged"));
}

TEST_F(JobLedgerTest, LeasedWhileTheCompletionWasInFlight) {
  const Clock::time_point before = Clock::now();
  const std::string id = GoodJob();
  Lease(id, 999, before - std::chrono::seconds(1));
  EXPECT_THAT(Violations(), IsEmpty());
}

TEST_F(JobLedgerTest, LeasedTwiceWithOneToken) {
  const std::string id = ledger_.Submit();
  Lease(id, 5);
  Lease(id, 5);
  EXPECT_THAT(Violations(), ElementsAre("job " + id + " was leased twice with token " +
                                        client::FencingToken{1, 5}.ToString()));
}

TEST_F(JobLedgerTest, ExecutionsGivenUpOnPurposeAreNotRepetitions) {
  const std::string id = ledger_.Submit();
  Lease(id, 1);
  ledger_.GivenUp(id);
  Lease(id, 2);
  Complete(id, 2);
  const std::string twice = ledger_.Submit();
  Lease(twice, 3);
  Lease(twice, 4);
  Complete(twice, 4);
  ledger_.Judge({{id, JobState::kSucceeded}, {twice, JobState::kSucceeded}});
  EXPECT_EQ(ledger_.report().executed_twice, 1u);
  EXPECT_TRUE(ledger_.report().ok());
}

TEST_F(JobLedgerTest, UnknownJobs) {
  Lease("ghost", 1);
  ledger_.Judge({{"phantom", JobState::kReady}});
  EXPECT_THAT(Violations(), ElementsAre("leased job ghost was never submitted",
                                        "job phantom is in the cluster, but was never submitted"));
}

TEST_F(JobLedgerTest, SucceededWithoutAWorker) {
  const std::string id = ledger_.Submit();
  ledger_.Acknowledged(id, Clock::now());
  ledger_.Judge({{id, JobState::kSucceeded}});
  EXPECT_THAT(Violations(), ElementsAre("job " + id + " is SUCCEEDED, but no worker leased it"));
}

TEST_F(JobLedgerTest, GapEndsWithACallThatBeganAfterTheKill) {
  const std::string a = ledger_.Submit();
  const std::string b = ledger_.Submit();
  const Clock::time_point kill = Clock::now();
  ledger_.LeaderKilled(kill);
  ledger_.Acknowledged(a, kill - std::chrono::milliseconds(1));
  EXPECT_EQ(ledger_.report().gaps.count(), 0u);
  ledger_.Acknowledged(b, kill + std::chrono::milliseconds(1));
  EXPECT_EQ(ledger_.report().gaps.count(), 1u);
  EXPECT_EQ(ledger_.report().kills, 1);
}

TEST_F(JobLedgerTest, NoEnqueueAfterTheLastKill) {
  ledger_.LeaderKilled(Clock::now());
  ledger_.Judge({});
  EXPECT_THAT(Violations(), ElementsAre("after the last kill no enqueue succeeded"));
}

}  // namespace
}  // namespace dqueue::cmd
