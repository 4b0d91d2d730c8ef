// What the dead jobs died of: one group for each queue, type, reason and fingerprint of the last
// error, counted up job by job.
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
// Groups that are counted while jobs are looked at. Of jobs that would make another one, it is only
// known that there are some.
inline constexpr size_t kGroupsCountedMax = 2000;
inline constexpr int kGroupSamplesMax = 5;
inline constexpr size_t kGroupErrorBytesMax = 512;

class DeadGroups {
 public:
  void Add(const DeadJob& job);
  // The largest first; equal ones in the order in which they were met. Once.
  void Take(v1::GroupDeadJobsResponse* out);

 private:
  using Group = v1::GroupDeadJobsResponse::Group;

  std::vector<Group> groups_;
  // By a hash of what makes a group; never walked through: it has no order.
  absl::flat_hash_map<uint64_t, uint32_t> numbers_;
  bool left_out_ = false;
};

}  // namespace dqueue::queue
