#include "cmd/dqueue/memory_limit.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"

namespace dqueue::cmd {
namespace {

constexpr uint64_t kNone = UINT64_MAX;
constexpr uint64_t kMiB = 1 << 20;

// A copy of the files of /proc and /sys, in a directory of its own.
class SystemFiles {
 public:
  SystemFiles()
      : root_(testing::TempDir() + "memory_limit_" +
              testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(root_);
  }
  ~SystemFiles() { std::filesystem::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) const {
    const std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  SystemMemory Read() const { return ReadSystemMemory(root_); }

 private:
  const std::string root_;
};

TEST(MemoryLimit, ReadsTheSmallestCgroupOfVersion2) {
  SystemFiles files;
  files.Write("/proc/self/cgroup", "0::/system.slice/dqueue.service\n");
  files.Write("/sys/fs/cgroup/system.slice/dqueue.service/memory.max", "max\n");
  files.Write("/sys/fs/cgroup/system.slice/memory.max", "1073741824\n");
  EXPECT_EQ(files.Read().cgroup, 1024 * kMiB) << "of the group around it";
  files.Write("/sys/fs/cgroup/system.slice/dqueue.service/memory.max", "536870912\n");
  EXPECT_EQ(files.Read().cgroup, 512 * kMiB);
}

// In a container the group is the root of what it sees.
TEST(MemoryLimit, ReadsTheCgroupOfAContainer) {
  SystemFiles files;
  files.Write("/proc/self/cgroup", "0::/\n");
  files.Write("/sys/fs/cgroup/memory.max", "268435456\n");
  EXPECT_EQ(files.Read().cgroup, 256 * kMiB);
}

TEST(MemoryLimit, ReadsCgroupsOfVersion1) {
  SystemFiles files;
  files.Write("/proc/self/cgroup", "8:pids:/a\n4:cpuset,memory:/a/b\n0::/\n");
  files.Write("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(files.Read().cgroup, kNone);
  files.Write("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "2147483648\n");
  EXPECT_EQ(files.Read().cgroup, 2048 * kMiB);
}

TEST(MemoryLimit, WhatCannotBeReadIsNoLimit) {
  SystemFiles files;
  EXPECT_EQ(files.Read().cgroup, kNone);
  EXPECT_EQ(files.Read().machine, kNone);
  files.Write("/proc/self/cgroup", "nonsense\n0:x\n");
  files.Write("/proc/meminfo", "MemFree: 7 kB\n");
  EXPECT_EQ(files.Read().cgroup, kNone);
  EXPECT_EQ(files.Read().machine, kNone);
}

TEST(MemoryLimit, ReadsTheMachine) {
  SystemFiles files;
  files.Write("/proc/meminfo", "MemTotal:       16384 kB\nMemFree: 7 kB\n");
  EXPECT_EQ(files.Read().machine, 16 * kMiB);
  EXPECT_GT(ReadSystemMemory().machine, 64 * kMiB);
  EXPECT_LT(ReadSystemMemory().machine, kNone);
}

TEST(MemoryLimit, TheSmallestDecides) {
  const struct {
    SystemMemory system;
    uint64_t bytes;
    const char* source;
  } rows[] = {
      {{.machine = 4000 * kMiB}, 3000 * kMiB, "three quarters of the machine's memory, 4000MiB"},
      {{.cgroup = 512 * kMiB, .machine = 4000 * kMiB},
       512 * kMiB,
       "the limit of the cgroup, 512MiB"},
      {{.cgroup = 8000 * kMiB, .machine = 4000 * kMiB},
       3000 * kMiB,
       "three quarters of the machine's memory, 4000MiB"},
      {{.data_segment = 800 * kMiB, .machine = 4000 * kMiB},
       408 * kMiB,
       "a part of the limit of the data segment (RLIMIT_DATA), 800MiB"},
      {{.address_space = 400 * kMiB, .data_segment = 800 * kMiB},
       108 * kMiB,
       "a part of the limit of the address space (RLIMIT_AS), 400MiB"},
      {{.data_segment = 200 * kMiB},
       50 * kMiB,
       "a part of the limit of the data segment (RLIMIT_DATA), 200MiB"},
      {{}, kNone, ""},
  };
  for (const auto& row : rows) {
    const MemoryLimit limit = DefaultMemoryLimit(row.system);
    EXPECT_EQ(limit.bytes, row.bytes);
    EXPECT_EQ(limit.source, row.source);
  }
}

}  // namespace
}  // namespace dqueue::cmd
