// Groups dead jobs by queue, type, reason and fingerprint of the last error, and counts each group.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "dqueue/v1/service.pb.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

inline constexpr size_t kGroupsShownMax = 500;
// Groups that are counted. If jobs would make one more, the answer says `more`.
inline constexpr size_t kGroupsCountedMax = 2000;
inline constexpr int kGroupSamplesMax = 5;
inline constexpr size_t kGroupErrorBytesMax = 512;

class DeadGroups {
 public:
  void Add(const DeadJob& job);
  // The largest first; equal ones in the order in which they were found. Called once.
  void Take(v1::GroupDeadJobsResponse* out);

 private:
  using Group = v1::GroupDeadJobsResponse::Group;

  std::vector<Group> groups_;
  // By a hash of what makes a group; never walked through: it has no order.
  absl::flat_hash_map<uint64_t, uint32_t> numbers_;
  bool left_out_ = false;
};

}  // namespace dqueue::queue
