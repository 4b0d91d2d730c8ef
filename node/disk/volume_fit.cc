#include "node/disk/volume_fit.h"

#include <algorithm>
#include <bit>

namespace dqueue::node {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;

void Fit(uint64_t share, uint64_t min, uint64_t max, uint64_t* out) {
  if (*out == 0) *out = std::clamp(share, min, max);
}

}  // namespace

void FitToVolume(uint64_t volume_bytes, Options* options) {
  if (options->log.segment_bytes == 0) {
    // At least 32 MiB, because the largest entry must fit into one segment.
    options->log.segment_bytes =
        std::clamp(std::bit_floor(volume_bytes / 16), 32 * kMiB, 64 * kMiB);
    options->log.prepared_segments = volume_bytes < 2 * kGiB ? 1 : 2;
    options->trailing_log_bytes = std::clamp(volume_bytes / 64, 1 * kMiB, 32 * kMiB);
  }
  Fit(volume_bytes / 8, 32 * kMiB, 256 * kMiB, &options->reserve_bytes);
  Fit(volume_bytes / 16, 8 * kMiB, 256 * kMiB, &options->snapshot_log_bytes);
}

std::string VolumeProblem(uint64_t volume_bytes, const Options& options) {
  const uint64_t segments =
      options.log.segment_bytes * (1 + static_cast<uint64_t>(options.log.prepared_segments));
  // The disk counts as full until 9/8 of the reserve are free.
  const uint64_t needed = options.reserve_bytes + options.reserve_bytes / 8 + segments;
  if (needed <= volume_bytes) return "";
  return "the volume of --data-dir has " + std::to_string(volume_bytes) +
         " bytes, but --reserve-bytes " + std::to_string(options.reserve_bytes) +
         " and the log's segments (" + std::to_string(segments) + ") need " +
         std::to_string(needed) +
         "; new jobs will be refused: use a larger volume or a smaller "
         "--reserve-bytes";
}

}  // namespace dqueue::node
