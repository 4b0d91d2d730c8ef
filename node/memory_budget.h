// What a node counts of its memory, and when that is too much for new jobs.
//
// The limit is for the whole process. Jobs, ids, the cached log and waiting calls are counted; the
// rest (code, stacks, connections, what the allocator holds back) needs room beside them. So new
// jobs are refused at 60 % of the limit. Workers go on: what they finish is trimmed to a tenth of
// the limit. The resident memory is a second measure. It decides only while much is counted: the
// allocator keeps what was freed and gives it to the next jobs, so it may stay high for ever.
#pragma once

#include <cstdint>

#include "node/node.h"

namespace dqueue::node {

// Limits below this leave no room for jobs beside the process.
inline constexpr uint64_t kMemoryLimitMin = uint64_t{128} << 20;

// Sets Options::memory_limit and the limits that follow from it: caches, calls on their way, and
// the finished jobs that are kept.
void SetMemoryLimit(uint64_t bytes, Options* options);

class MemoryBudget {
 public:
  // limit_bytes 0: there is always memory.
  explicit MemoryBudget(uint64_t limit_bytes) : limit_(limit_bytes) {}

  // Whether memory is low now. Low begins with more than 60 % counted, or with more than 85 %
  // resident while more than 40 % is counted. It ends below 55 %, and 80 % or 35 %.
  // resident_bytes 0: unknown.
  bool Update(uint64_t counted_bytes, uint64_t resident_bytes);
  bool low() const { return low_; }
  uint64_t limit() const { return limit_; }

 private:
  bool Exceeds(uint64_t bytes, uint64_t percent) const { return bytes > limit_ / 100 * percent; }

  const uint64_t limit_;
  bool low_ = false;
};

}  // namespace dqueue::node
