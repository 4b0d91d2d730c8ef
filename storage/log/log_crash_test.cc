// The log's main guarantee, checked for a stop after every operation: Open() succeeds and recovers
// a prefix of the submitted writes that contains all durable ones.
#include "storage/testing/log_crash.h"

#include <gtest/gtest.h>

#include <memory>

namespace dqueue::storage {
namespace {

constexpr int kBatches = 90;

class LogCrashTest : public testing::TestWithParam<int> {};

TEST_P(LogCrashTest, AtEveryOperation) {
  const auto seed = static_cast<uint64_t>(GetParam());
  {
    // The workload must use every kind of operation.
    FaultFileSystem fs;
    CrashWorkload whole(&fs, seed, kBatches);
    whole.Run();
    ASSERT_TRUE(whole.finished());
    EXPECT_EQ(whole.violation(), "");
    EXPECT_GT(fs.counts().mutations, 250u);
    EXPECT_FALSE(fs.DurablyExists("data/wal/0000000000000001.wal")) << "nothing was compacted";
  }
  EXPECT_EQ(CrashEverywhere(seed, kBatches, /*crashes=*/6), "");
}

INSTANTIATE_TEST_SUITE_P(Workloads, LogCrashTest, testing::Range(1, 7));

// The process dies without the machine: Clone() drops the stop and keeps pending writes. Everything
// that Open() recovers must be durable afterwards.
void ExpectRecoveredIsDurable(FaultFileSystem& fs, const CrashWorkload& workload,
                              const std::string& what) {
  std::unique_ptr<FaultFileSystem> alive = fs.Clone();
  RecoveredLog recovered;
  absl::StatusOr<std::unique_ptr<Log>> log =
      Log::Open(*alive, kCrashDirectory, CrashOptions(), &recovered);
  if (!workload.formatted() && absl::IsNotFound(log.status())) return;
  ASSERT_TRUE(log.ok()) << what << ": " << log.status();
  const ModelState state = StateOf(recovered, **log);
  ASSERT_GE(workload.model().Find(state, workload.acknowledged()), 0) << what;
  log->reset();
  alive->CrashKeeping(false);
  log = Log::Open(*alive, kCrashDirectory, CrashOptions(), &recovered);
  ASSERT_TRUE(log.ok()) << what << ": " << log.status();
  ASSERT_TRUE(StateOf(recovered, **log) == state) << what;
}

TEST(LogProcessDeathTest, FollowedByPowerLoss) {
  for (uint64_t n = 0; n < 250; ++n) {
    FaultFileSystem fs;
    fs.StopAfter(n);
    CrashWorkload workload(&fs, 3, kBatches);
    workload.Run();
    ExpectRecoveredIsDurable(fs, workload, "operation " + std::to_string(n));
    if (HasFatalFailure()) return;
  }
}

// After a failed sync, memory and disk differ, and a later sync alone does not make them equal
// (PostgreSQL, 2018).
TEST(LogProcessDeathTest, AfterFailedSync) {
  for (uint64_t nth = 1; nth < 120; ++nth) {
    FaultFileSystem fs;
    fs.FailNth(DiskOp::kSync, nth, absl::InternalError("Input/output error"), ".wal");
    CrashWorkload workload(&fs, 4, kBatches);
    workload.Run();
    ExpectRecoveredIsDurable(fs, workload, "sync " + std::to_string(nth));
    if (HasFatalFailure()) return;
  }
}

TEST(LogRecoveryTest, MayBeInterrupted) {
  for (uint64_t n = 20; n < 300; n += 7) {
    FaultFileSystem fs;
    fs.StopAfter(n);
    CrashWorkload workload(&fs, 5, kBatches);
    workload.Run();
    for (uint64_t seed = 0; seed < 4; ++seed) {
      std::unique_ptr<FaultFileSystem> crashed = fs.Clone();
      crashed->Crash(seed);
      for (uint64_t m = 0;; ++m) {
        std::unique_ptr<FaultFileSystem> again = crashed->Clone();
        again->StopAfter(m);
        RecoveredLog recovered;
        const bool done = Log::Open(*again, kCrashDirectory, CrashOptions(), &recovered).ok();
        again->Crash(seed * 31 + m);
        ASSERT_EQ(CheckAfterCrash(*again, workload), "")
            << "operation " << n << ", crash " << seed << ", recovery stopped after " << m;
        if (done) break;
      }
    }
  }
}

// Each call of each kind fails once. The log reports it and accepts nothing more; the next Open()
// recovers all acknowledged data.
TEST(LogFailureTest, AnyFailedCallIsFinalAndLosesNothing) {
  for (const DiskOp op : {DiskOp::kCreate, DiskOp::kWrite, DiskOp::kSync, DiskOp::kRename,
                          DiskOp::kRemove, DiskOp::kSyncDirectory, DiskOp::kOpen}) {
    for (uint64_t nth = 1; nth < 400; ++nth) {
      FaultFileSystem fs;
      fs.FailNth(op, nth, absl::InternalError("Input/output error"));
      CrashWorkload workload(&fs, 2, kBatches);
      workload.Run();
      if (workload.finished()) break;
      fs.Crash(nth);
      ASSERT_EQ(CheckAfterCrash(fs, workload), "")
          << "operation " << static_cast<int>(op) << ", call " << nth;
    }
  }
}

}  // namespace
}  // namespace dqueue::storage
