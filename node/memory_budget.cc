#include "node/memory_budget.h"

#include <algorithm>

namespace dqueue::node {
namespace {
constexpr uint64_t kMiB = 1 << 20;
}  // namespace

void SetMemoryLimit(uint64_t bytes, Options* options) {
  options->memory_limit = bytes;
  // Of succeeded and cancelled jobs, of dead jobs, of idempotency keys, and of remembered jobs of
  // requests, each: together a tenth.
  options->broker.keep.bytes = bytes / 40;
  // The largest call must fit.
  const uint64_t part = bytes / 32;
  options->broker.max_pending_bytes = std::clamp(part, 20 * kMiB, 64 * kMiB);
  options->raft.max_uncommitted_bytes = std::clamp(part, 24 * kMiB, 64 * kMiB);
  options->raft.cache_bytes = std::clamp(part, 4 * kMiB, 64 * kMiB);
  options->inbox.bytes = std::clamp(part, 32 * kMiB, 256 * kMiB);
}

bool MemoryBudget::Update(uint64_t counted_bytes, uint64_t resident_bytes) {
  if (limit_ == 0) return false;
  low_ = low_ ? Exceeds(counted_bytes, 55) ||
                    (Exceeds(resident_bytes, 80) && Exceeds(counted_bytes, 35))
              : Exceeds(counted_bytes, 60) ||
                    (Exceeds(resident_bytes, 85) && Exceeds(counted_bytes, 40));
  return low_;
}

}  // namespace dqueue::node
