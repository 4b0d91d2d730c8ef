// The core promise, tried at every place where a machine can stop: Open() always succeeds, and what
// it finds is what was submitted, up to a point that is not before anything reported durable.
#include <gtest/gtest.h>

#include <memory>

#include "storage/fault_file_system.h"
#include "storage/log.h"
#include "storage/log_model.h"

namespace dqueue::storage {
namespace {

constexpr char kDirectory[] = "data/wal";

Identity TestIdentity() {
  return {{0x1111, 0x2222}, raft::NodeId(7), raft::Incarnation(99), "alpha"};
}

LogOptions SmallSegments() {
  LogOptions options;
  options.segment_bytes = 64 << 10;
  options.max_entry_bytes = 16 << 10;
  options.prepared_segments = 1;
  return options;
}

// Runs random writes against a log until they are all done or the disk stops.
class Workload {
 public:
  Workload(FaultFileSystem* fs, uint64_t seed, int batches)
      : fs_(*fs), writes_(seed, 16 << 10), seed_(seed), batches_(batches) {}

  void Run() {
    const raft::HardState first{raft::Term(1), raft::NodeId(), raft::Index(1)};
    const std::vector<raft::Entry> entries = {MakeEntry(1, 1, "config", raft::EntryKind::kConfig)};
    model_ = LogModel(first, entries);
    if (!Log::Format(fs_, kDirectory, TestIdentity(), first, entries, SmallSegments()).ok()) return;
    formatted_ = true;
    if (!Open()) return;
    for (int batch = 0; batch < batches_; ++batch) {
      const uint64_t submissions = 1 + (seed_ + static_cast<uint64_t>(batch)) % 3;
      for (uint64_t i = 0; i < submissions; ++i) {
        LogWrite write = writes_.Next(model_.now());
        write.token = raft::Token(++token_);
        model_.Add(write);
        positions_[token_] = model_.position();
        log_->Submit(std::move(write));
      }
      if (batch % 3 == 0 && !log_->PrepareSegments().ok()) return;
      if (!log_->Poll().ok()) return;
      if (batch % 40 == 39) {
        if (!log_->Close().ok()) return;
        log_.reset();
        if (!Open()) return;
        // Nothing crashed: nothing may be missing.
        EXPECT_EQ(acknowledged_, model_.position());
      }
    }
    finished_ = true;
  }

  bool formatted() const { return formatted_; }
  bool finished() const { return finished_; }
  size_t acknowledged() const { return acknowledged_; }
  const LogModel& model() const { return model_; }

 private:
  bool Open() {
    RecoveredLog recovered;
    absl::StatusOr<std::unique_ptr<Log>> log =
        Log::Open(fs_, kDirectory, SmallSegments(), &recovered);
    if (!log.ok()) {
      EXPECT_TRUE(fs_.stopped()) << log.status();
      return false;
    }
    log_ = *std::move(log);
    log_->OnDurable([this](raft::Token token) {
      EXPECT_GT(token.value(), last_durable_);
      last_durable_ = token.value();
      acknowledged_ = positions_.at(token.value());
    });
    EXPECT_EQ(Describe(StateOf(recovered, *log_)), Describe(model_.now()));
    EXPECT_TRUE(StateOf(recovered, *log_) == model_.now());
    return true;
  }

