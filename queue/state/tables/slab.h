// Records in chunks that never move: growing allocates one chunk and copies nothing. A record is
// named by its slot number; freed slots are reused, last freed first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/attributes.h"
#include "base/check.h"

namespace dqueue::queue {

inline constexpr uint32_t kNoSlot = UINT32_MAX;

// T is default-constructible, movable, and has `uint32_t& free_link()`: a field that a free record
// does not need. A free record equals T{} otherwise.
template <class T>
class Slab {
 public:
  // Slots 0 to end() - 1 exist, free ones among them.
  uint32_t end() const { return end_; }
  uint32_t used() const { return used_; }
  size_t memory_bytes() const {
    return chunks_.size() * sizeof(T) * kChunk + chunks_.capacity() * sizeof(chunks_[0]);
  }

  // Always inlined: in large files the compiler would not, and every command passes here often.
  ABSL_ATTRIBUTE_ALWAYS_INLINE T& operator[](uint32_t slot) {
    return chunks_[slot / kChunk][slot % kChunk];
  }
  ABSL_ATTRIBUTE_ALWAYS_INLINE const T& operator[](uint32_t slot) const {
    return chunks_[slot / kChunk][slot % kChunk];
  }

  uint32_t Allocate() {
    ++used_;
    if (free_ != kNoSlot) {
      const uint32_t slot = free_;
      uint32_t& link = (*this)[slot].free_link();
      free_ = link;
      link = T{}.free_link();
      return slot;
    }
    DQ_CHECK(end_ < kNoSlot);
    if (end_ % kChunk == 0) chunks_.push_back(std::make_unique<T[]>(kChunk));
    return end_++;
  }

  void Free(uint32_t slot) {
    DQ_CHECK(slot < end_ && used_ > 0);
    T& record = (*this)[slot];
    record = T{};
    record.free_link() = free_;
    free_ = slot;
    --used_;
  }

 private:
  static constexpr uint32_t kChunk = 1024;

  std::vector<std::unique_ptr<T[]>> chunks_;
  uint32_t end_ = 0;
  uint32_t used_ = 0;
  uint32_t free_ = kNoSlot;
};

}  // namespace dqueue::queue
