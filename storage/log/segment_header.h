// How a segment file begins, and what segment files are called. The header repeats who owns the log
// and everything that earlier segments said and a later start needs, so that any prefix of the
// segments can be deleted. docs/storage.md has the layout.
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
inline constexpr uint64_t kHeaderFixedBytes = 512;  // under the header's own checksum
inline constexpr uint64_t kHeaderAlignment = 4096;  // records begin at a multiple of it
inline constexpr uint64_t kMinSegmentBytes = 64 << 10;
inline constexpr uint64_t kMaxSegmentBytes = 1 << 30;
inline constexpr size_t kMaxNodeNameBytes = 128;

// The longest configuration that a snapshot mark may carry in a log of such segments.
constexpr uint64_t MaxConfigBytes(uint64_t segment_bytes) {
  return segment_bytes / 4 < (1 << 20) ? segment_bytes / 4 : 1 << 20;
}
// The largest entry payload that certainly fits a segment.
constexpr uint64_t MaxEntryBytes(uint64_t segment_bytes) {
  return segment_bytes - 2 * kHeaderAlignment - MaxConfigBytes(segment_bytes);
}

struct SegmentHeader {
  Identity identity;
  uint64_t sequence = 0;       // of the file; in its name
  uint64_t segment_bytes = 0;  // size of the file
  uint64_t base_lsn = 0;       // of the file's first byte
  // The segment that this one continues (0: none) and the position where its last record ends.
  // Segments in between, and bytes behind that position, are void.
  uint64_t previous_sequence = 0;
  uint64_t previous_end = 0;
  // Everything before this position was durable before the file got its name.
  uint64_t named_end = 0;
  uint32_t salt = 0;
  uint32_t previous_crc = 0;  // payload_crc of the last record of the segment before
  // Made by --recover=peers: `marks` overrule what earlier segments say. Otherwise they repeat it.
  bool recovered = false;
  Marks marks;

  // Where records begin.
  uint64_t HeaderBytes() const;
};

// The header, padded to HeaderBytes().
std::string EncodeSegmentHeader(const SegmentHeader& header);

// HeaderBytes() of the header that begins with these kHeaderFixedBytes.
// DATA_LOSS: the reason. FAILED_PRECONDITION: a newer format.
absl::StatusOr<uint64_t> DecodeHeaderBytes(std::string_view fixed);
// `bytes` has at least HeaderBytes(). The same errors.
absl::StatusOr<SegmentHeader> DecodeSegmentHeader(std::string_view bytes);

// Distinguishes the records of one segment from those of any other place: derived, not random, so
// that a simulated run can be repeated.
uint32_t SegmentSalt(const Identity& identity, uint64_t sequence, uint64_t base_lsn,
                     uint32_t previous_crc);

// "%016x.wal"
std::string SegmentName(uint64_t sequence);
std::optional<uint64_t> ParseSegmentName(std::string_view name);
// "%016x.free": a zero-filled file that may become a segment. Worth nothing after a restart.
std::string FreeName(uint64_t number);
bool IsLeftoverName(std::string_view name);  // FreeName, or ends in ".tmp"
std::string JoinPath(const std::string& directory, const std::string& name);

}  // namespace dqueue::storage
