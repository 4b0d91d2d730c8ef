// Encodes the last unsuccessful attempts of a job, for its outcome block and for snapshot images. A
// job that never failed has no such bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dqueue/v1/job.pb.h"

namespace dqueue::queue {

inline constexpr size_t kAttemptsMax = 10;            // older ones are forgotten
inline constexpr size_t kAttemptErrorBytesMax = 512;  // longer ones are cut at a character

struct AttemptView {
  uint32_t number = 0;  // StoredJob::delivered, this attempt included
  v1::Attempt::End end = v1::Attempt::END_UNSPECIFIED;
  int64_t end_ms = 0;
  int64_t held_ms = -1;  // -1: not known
  std::string_view worker_id;
  std::string_view error;
};

// `attempts` with `next` added as the newest; texts and times of `next` are cut to their limits.
std::string WithAttempt(std::string_view attempts, const AttemptView& next);
// Oldest first; views into `attempts`. False if WithAttempt cannot have made the bytes (they may
// come from a damaged file).
bool ParseAttempts(std::string_view attempts, std::vector<AttemptView>* out);

}  // namespace dqueue::queue
