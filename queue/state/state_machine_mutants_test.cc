// The state machine's deliberate bugs (base/mutant.h): each has the described effect when it is
// switched on, so that the simulator's checkers can find it. Built with the mutants compiled in.
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "queue/state/mutants.h"
#include "queue/state/state_machine.h"
#include "queue/state/testing/command_builder.h"

namespace dqueue::queue {
namespace {

using ::testing::ElementsAre;

class StateMachineMutantsTest : public ::testing::Test {
 protected:
  ~StateMachineMutantsTest() override { active_mutant = nullptr; }

  CommandResult Apply(const BatchBuilder& batch) { return ApplyNext(machine_, batch).back(); }

  StateMachine machine_;
};

TEST_F(StateMachineMutantsTest, WithoutAMutantAllIsWell) {
  Apply(BatchBuilder(1000).Enqueue(MakeJob("a")).Complete("a", {1, 1}));
  EXPECT_EQ(machine_.CheckConsistency(), "");
}

TEST_F(StateMachineMutantsTest, CompleteUnfenced) {
  Apply(BatchBuilder(1000).Enqueue(MakeJob("a")).Expire("a", {1, 1}).Expire("a", {2, 1}));
  EXPECT_EQ(Apply(BatchBuilder(1000).Complete("a", {1, 1})).code, ResultCode::kLeaseStale);
  active_mutant = &mutants::kCompleteUnfenced;
  EXPECT_EQ(Apply(BatchBuilder(1000).Complete("a", {1, 1})).code, ResultCode::kOk);
}

TEST_F(StateMachineMutantsTest, AttemptsResetOnFailure) {
  active_mutant = &mutants::kAttemptsResetOnFailure;
  Apply(BatchBuilder(1000).Enqueue(MakeJob("a")));
  for (uint64_t i = 1; i < 50; ++i) Apply(BatchBuilder(1000).Fail("a", {1, i}));
  EXPECT_EQ(machine_.View(machine_.Find("a")).state, v1::JOB_STATE_READY) << "it never dies";
}

TEST_F(StateMachineMutantsTest, ReusedIdNotTold) {
  auto job = MakeJob("a");
  job.set_retention_ms(0);
  Apply(BatchBuilder(1000).Enqueue(job).Cancel("a"));
  Apply(BatchBuilder(2000).Enqueue(job));
  const BatchBuilder late = BatchBuilder(2000).Complete("a", {1, 1}).OfJob(1);
  EXPECT_EQ(Apply(late).code, ResultCode::kLeaseStale);
  active_mutant = &mutants::kReusedIdNotTold;
  EXPECT_EQ(Apply(late).code, ResultCode::kOk);
}

TEST_F(StateMachineMutantsTest, DeleteUntold) {
  Apply(BatchBuilder(1000).Enqueue(MakeJob("a")).Delete("a").Enqueue(MakeJob("a")));
  const BatchBuilder late = BatchBuilder(2000).Delete("a").OfJob(1);
  EXPECT_EQ(Apply(late).code, ResultCode::kNotFound);
  active_mutant = &mutants::kDeleteUntold;
  EXPECT_EQ(Apply(late).code, ResultCode::kOk);
}

TEST_F(StateMachineMutantsTest, DeleteInAnyState) {
  Apply(BatchBuilder(1000).Enqueue(MakeJob("a")));
  const BatchBuilder of_dead = BatchBuilder(2000).Delete("a", JobStateBit(v1::JOB_STATE_DEAD));
  EXPECT_EQ(Apply(of_dead).code, ResultCode::kInvalidState);
  active_mutant = &mutants::kDeleteInAnyState;
  EXPECT_EQ(Apply(of_dead).code, ResultCode::kOk);
}

TEST_F(StateMachineMutantsTest, TrimTakesDead) {
  active_mutant = &mutants::kTrimTakesDead;
  auto dies = MakeJob("a");
  dies.set_retention_ms(100);
  Apply(BatchBuilder(1000).Enqueue(dies).Fail("a", {1, 1}, "", 0, /*reject=*/true));
  Apply(BatchBuilder(1000).Enqueue(MakeJob("b")).Complete("b", {1, 2}).Trim({.finished = 1}));
  EXPECT_EQ(machine_.Find("a"), JobRef{});
  EXPECT_NE(machine_.Find("b"), JobRef{});
}

TEST_F(StateMachineMutantsTest, TrimTakesIdsInUse) {
  active_mutant = &mutants::kTrimTakesIdsInUse;
  auto waits = MakeJob("a");
  waits.set_idempotency_key("key");
  waits.set_idempotency_window_ms(100);
  auto done = MakeJob("b");
  done.set_idempotency_key("other");
  done.set_idempotency_window_ms(200);
  Apply(BatchBuilder(1000).Enqueue(waits).Enqueue(done).Cancel("b").Trim({.ids = 1}));
  auto again = waits;
  again.set_id("c");
  EXPECT_EQ(Apply(BatchBuilder(1000).Enqueue(again)).code, ResultCode::kOk) << "created twice";
}

TEST_F(StateMachineMutantsTest, PauseNotChecked) {
  Apply(BatchBuilder(1000).Enqueue(MakeJob("a")).Pause("q"));
  EXPECT_TRUE(TakeIds(machine_, {"q"}, 1).empty());
  active_mutant = &mutants::kPauseNotChecked;
  EXPECT_THAT(TakeIds(machine_, {"q"}, 1), ElementsAre("a"));
}

TEST_F(StateMachineMutantsTest, RedeliverAfterDone) {
  active_mutant = &mutants::kRedeliverAfterDone;
  auto job = MakeJob("a");
  job.set_retention_ms(1000);
  Apply(BatchBuilder(1000).Enqueue(job));
  TakeIds(machine_, {"q"}, 1);
  Apply(BatchBuilder(1000).Complete("a", {1, 1}));
  EXPECT_THAT(TakeIds(machine_, {"q"}, 1), ElementsAre("a"));
  EXPECT_NE(machine_.CheckConsistency(), "");
  machine_.Release(machine_.Find("a"));
  EXPECT_THAT(TakeIds(machine_, {"q"}, 1), ElementsAre("a"));
  Apply(BatchBuilder(5000).Enqueue(MakeJob("b")));
  EXPECT_EQ(machine_.Find("a"), JobRef{}) << "and yet it can be purged";
  EXPECT_EQ(machine_.CheckConsistency(), "");
}

TEST_F(StateMachineMutantsTest, SnapshotWithoutIdempotency) {
  auto job = MakeJob("a");
  job.set_idempotency_key("k");
  job.set_idempotency_window_ms(100000);
  Apply(BatchBuilder(1000).Enqueue(job));
  active_mutant = &mutants::kSnapshotWithoutIdempotency;
  const std::string image = TakeImage(machine_);
  StateMachine restored;
  ASSERT_TRUE(Restore(image, machine_.snapshot_index(), machine_.snapshot_digest(), &restored).ok())
      << "the image agrees with itself";
  EXPECT_NE(restored.Digest(), machine_.Digest());
  job.set_id("b");
  EXPECT_EQ(ApplyNext(restored, BatchBuilder(2000).Enqueue(job)).back().code, ResultCode::kOk)
      << "a second job of one key";
}

TEST_F(StateMachineMutantsTest, SnapshotWithoutApiKeys) {
  Apply(BatchBuilder(1000).CreateKey(MakeKey("a")));
  active_mutant = &mutants::kSnapshotWithoutApiKeys;
  const std::string image = TakeImage(machine_);
  StateMachine restored;
  ASSERT_TRUE(Restore(image, machine_.snapshot_index(), machine_.snapshot_digest(), &restored).ok())
      << "the image agrees with itself";
  EXPECT_NE(restored.Digest(), machine_.Digest());
  EXPECT_TRUE(restored.api_keys()->empty());
}

TEST_F(StateMachineMutantsTest, RevokeNotApplied) {
  Apply(BatchBuilder(1000).CreateKey(MakeKey("a")));
  active_mutant = &mutants::kRevokeNotApplied;
  EXPECT_EQ(Apply(BatchBuilder(1000).RevokeKey("a")).code, ResultCode::kOk);
  EXPECT_FALSE(machine_.api_keys()->Find("a")->revoked());
}

TEST_F(StateMachineMutantsTest, RevokedKeyCreatedAgain) {
  Apply(BatchBuilder(1000).CreateKey(MakeKey("a")).RevokeKey("a"));
  active_mutant = &mutants::kRevokedKeyCreatedAgain;
  EXPECT_EQ(Apply(BatchBuilder(1000).CreateKey(MakeKey("a"))).code, ResultCode::kOk);
  EXPECT_FALSE(machine_.api_keys()->Find("a")->revoked());
  EXPECT_EQ(machine_.CheckConsistency(), "");
}

}  // namespace
}  // namespace dqueue::queue
