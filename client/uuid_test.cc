#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <thread>
#include <vector>

#include "client/client.h"

namespace dqueue::client {
namespace {

uint64_t MillisecondsOf(const std::string& uuid) {
  return std::stoull(uuid.substr(0, 8) + uuid.substr(9, 4), nullptr, 16);
}

TEST(UuidV7, HasTheFormOfRfc9562) {
  for (int i = 0; i < 1000; ++i) {
    const std::string uuid = NewUuidV7();
    ASSERT_EQ(uuid.size(), 36u);
    for (size_t at = 0; at < uuid.size(); ++at) {
      if (at == 8 || at == 13 || at == 18 || at == 23) {
        ASSERT_EQ(uuid[at], '-') << uuid;
      } else {
        ASSERT_TRUE(isdigit(uuid[at]) || (uuid[at] >= 'a' && uuid[at] <= 'f')) << uuid;
      }
    }
    ASSERT_EQ(uuid[14], '7') << uuid;
    ASSERT_NE(std::string("89ab").find(uuid[19]), std::string::npos) << uuid;
  }
}

TEST(UuidV7, BeginsWithTheTime) {
  const auto now_ms = [] {
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                     std::chrono::system_clock::now().time_since_epoch())
                                     .count());
  };
  const uint64_t before = now_ms();
  const uint64_t ms = MillisecondsOf(NewUuidV7());
  EXPECT_GE(ms, before);
  // The time can be ahead of the clock by 1 ms per 4096 UUIDs made at once.
  EXPECT_LE(ms, now_ms() + 100);
}

TEST(UuidV7, OrderedByCreation) {
  std::string last = NewUuidV7();
  for (int i = 0; i < 100000; ++i) {
    std::string next = NewUuidV7();
    ASSERT_LT(last, next);
    last = std::move(next);
  }
}

TEST(UuidV7, UniqueAcrossThreads) {
  constexpr int kThreads = 4;
  constexpr int kEach = 20000;
  std::vector<std::vector<std::string>> made(kThreads);
  std::vector<std::thread> threads;
  for (auto& mine : made) {
    threads.emplace_back([&mine] {
      for (int i = 0; i < kEach; ++i) mine.push_back(NewUuidV7());
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<std::string> all;
  for (const auto& mine : made) {
    EXPECT_TRUE(std::is_sorted(mine.begin(), mine.end()));
    all.insert(mine.begin(), mine.end());
  }
  EXPECT_EQ(all.size(), static_cast<size_t>(kThreads * kEach));
}

TEST(UuidV7, AForkedChildDrawsOtherRandomBits) {
  NewUuidV7();
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  const pid_t child = fork();
  if (child == 0) {
    const std::string uuid = NewUuidV7();
    _exit(write(fds[1], uuid.data(), uuid.size()) == 36 ? 0 : 1);
  }
  const std::string mine = NewUuidV7();
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  char theirs[36];
  ASSERT_EQ(read(fds[0], theirs, sizeof(theirs)), 36);
  EXPECT_NE(mine.substr(19), std::string(theirs + 19, 17));
  close(fds[0]);
  close(fds[1]);
}

}  // namespace
}  // namespace dqueue::client
