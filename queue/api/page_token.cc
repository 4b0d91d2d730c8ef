#include "queue/api/page_token.h"

#include <cstdint>

#include "queue/api/hash.h"

namespace dqueue::queue {
namespace {

constexpr uint64_t kSeed = 0x6e616d6573;
constexpr size_t kCheckDigits = 16;

}  // namespace

std::string MakeNamePageToken(std::string_view last) {
  constexpr char kHex[] = "0123456789abcdef";
  const uint64_t check = HashBytes(last, kSeed);
  std::string token;
  for (int shift = 60; shift >= 0; shift -= 4) token += kHex[check >> shift & 15];
  token += last;
  return token;
}

bool ParseNamePageToken(std::string_view token, std::string* last) {
  if (token.size() <= kCheckDigits) return false;
  *last = token.substr(kCheckDigits);
  return token == MakeNamePageToken(*last);
}

}  // namespace dqueue::queue
