// Fingerprints of error texts: errors that differ only in details of the job have the same one.
// Numbers, hexadecimal words, UUIDs and quoted parts do not count, so "user 17 not found in 'eu-1'"
// and "user 18 not found in 'us'" have the same fingerprint. Fingerprints are the same on every
// node and in every version, because users store them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dqueue::queue {

// The first 512 bytes of what is left of the error: "user # not found in \"".
std::string NormalizedError(std::string_view error);
// Its hash. No allocation; at most a few ns a byte.
uint64_t ErrorFingerprint(std::string_view error);

// 16 hexadecimal digits, lower case.
std::string FingerprintText(uint64_t fingerprint);
// nullopt: it is not what FingerprintText gives.
std::optional<uint64_t> ParseFingerprint(std::string_view text);

}  // namespace dqueue::queue