  FaultFileSystem& fs_;
  RandomWrites writes_;
  const uint64_t seed_;
  const int batches_;
  LogModel model_;
  std::unique_ptr<Log> log_;
  bool formatted_ = false;
  bool finished_ = false;
  uint64_t token_ = 0;
  uint64_t last_durable_ = 0;
  std::map<uint64_t, size_t> positions_;
  size_t acknowledged_ = 0;
};

// Opens after a crash and compares. Where the state is one of the model's, its position.
void ExpectRecovers(FaultFileSystem& fs, const Workload& workload, const std::string& what) {
  RecoveredLog recovered;
  absl::StatusOr<std::unique_ptr<Log>> log = Log::Open(fs, kDirectory, SmallSegments(), &recovered);
  if (!workload.formatted() && absl::IsNotFound(log.status())) {
    EXPECT_FALSE(Log::Exists(fs, kDirectory).value());
    return;
  }
  ASSERT_TRUE(log.ok()) << what << ": " << log.status();
  const ModelState state = StateOf(recovered, **log);
  ASSERT_GE(workload.model().Find(state, workload.acknowledged()), 0)
      << what << ": found " << Describe(state) << "; acknowledged position "
      << workload.acknowledged() << " of " << workload.model().position() << ": "
      << Describe(workload.model().now());
  EXPECT_FALSE(recovered.damaged_from.has_value());
  EXPECT_EQ(recovered.raft.self, raft::NodeId(7));

  // And it goes on: what is written now is there after the next start.
  LogModel model = workload.model();
  model.Rewind(static_cast<size_t>(model.Find(state, workload.acknowledged())));
  RandomWrites more(17, 16 << 10);
  for (uint64_t i = 1; i <= 5; ++i) {
    LogWrite write = more.Next(model.now());
    model.Add(write);
    write.token = raft::Token(i);
    (*log)->Submit(std::move(write));
  }
  ASSERT_TRUE((*log)->Poll().ok()) << what;
  log->reset();
  fs.CrashKeeping(false);
  log = Log::Open(fs, kDirectory, SmallSegments(), &recovered);
  ASSERT_TRUE(log.ok()) << what << ", second start: " << log.status();
  ASSERT_TRUE(StateOf(recovered, **log) == model.now()) << what << ", second start";
}

class LogCrashTest : public testing::TestWithParam<int> {};

TEST_P(LogCrashTest, AtEveryOperation) {
  const auto workload_seed = static_cast<uint64_t>(GetParam());
  constexpr int kBatches = 90;
  uint64_t operations = 0;
  {
    FaultFileSystem fs;
    Workload whole(&fs, workload_seed, kBatches);
    whole.Run();
    ASSERT_TRUE(whole.finished());
    operations = fs.counts().mutations;
    // The workload must be one in which everything happens.
    ASSERT_GT(operations, 250u);
  }
  for (uint64_t n = 0; n <= operations; ++n) {
    FaultFileSystem fs;
    fs.StopAfter(n);
    Workload workload(&fs, workload_seed, kBatches);
    workload.Run();
    for (uint64_t seed = 0; seed < 6; ++seed) {
      std::unique_ptr<FaultFileSystem> crashed = fs.Clone();
      if (seed < 2) {
        crashed->CrashKeeping(seed == 1);
      } else {
        crashed->Crash(n * 100 + seed);
      }
      ExpectRecovers(*crashed, workload,
                     "operation " + std::to_string(n) + ", crash seed " + std::to_string(seed));
      if (HasFatalFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Workloads, LogCrashTest, testing::Range(1, 7));

// Only the process dies: what the disk has not been told is still in memory, a start believes it,
// and must therefore make it durable before it answers.
TEST(LogCrashTest2, ProcessDiesThenTheMachine) {
  for (uint64_t n = 0; n < 250; ++n) {
    FaultFileSystem fs;
    fs.StopAfter(n);
    Workload workload(&fs, 3, 90);
    workload.Run();
    // Clone() forgets the stop and keeps what is pending.
    std::unique_ptr<FaultFileSystem> alive = fs.Clone();
    RecoveredLog recovered;
    absl::StatusOr<std::unique_ptr<Log>> log =
        Log::Open(*alive, kDirectory, SmallSegments(), &recovered);
    if (!workload.formatted() && absl::IsNotFound(log.status())) continue;
    ASSERT_TRUE(log.ok()) << n << ": " << log.status();
    const ModelState state = StateOf(recovered, **log);
    ASSERT_GE(workload.model().Find(state, workload.acknowledged()), 0) << n;
    log->reset();
    alive->CrashKeeping(false);
    log = Log::Open(*alive, kDirectory, SmallSegments(), &recovered);
    ASSERT_TRUE(log.ok()) << n << ": " << log.status();
    ASSERT_TRUE(StateOf(recovered, **log) == state) << n;
  }
}

// The same after a sync that failed: memory and disk disagree, and a later sync alone would not
// make them agree (the "fsyncgate" of 2018).
TEST(LogCrashTest2, SyncFailsThenTheProcessDiesThenTheMachine) {
  for (uint64_t nth = 1; nth < 120; ++nth) {
    FaultFileSystem fs;
    fs.FailNth(DiskOp::kSync, nth, absl::InternalError("Input/output error"), ".wal");
    Workload workload(&fs, 4, 90);
    workload.Run();
    std::unique_ptr<FaultFileSystem> alive = fs.Clone();
    RecoveredLog recovered;
    absl::StatusOr<std::unique_ptr<Log>> log =
        Log::Open(*alive, kDirectory, SmallSegments(), &recovered);
    ASSERT_TRUE(log.ok()) << nth << ": " << log.status();
    const ModelState state = StateOf(recovered, **log);
    ASSERT_GE(workload.model().Find(state, workload.acknowledged()), 0) << nth;
    log->reset();
    alive->CrashKeeping(false);
    log = Log::Open(*alive, kDirectory, SmallSegments(), &recovered);
    ASSERT_TRUE(log.ok()) << nth << ": " << log.status();
    ASSERT_TRUE(StateOf(recovered, **log) == state) << nth;
  }
}

TEST(LogCrashTest2, RecoveryIsInterrupted) {
  for (uint64_t n = 20; n < 300; n += 7) {
    FaultFileSystem fs;
    fs.StopAfter(n);
    Workload workload(&fs, 5, 90);
    workload.Run();
    for (uint64_t seed = 0; seed < 4; ++seed) {
      std::unique_ptr<FaultFileSystem> crashed = fs.Clone();
      crashed->Crash(seed);
      for (uint64_t m = 0;; ++m) {
        std::unique_ptr<FaultFileSystem> again = crashed->Clone();
        again->StopAfter(m);
        RecoveredLog recovered;
        const bool done = Log::Open(*again, kDirectory, SmallSegments(), &recovered).ok();
        again->Crash(seed * 31 + m);
        ExpectRecovers(*again, workload,
                       "operation " + std::to_string(n) + ", crash " + std::to_string(seed) +
                           ", recovery stopped after " + std::to_string(m));
        if (HasFatalFailure()) return;
        if (done) break;
      }
    }
  }
}

}  // namespace
}  // namespace dqueue::storage
