#include "queue/api/job_id.h"

#include <algorithm>

#include "queue/api/hash.h"

namespace dqueue::queue {
namespace {

constexpr uint64_t kCounterMax = 0xfff;
constexpr uint64_t kTimeMask = (uint64_t{1} << 48) - 1;
// Two independent hashes. Constants for ever: an id must not change with the version.
constexpr uint64_t kHighSeed = 0x6471756575652d31;
constexpr uint64_t kLowSeed = 0x6a6f622d69642d31;

// Sets version and variant, and writes xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx.
std::string FormatUuid(uint64_t high, uint64_t low, uint64_t version) {
  constexpr char kHex[] = "0123456789abcdef";
  high = (high & ~uint64_t{0xf000}) | (version << 12);
  low = (low & ~(uint64_t{3} << 62)) | (uint64_t{2} << 62);
  std::string text(36, '-');
  size_t at = 0;
  for (int digit = 0; digit < 32; ++digit) {
    if (digit == 8 || digit == 12 || digit == 16 || digit == 20) ++at;
    const uint64_t word = digit < 16 ? high : low;
    text[at++] = kHex[(word >> (60 - 4 * (digit % 16))) & 0xf];
  }
  return text;
}

}  // namespace

std::string JobIdGenerator::Next(int64_t wall_ms) {
  const uint64_t ms = static_cast<uint64_t>(std::max<int64_t>(wall_ms, 0)) & kTimeMask;
  if (ms > last_ms_) {
    last_ms_ = ms;
    counter_ = 0;
  } else if (counter_ == kCounterMax) {
    // More than 4096 in a millisecond: borrow from the next one.
    last_ms_ = (last_ms_ + 1) & kTimeMask;
    counter_ = 0;
  } else {
    ++counter_;
  }
  return FormatUuid((last_ms_ << 16) | counter_, random_(), 7);
}

std::string DerivedRequestKey(std::string_view request_id, uint64_t position) {
  std::string bytes;
  for (const uint64_t seed : {kHighSeed, kLowSeed}) {
    const uint64_t hash =
        HashSequence(seed).Add(HashBytes(request_id, seed)).Add(position).Finish();
    for (int shift = 0; shift < 64; shift += 8) bytes += static_cast<char>(hash >> shift);
  }
  return bytes;
}

std::string DerivedJobId(std::string_view request_id, uint64_t position) {
  const uint64_t high =
      HashSequence(kHighSeed).Add(HashBytes(request_id, kHighSeed)).Add(position).Finish();
  const uint64_t low =
      HashSequence(kLowSeed).Add(HashBytes(request_id, kLowSeed)).Add(position).Finish();
  return FormatUuid(high, low, 8);
}

}  // namespace dqueue::queue
