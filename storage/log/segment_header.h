// Segment headers and file names. A header repeats the identity of the log and all state of earlier
// segments that recovery needs, so any prefix of the segments can be deleted. docs/storage.md has
// the layout.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "storage/log/log.h"
#include "storage/log/log_state.h"

namespace dqueue::storage {

inline constexpr uint32_t kFormatVersion = 1;
inline constexpr uint64_t kHeaderFixedBytes = 512;  // covered by the header's own checksum
inline constexpr uint64_t kHeaderAlignment = 4096;  // records start at a multiple of it
inline constexpr uint64_t kMinSegmentBytes = 64 << 10;
inline constexpr uint64_t kMaxSegmentBytes = 1 << 30;
inline constexpr size_t kMaxNodeNameBytes = 128;

// The largest configuration of a snapshot mark in a log with this segment size.
constexpr uint64_t MaxConfigBytes(uint64_t segment_bytes) {
  return segment_bytes / 4 < (1 << 20) ? segment_bytes / 4 : 1 << 20;
}
// The largest entry payload that fits a segment with the largest header.
constexpr uint64_t MaxEntryBytes(uint64_t segment_bytes) {
  return segment_bytes - 2 * kHeaderAlignment - MaxConfigBytes(segment_bytes);
}

struct SegmentHeader {
  Identity identity;
  uint64_t sequence = 0;       // number in the file's name
  uint64_t segment_bytes = 0;  // size of the file
  uint64_t base_lsn = 0;       // position of the file's first byte
  // The segment that this one continues (0: none), and the position where its last record ends.
  // Segments in between, and bytes after that position, are void.
  uint64_t previous_sequence = 0;
  uint64_t previous_end = 0;
  // Everything before this position was durable before the file was named.
  uint64_t named_end = 0;
  uint32_t salt = 0;
  uint32_t previous_crc = 0;  // payload_crc of the last record of the previous segment
  // True: an earlier version kept the undamaged start of a damaged log (--recover=peers), and
  // `marks` override those of earlier segments. This version reads such headers and writes none.
  // False: `marks` repeat those of earlier segments.
  bool recovered = false;
  Marks marks;

  // Offset of the first record.
  uint64_t HeaderBytes() const;
};

// Returns the header, padded to HeaderBytes().
std::string EncodeSegmentHeader(const SegmentHeader& header);

// HeaderBytes() of the header that starts with `fixed` (kHeaderFixedBytes). DATA_LOSS: the reason.
// FAILED_PRECONDITION: a newer format.
absl::StatusOr<uint64_t> DecodeHeaderBytes(std::string_view fixed);
// Requires bytes.size() >= HeaderBytes(). Errors as for DecodeHeaderBytes().
absl::StatusOr<SegmentHeader> DecodeSegmentHeader(std::string_view bytes);

// Distinguishes the records of one segment from those of any other. Derived, not random, so that
// simulated runs are reproducible.
uint32_t SegmentSalt(const Identity& identity, uint64_t sequence, uint64_t base_lsn,
                     uint32_t previous_crc);

// "%016x.wal"
std::string SegmentName(uint64_t sequence);
std::optional<uint64_t> ParseSegmentName(std::string_view name);
// "%016x.free": a zero-filled file that may become a segment. Not used after a restart.
std::string FreeName(uint64_t number);
bool IsLeftoverName(std::string_view name);  // FreeName, or a name that ends in ".tmp"
std::string JoinPath(const std::string& directory, const std::string& name);

}  // namespace dqueue::storage
