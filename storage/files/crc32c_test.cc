#include "storage/files/crc32c.h"

#include <gtest/gtest.h>

#include <string>

namespace dqueue::storage {
namespace {

// The definition, bit by bit (RFC 3720, B.4: reflected polynomial 0x82f63b78).
uint32_t Naive(std::string_view data) {
  uint32_t crc = 0xffffffff;
  for (const char c : data) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
  }
  return ~crc;
}

TEST(Crc32cTest, KnownValues) {
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(""), 0u);
  // RFC 3720 B.4
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
}

TEST(Crc32cTest, MatchesBitwiseDefinition) {
  std::string data;
  for (int i = 0; i < 700; ++i) data += static_cast<char>(i * 131 + i / 7);
  for (size_t begin = 0; begin < 9; ++begin) {
    for (size_t size = 0; size + begin <= data.size(); size += 1 + size / 40) {
      const std::string_view piece = std::string_view(data).substr(begin, size);
      ASSERT_EQ(Crc32c(piece), Naive(piece)) << begin << ", " << size;
    }
  }
}

TEST(Crc32cTest, Continues) {
  const std::string data = "the quick brown fox jumps over the lazy dog";
  for (size_t cut = 0; cut <= data.size(); ++cut) {
    const std::string_view all = data;
    EXPECT_EQ(Crc32c(all.substr(cut), Crc32c(all.substr(0, cut))), Crc32c(all));
  }
}

}  // namespace
}  // namespace dqueue::storage
