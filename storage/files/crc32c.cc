#include "storage/files/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace dqueue::storage {

uint32_t Crc32c(std::string_view data, uint32_t seed) {
  // ISA-L expects inverted values and an int length. It does not modify the buffer, although the
  // parameter is not const.
  constexpr size_t kMaxPiece = size_t{1} << 30;
  uint32_t crc = ~seed;
  while (!data.empty()) {
    const size_t n = std::min(data.size(), kMaxPiece);
    auto* bytes = reinterpret_cast<unsigned char*>(const_cast<char*>(data.data()));
    crc = crc32_iscsi(bytes, static_cast<int>(n), crc);
    data.remove_prefix(n);
  }
  return ~crc;
}

}  // namespace dqueue::storage
