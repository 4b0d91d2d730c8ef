// The memory that the allocator takes for blocks and containers, for accounting. glibc on 64-bit
// machines; heap_bytes_test.cc compares it with malloc_usable_size().
#pragma once

#include <algorithm>
#include <cstddef>

namespace dqueue::queue {

// Of one block of `size` bytes, its header and rounding included. Blocks from 128 KiB on may have
// pages of their own, and are counted so.
constexpr size_t HeapBytes(size_t size) {
  constexpr size_t kHeader = 8;
  constexpr size_t kChunk = 16;
  constexpr size_t kSmallest = 32;
  constexpr size_t kPage = 4096;
  constexpr size_t kOwnPagesFrom = 128 << 10;
  if (size >= kOwnPagesFrom) return (size + 2 * kHeader + kPage - 1) / kPage * kPage;
  return std::max(kSmallest, (size + kHeader + kChunk - 1) / kChunk * kChunk);
}

// Of one entry of an ordered tree (absl::btree_set, btree_map) with entries of `size` bytes. Nodes
// have 256 bytes. They are full where entries are appended in order, and two thirds full elsewhere.
constexpr size_t TreeEntryBytes(size_t size) { return size + size / 4 + 1; }

}  // namespace dqueue::queue
