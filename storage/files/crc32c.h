// CRC-32C (Castagnoli), as used by iSCSI and ext4. Uses CPU instructions where available.
#pragma once

#include <cstdint>
#include <string_view>

namespace dqueue::storage {

// Crc32c("123456789") == 0xe3069283. `seed` is the checksum of the preceding bytes: Crc32c(b,
// Crc32c(a)) == Crc32c(a + b).
uint32_t Crc32c(std::string_view data, uint32_t seed = 0);

}  // namespace dqueue::storage
