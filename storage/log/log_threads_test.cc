// The log on the real disk with all its threads: one submits, one writes, one prepares segments,
// two read. For the thread sanitizer.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <shared_mutex>
#include <thread>

#include "storage/log/log.h"
#include "storage/testing/log_crash.h"
#include "storage/testing/log_model.h"

namespace dqueue::storage {
namespace {

class LogThreadsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "log_threads_test.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string wal() const { return directory_ + "/wal"; }

  std::string directory_;
};

std::string PayloadOf(uint64_t index) {
  return std::string(20 + index * 37 % 3000, static_cast<char>('a' + index % 26));
}

constexpr uint64_t kEntries = 3000;
// Entries that compaction keeps.
constexpr uint64_t kKept = 500;

// A log and its threads. The token of each write is the index of its entry.
class ThreadedLog {
 public:
  explicit ThreadedLog(Log* log) : log_(*log) {
    log_.OnDurable([this](raft::Token token) {
      EXPECT_GT(token.value(), durable_.load());
      durable_ = token.value();
      durable_.notify_all();
    });
    log_.OnWork([this] {
      std::lock_guard lock(mu_);
      work_ = true;
      wake_writer_.notify_one();
    });
    writer_ = std::thread([this] { WriteUntilStopped(); });
    preparer_ = std::thread([this] { PrepareUntilStopped(); });
    for (uint64_t r = 0; r < 2; ++r) {
      readers_.emplace_back([this, r] { ReadUntilAllAreDurable(r); });
    }
  }

  // Submits entries 2 to kEntries; waits and compacts after each hundred.
  void SubmitAll() {
    for (uint64_t index = 2; index <= kEntries; ++index) {
      LogWrite write;
      write.token = raft::Token(index);
      write.entries = {MakeEntry(index, 1, PayloadOf(index))};
      log_.Submit(std::move(write));
      if (index % 100 != 0) continue;
      for (uint64_t seen = durable_; seen < index; seen = durable_) durable_.wait(seen);
      if (index > kKept) Compact(index);
    }
  }

  void Join() {
    for (std::thread& reader : readers_) reader.join();
    {
      std::lock_guard lock(mu_);
      stop_ = true;
      wake_writer_.notify_one();
      wake_preparer_.notify_one();
    }
    writer_.join();
    preparer_.join();
  }

  uint64_t durable() const { return durable_; }
  uint64_t read() const { return read_; }

 private:
  void WriteUntilStopped() {
    for (;;) {
      {
        std::unique_lock lock(mu_);
        wake_writer_.wait(lock, [this] { return work_ || stop_; });
        if (stop_ && !work_) return;
        work_ = false;
      }
      for (;;) {
        const absl::StatusOr<bool> polled = log_.Poll();
        ASSERT_TRUE(polled.ok()) << polled.status();
        if (!*polled) break;
        wake_preparer_.notify_one();
      }
    }
  }

  void PrepareUntilStopped() {
    std::unique_lock lock(mu_);
    while (!stop_) {
      lock.unlock();
      const absl::StatusOr<bool> prepared = log_.PrepareSegments();
      EXPECT_TRUE(prepared.ok()) << prepared.status();
      EXPECT_GT(log_.ReservedBytes() + log_.stats().syncs, 0u);
      lock.lock();
      if (!*prepared) wake_preparer_.wait_for(lock, std::chrono::milliseconds(5));
    }
  }

  void ReadUntilAllAreDurable(uint64_t start) {
    for (uint64_t n = start; durable_ < kEntries; n += 7) {
      // Compacted entries must not be read, so `compacted_` must not change during the read. The
      // wait is needed because std::shared_mutex prefers readers: two of them can keep the writer
      // out for ever.
      compaction_waits_.wait(true);
      std::shared_lock lock(compaction_);
      const uint64_t last = durable_;
      const uint64_t first = std::max(compacted_ + 1, last - std::min(last - 1, n % 600));
      for (const raft::Entry& entry :
           log_.ReadEntries(raft::Index(first), raft::Index(last), 100000)) {
        EXPECT_EQ(*entry.payload, PayloadOf(entry.index.value()));
        ++read_;
      }
    }
  }

  void Compact(uint64_t index) {
    LogWrite compact;
    compact.snapshot = raft::SnapshotMeta{raft::Index(index), raft::Term(1), "members"};
    compact.compact_to = raft::Index(index - kKept);
    {
      compaction_waits_ = true;
      std::unique_lock lock(compaction_);
      compacted_ = index - kKept;
      compaction_waits_ = false;
      compaction_waits_.notify_all();
    }
    log_.Submit(std::move(compact));
  }

  Log& log_;
  std::mutex mu_;
  std::condition_variable wake_writer_;
  std::condition_variable wake_preparer_;
  bool work_ = false;
  bool stop_ = false;
  std::atomic<uint64_t> durable_{1};
  std::atomic<uint64_t> read_{0};
  std::atomic<bool> compaction_waits_{false};
  std::shared_mutex compaction_;
  uint64_t compacted_ = 0;
  std::thread writer_;
  std::thread preparer_;
  std::vector<std::thread> readers_;
};

TEST_F(LogThreadsTest, ConcurrentUse) {
  FileSystem& fs = PosixFileSystem();
  ASSERT_TRUE(Log::Format(fs, wal(), CrashIdentity(), {raft::Term(1), {}, {}},
                          {MakeEntry(1, 1, PayloadOf(1))}, CrashOptions())
                  .ok());
  RecoveredLog recovered;
  auto opened = Log::Open(fs, wal(), CrashOptions(), &recovered);
  ASSERT_TRUE(opened.ok()) << opened.status();
  {
    ThreadedLog threads(opened->get());
    threads.SubmitAll();
    threads.Join();
    EXPECT_EQ(threads.durable(), kEntries);
    EXPECT_GT(threads.read(), 0u);
    ASSERT_TRUE((*opened)->Close().ok());
  }
  opened->reset();

  opened = Log::Open(fs, wal(), CrashOptions(), &recovered);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_TRUE(recovered.clean_shutdown);
  EXPECT_EQ(recovered.raft.last_index, raft::Index(kEntries));
  EXPECT_EQ(recovered.raft.compacted_index, raft::Index(kEntries - kKept));
  const ModelState state = StateOf(recovered, **opened);
  EXPECT_EQ(state.entries.size(), kKept);
  for (const auto& [index, entry] : state.entries) {
    EXPECT_EQ(*entry.payload, PayloadOf(index.value()));
  }
}

}  // namespace
}  // namespace dqueue::storage
