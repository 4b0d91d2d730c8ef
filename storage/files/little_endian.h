// Loads and stores little-endian integers of fixed width at unaligned addresses.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace dqueue::storage {

static_assert(std::endian::native == std::endian::little,
              "the file formats are little endian; this machine needs byte swaps here");

inline uint32_t LoadU32(const char* p) {
  uint32_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline uint64_t LoadU64(const char* p) {
  uint64_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void StoreU32(char* p, uint32_t v) { std::memcpy(p, &v, sizeof v); }
inline void StoreU64(char* p, uint64_t v) { std::memcpy(p, &v, sizeof v); }

}  // namespace dqueue::storage
