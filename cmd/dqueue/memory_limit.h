// The default of --memory-limit: what this process may use, as the system tells.
#pragma once

#include <cstdint>
#include <string>

namespace dqueue::cmd {

struct MemoryLimit {
  uint64_t bytes = 0;
  std::string source;  // "the limit of the cgroup, 2GiB"
};

// The memory limits of the system, in bytes. UINT64_MAX: no limit.
struct SystemMemory {
  uint64_t cgroup = UINT64_MAX;         // the smallest of this cgroup and those that contain it
  uint64_t address_space = UINT64_MAX;  // RLIMIT_AS
  uint64_t data_segment = UINT64_MAX;   // RLIMIT_DATA
  uint64_t machine = UINT64_MAX;
};

// Reads the limits of this process. `root` precedes the paths of /proc and /sys, for tests. What
// cannot be read is no limit.
SystemMemory ReadSystemMemory(const std::string& root = "");

// The smallest of: the cgroup's limit; three quarters of what the limits of virtual memory leave
// beside 256 MiB for the stacks of threads, or a quarter of the limit if that is more; three
// quarters of the machine, which others use, too.
MemoryLimit DefaultMemoryLimit(const SystemMemory& system);

}  // namespace dqueue::cmd
