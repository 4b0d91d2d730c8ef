// The wait of a failed job before it runs again (RetryPolicy of job.proto). A pure function: the
// leader draws the random number and writes the result into the log.
#pragma once

#include <cstdint>

namespace dqueue::queue {

struct BackoffPolicy {
  uint32_t backoff = 0;  // v1::RetryPolicy::Backoff; values that are not known count as EXPONENTIAL
  int64_t base_ms = 0;
  int64_t max_ms = 0;
  uint32_t jitter_permille = 0;  // 0 to 1000
};

// The wait after the n-th failure, n >= 1, in ms: base (FIXED), base * n (LINEAR) or base * 2^(n-1)
// (EXPONENTIAL), at most max_ms, then spread evenly over [1 - jitter, 1 + jitter] of that by
// `random` (any 64-bit number). Never negative, never above twice kBackoffMsMax.
int64_t RetryDelayMs(const BackoffPolicy& policy, uint64_t failures, uint64_t random);

}  // namespace dqueue::queue
