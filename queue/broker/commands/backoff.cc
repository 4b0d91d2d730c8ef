#include "queue/broker/commands/backoff.h"

#include <algorithm>

#include "base/check.h"
#include "dqueue/v1/job.pb.h"
#include "queue/api/limits.h"

namespace dqueue::queue {
namespace {

// min(base * failures, max) without overflow.
int64_t Linear(int64_t base, int64_t max, uint64_t failures) {
  if (base == 0) return 0;
  if (failures > static_cast<uint64_t>(max / base)) return max;
  return base * static_cast<int64_t>(failures);
}

// min(base * 2^(failures - 1), max) without overflow.
int64_t Exponential(int64_t base, int64_t max, uint64_t failures) {
  if (base == 0) return 0;
  const uint64_t shift = failures - 1;
  if (shift >= 63 || base > (max >> shift)) return max;
  return base << shift;
}

}  // namespace

int64_t RetryDelayMs(const BackoffPolicy& policy, uint64_t failures, uint64_t random) {
  DQ_CHECK(failures >= 1);
  const int64_t max = std::clamp<int64_t>(policy.max_ms, 0, kBackoffMsMax);
  const int64_t base = std::clamp<int64_t>(policy.base_ms, 0, max);
  int64_t delay = 0;
  switch (policy.backoff) {
    case v1::RetryPolicy::BACKOFF_NONE:
      return 0;
    case v1::RetryPolicy::BACKOFF_FIXED:
      delay = base;
      break;
    case v1::RetryPolicy::BACKOFF_LINEAR:
      delay = Linear(base, max, failures);
      break;
    default:
      delay = Exponential(base, max, failures);
      break;
  }
  const int64_t spread = delay * std::min<int64_t>(policy.jitter_permille, 1000) / 1000;
  const int64_t result =
      delay - spread + static_cast<int64_t>(random % static_cast<uint64_t>(2 * spread + 1));
  DQ_CHECK(result >= 0 && result <= 2 * kBackoffMsMax);
  return result;
}

}  // namespace dqueue::queue
