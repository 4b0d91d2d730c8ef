// The log with its real threads on the real disk: one submits, one writes, one prepares segments,
// two read. For the thread sanitizer, and to see the parts together.
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

TEST_F(LogThreadsTest, WriteReadPrepareAndCompactAtOnce) {
  constexpr uint64_t kEntries = 3000;
  FileSystem& fs = PosixFileSystem();
  ASSERT_TRUE(Log::Format(fs, wal(), CrashIdentity(), {raft::Term(1), {}, {}},
                          {MakeEntry(1, 1, PayloadOf(1))}, CrashOptions())
                  .ok());
  RecoveredLog recovered;
  auto opened = Log::Open(fs, wal(), CrashOptions(), &recovered);
  ASSERT_TRUE(opened.ok()) << opened.status();
  Log& log = **opened;

  std::mutex mu;
  std::condition_variable wake_log;
  std::condition_variable wake_prepare;
  bool work = false;
  bool stop = false;
  std::atomic<uint64_t> durable{1};
  std::shared_mutex compaction;
  uint64_t compacted = 0;
  log.OnDurable([&](raft::Token token) {
    EXPECT_GT(token.value(), durable.load());
    durable = token.value();
    durable.notify_all();
  });
  log.OnWork([&] {
    std::lock_guard lock(mu);
    work = true;
    wake_log.notify_one();
  });

  std::thread writer([&] {
    for (;;) {
      {
        std::unique_lock lock(mu);
        wake_log.wait(lock, [&] { return work || stop; });
        if (stop && !work) return;
        work = false;
      }
      for (;;) {
        const absl::StatusOr<bool> polled = log.Poll();
        ASSERT_TRUE(polled.ok()) << polled.status();
        if (!*polled) break;
        wake_prepare.notify_one();
      }
    }
  });
  std::thread preparer([&] {
    std::unique_lock lock(mu);
    while (!stop) {
      lock.unlock();
      const absl::StatusOr<bool> prepared = log.PrepareSegments();
      EXPECT_TRUE(prepared.ok()) << prepared.status();
      EXPECT_GT(log.ReservedBytes() + log.stats().syncs, 0u);
      lock.lock();
      if (!*prepared) wake_prepare.wait_for(lock, std::chrono::milliseconds(5));
    }
  });
  std::vector<std::thread> readers;
  std::atomic<uint64_t> read{0};
  for (uint64_t r = 0; r < 2; ++r) {
    readers.emplace_back([&, r] {
      for (uint64_t n = r; durable < kEntries; n += 7) {
        // What is compacted may not be asked for: it must not move between the question and the
        // answer.
        std::shared_lock lock(compaction);
        const uint64_t last = durable;
        const uint64_t first = std::max(compacted + 1, last - std::min(last - 1, n % 600));
        for (const raft::Entry& entry :
             log.ReadEntries(raft::Index(first), raft::Index(last), 100000)) {
          EXPECT_EQ(*entry.payload, PayloadOf(entry.index.value()));
          ++read;
        }
      }
    });
  }

  for (uint64_t index = 2; index <= kEntries; ++index) {
    LogWrite write;
    write.token = raft::Token(index);
    write.entries = {MakeEntry(index, 1, PayloadOf(index))};
    log.Submit(std::move(write));
    if (index % 100 != 0) continue;
    for (uint64_t seen = durable; seen < index; seen = durable) durable.wait(seen);
    if (index <= 500) continue;
    LogWrite compact;
    compact.snapshot = raft::SnapshotMeta{raft::Index(index), raft::Term(1), "members"};
    compact.compact_to = raft::Index(index - 500);
    {
      std::unique_lock lock(compaction);
      compacted = index - 500;
    }
    log.Submit(std::move(compact));
  }
  for (std::thread& reader : readers) reader.join();
  {
    std::lock_guard lock(mu);
    stop = true;
    wake_log.notify_one();
    wake_prepare.notify_one();
  }
  writer.join();
  preparer.join();
  EXPECT_EQ(durable, kEntries);
  EXPECT_GT(read, 0u);
  ASSERT_TRUE(log.Close().ok());
  opened->reset();

  opened = Log::Open(fs, wal(), CrashOptions(), &recovered);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_TRUE(recovered.clean_shutdown);
  EXPECT_EQ(recovered.raft.last_index, raft::Index(kEntries));
  EXPECT_EQ(recovered.raft.compacted_index, raft::Index(kEntries - 500));
  const ModelState state = StateOf(recovered, **opened);
  EXPECT_EQ(state.entries.size(), 500u);
  for (const auto& [index, entry] : state.entries) {
    EXPECT_EQ(*entry.payload, PayloadOf(index.value()));
  }
}

}  // namespace
}  // namespace dqueue::storage
