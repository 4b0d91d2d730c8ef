// The last attempts of a job that ended without success, as the bytes that its outcome block and a
// snapshot image keep. A job that never failed has none of these bytes.
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

// `attempts` and, as the newest, `next`, whose texts and times are brought within their limits.
std::string WithAttempt(std::string_view attempts, const AttemptView& next);
// Oldest first; views into `attempts`. False if the bytes are not what WithAttempt makes (they may
// come from a damaged file).
bool ParseAttempts(std::string_view attempts, std::vector<AttemptView>* out);

}  // namespace dqueue::queue
