#include "queue/state/tables/heap_bytes.h"

#include <malloc.h>

#include <cstdlib>

#include "gtest/gtest.h"

namespace dqueue::queue {
namespace {

TEST(HeapBytesTest, AreThoseOfTheAllocator) {
  for (size_t size = 1; size < 100000; size = size + 1 + size / 7) {
    void* const block = std::malloc(size);
    ASSERT_NE(block, nullptr);
    // The usable size is the chunk without its header. A chunk that is cut from a free one also
    // gets a rest of 16 bytes, because that is no chunk.
    const size_t chunk = ::malloc_usable_size(block) + 8;
    EXPECT_TRUE(HeapBytes(size) == chunk || HeapBytes(size) + 16 == chunk) << size << " " << chunk;
    std::free(block);
  }
}

TEST(HeapBytesTest, ALargeBlockHasPagesOfItsOwn) {
  EXPECT_EQ(HeapBytes(128 << 10), (128u << 10) + 4096);
  EXPECT_EQ(HeapBytes((1 << 20) - 16), 1u << 20);
  EXPECT_EQ(HeapBytes(1 << 20), (1u << 20) + 4096);
}

}  // namespace
}  // namespace dqueue::queue
