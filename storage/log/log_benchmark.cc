// Cost of appends, reads and recovery on the disk of the current directory.
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>

#include "base/check.h"
#include "storage/log/log.h"
#include "storage/testing/fault_file_system.h"

namespace dqueue::storage {
namespace {

class ScratchDirectory {
 public:
  ScratchDirectory() {
    char name[] = "log_benchmark.XXXXXX";
    DQ_CHECK(::mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~ScratchDirectory() { std::filesystem::remove_all(path_); }
  std::string wal() const { return path_ + "/wal"; }

 private:
  std::string path_;
};

std::unique_ptr<Log> NewLog(FileSystem& fs, const std::string& directory, LogOptions options) {
  const Identity identity = {{1, 2}, raft::NodeId(3), raft::Incarnation(4), "bench"};
  const raft::HardState hard_state{raft::Term(1), raft::NodeId(3), raft::Index(0)};
  absl::Status s = Log::Format(fs, directory, identity, hard_state, {}, options);
  DQ_CHECK_MSG(s.ok(), std::string(s.message()));
  RecoveredLog recovered;
  auto log = Log::Open(fs, directory, options, &recovered);
  DQ_CHECK_MSG(log.ok(), std::string(log.status().message()));
  while (*(*log)->PrepareSegments()) {
  }
  return *std::move(log);
}

// Appends `batch` entries of `size` bytes with one sync. Compacts, to bound the log.
void Append(benchmark::State& state, FileSystem& fs, const std::string& directory) {
  const auto batch = static_cast<uint64_t>(state.range(0));
  const auto payload =
      std::make_shared<const std::string>(static_cast<size_t>(state.range(1)), 'x');
  std::unique_ptr<Log> log = NewLog(fs, directory, LogOptions());
  uint64_t next = 1;
  uint64_t since_compaction = 0;
  for (auto _ : state) {
    LogWrite write;
    write.token = raft::Token(next);
    for (uint64_t i = 0; i < batch; ++i) {
      write.entries.push_back(
          {raft::Index(next++), raft::Term(1), raft::EntryKind::kCommand, payload});
    }
    log->Submit(std::move(write));
    DQ_CHECK(log->Poll().value());
    since_compaction += batch * payload->size();
    if (since_compaction < (48 << 20)) continue;
    state.PauseTiming();
    since_compaction = 0;
    LogWrite compact;
    compact.snapshot = raft::SnapshotMeta{raft::Index(next - 1), raft::Term(1), ""};
    compact.compact_to = raft::Index(next - 1);
    log->Submit(std::move(compact));
    DQ_CHECK(log->Poll().value());
    while (*log->PrepareSegments()) {
    }
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(batch));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(batch * payload->size()));
}

void BM_AppendSynced(benchmark::State& state) {
  ScratchDirectory scratch;
  Append(state, PosixFileSystem(), scratch.wal());
}
BENCHMARK(BM_AppendSynced)->Args({1, 300})->Args({64, 300})->Args({1, 1 << 20})->UseRealTime();

// Encoding cost: the same on a disk in memory.
void BM_AppendInMemory(benchmark::State& state) {
  FaultFileSystem fs;
  Append(state, fs, "data/wal");
}
BENCHMARK(BM_AppendInMemory)->Args({1, 300})->Args({64, 300})->Args({1, 1 << 20})->UseRealTime();

// Recovery of a log with 256 MiB of entries.
void BM_Open(benchmark::State& state) {
  ScratchDirectory scratch;
  const auto payload =
      std::make_shared<const std::string>(static_cast<size_t>(state.range(0)), 'x');
  const uint64_t count = (256 << 20) / payload->size();
  {
    std::unique_ptr<Log> log = NewLog(PosixFileSystem(), scratch.wal(), LogOptions());
    for (uint64_t next = 1; next <= count;) {
      LogWrite write;
      for (uint64_t i = 0; i < 1000 && next <= count; ++i) {
        write.entries.push_back(
            {raft::Index(next++), raft::Term(1), raft::EntryKind::kCommand, payload});
      }
      log->Submit(std::move(write));
      DQ_CHECK(log->Poll().value());
    }
    DQ_CHECK(log->Close().ok());
  }
  for (auto _ : state) {
    RecoveredLog recovered;
    auto log = Log::Open(PosixFileSystem(), scratch.wal(), LogOptions(), &recovered);
    DQ_CHECK(log.ok() && recovered.raft.last_index.value() == count);
  }
  state.SetBytesProcessed(state.iterations() * (256 << 20));
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(count));
}
BENCHMARK(BM_Open)->Arg(300)->Arg(20000)->Unit(benchmark::kMillisecond)->UseRealTime();

// Reads of old entries, as a leader does for a lagging follower.
void BM_ReadEntries(benchmark::State& state) {
  ScratchDirectory scratch;
  std::unique_ptr<Log> log = NewLog(PosixFileSystem(), scratch.wal(), LogOptions());
  const auto payload = std::make_shared<const std::string>(300, 'x');
  LogWrite write;
  constexpr uint64_t kCount = 100000;
  for (uint64_t i = 1; i <= kCount; ++i) {
    write.entries.push_back({raft::Index(i), raft::Term(1), raft::EntryKind::kCommand, payload});
  }
  log->Submit(std::move(write));
  DQ_CHECK(log->Poll().value());
  uint64_t first = 1;
  uint64_t read = 0;
  for (auto _ : state) {
    const auto entries =
        log->ReadEntries(raft::Index(first), raft::Index(std::min(first + 1023, kCount)), 1 << 20);
    read += entries.size();
    first = entries.back().index.value() % kCount + 1;
  }
  state.SetItemsProcessed(static_cast<int64_t>(read));
}
BENCHMARK(BM_ReadEntries);

}  // namespace
}  // namespace dqueue::storage
