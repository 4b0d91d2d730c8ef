#include "queue/api/hash.h"

#include <bit>
#include <cstring>

namespace dqueue::queue {
namespace {

constexpr uint64_t kSecret[4] = {0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3,
                                 0x589965cc75374cc3};

static_assert(std::endian::native == std::endian::little,
              "Load64 reads the host's order; big-endian hosts need a byte swap here");

uint64_t Load64(const char* p) {
  uint64_t value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

uint64_t Load32(const char* p) {
  uint32_t value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

uint64_t Load8(const char* p) { return static_cast<unsigned char>(*p); }

}  // namespace

uint64_t HashBytes(std::string_view bytes, uint64_t seed) {
  const char* p = bytes.data();
  const char* const end = p + bytes.size();
  size_t left = bytes.size();
  uint64_t a = seed ^ kSecret[0];
  if (left >= 32) {
    // Two independent lanes, so that the multiplies overlap.
    uint64_t b = seed ^ kSecret[3];
    do {
      a = MixPair(Load64(p) ^ kSecret[1], Load64(p + 8) ^ a);
      b = MixPair(Load64(p + 16) ^ kSecret[2], Load64(p + 24) ^ b);
      p += 32;
      left -= 32;
    } while (left >= 32);
    a = MixPair(a ^ kSecret[2], b ^ kSecret[1]);
  }
  if (left >= 16) {
    a = MixPair(Load64(p) ^ kSecret[1], Load64(p + 8) ^ a);
    p += 16;
    left -= 16;
  }
  // The last 16 bytes, read as they lie (again, if need be), so that every tail costs the same.
  uint64_t x = 0;
  uint64_t y = 0;
  if (bytes.size() >= 16) {
    x = Load64(end - 16);
    y = Load64(end - 8);
  } else if (left >= 8) {
    x = Load64(p);
    y = Load64(end - 8);
  } else if (left >= 4) {
    x = Load32(p);
    y = Load32(end - 4);
  } else if (left > 0) {
    x = Load8(p) << 16 | Load8(p + left / 2) << 8 | Load8(end - 1);
  }
  a = MixPair(x ^ kSecret[1], y ^ a ^ kSecret[0]);
  return MixPair(a ^ kSecret[3], bytes.size() ^ kSecret[1]);
}

}  // namespace dqueue::queue
