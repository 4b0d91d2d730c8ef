#include "cmd/dqueue/memory_limit.h"

#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>

#include "cmd/flags/flag_values.h"

namespace dqueue::cmd {
namespace {

constexpr uint64_t kNone = std::numeric_limits<uint64_t>::max();
// Limits of virtual memory also count the stacks of threads, 8 MiB each: so much is set aside for
// them, but at most two thirds of the limit.
constexpr uint64_t kStacksMiB = 256;
// cgroup v1 tells no limit as the greatest multiple of the page size that fits 63 bits.
constexpr uint64_t kGreatestLimit = uint64_t{1} << 62;

uint64_t ReadLimit(const std::string& path) {
  std::ifstream file(path);
  uint64_t bytes = 0;
  // "max" is no number.
  if (!(file >> bytes) || bytes >= kGreatestLimit) return kNone;
  return bytes;
}

// The smallest limit of `group` and of the groups that contain it, below `base`.
uint64_t SmallestLimit(const std::string& base, std::string group, const std::string& file) {
  uint64_t smallest = kNone;
  while (true) {
    smallest = std::min(smallest, ReadLimit(base + group + "/" + file));
    const size_t slash = group.rfind('/');
    if (slash == std::string::npos) return smallest;
    group.resize(slash);
  }
}

// A line of /proc/self/cgroup is "number:controllers:path". Version 2 has number 0 and no
// controllers.
uint64_t CgroupLimit(const std::string& root) {
  uint64_t smallest = kNone;
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string group = line.substr(second + 1);
    if (controllers == ",,") {
      smallest = std::min(smallest, SmallestLimit(root + "/sys/fs/cgroup", group, "memory.max"));
    } else if (controllers.find(",memory,") != std::string::npos) {
      smallest = std::min(
          smallest, SmallestLimit(root + "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"));
    }
  }
  return smallest;
}

uint64_t ProcessLimit(decltype(RLIMIT_AS) resource) {
  rlimit limit{};
  if (::getrlimit(resource, &limit) != 0) return kNone;
  return limit.rlim_cur == RLIM_INFINITY ? kNone : limit.rlim_cur;
}

uint64_t MachineMemory(const std::string& root) {
  std::ifstream file(root + "/proc/meminfo");
  std::string key;
  uint64_t kib = 0;
  if (file >> key >> kib && key == "MemTotal:") return kib << 10;
  return kNone;
}

}  // namespace

SystemMemory ReadSystemMemory(const std::string& root) {
  return {.cgroup = CgroupLimit(root),
          .address_space = ProcessLimit(RLIMIT_AS),
          .data_segment = ProcessLimit(RLIMIT_DATA),
          .machine = MachineMemory(root)};
}

MemoryLimit DefaultMemoryLimit(const SystemMemory& system) {
  MemoryLimit out{.bytes = kNone, .source = ""};
  const auto consider = [&](uint64_t limit, uint64_t mib, const std::string& name) {
    if (limit == kNone || mib << 20 >= out.bytes) return;
    out.bytes = mib << 20;
    out.source = name + ", " + FormatBytes(limit >> 20 << 20);
  };
  const auto beside_stacks = [](uint64_t limit) {
    const uint64_t mib = limit >> 20;
    return std::max(mib / 4, mib > kStacksMiB ? (mib - kStacksMiB) * 3 / 4 : 0);
  };
  consider(system.cgroup, system.cgroup >> 20, "the limit of the cgroup");
  consider(system.address_space, beside_stacks(system.address_space),
           "a part of the limit of the address space (RLIMIT_AS)");
  consider(system.data_segment, beside_stacks(system.data_segment),
           "a part of the limit of the data segment (RLIMIT_DATA)");
  consider(system.machine, (system.machine >> 20) * 3 / 4,
           "three quarters of the machine's memory");
  return out;
}

}  // namespace dqueue::cmd
