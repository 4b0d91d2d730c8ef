#include "storage/log/record_reader.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "storage/files/crc32c.h"
#include "storage/files/little_endian.h"

namespace dqueue::storage {
namespace {

constexpr uint64_t kSearchBytes = 4096;
constexpr size_t kAtLsn = 16;  // offset of lsn in a record header

bool AllZero(std::string_view bytes) {
  return bytes.empty() ||
         (bytes[0] == '\0' && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace

RecordReader::RecordReader(const File& file, const SegmentHeader& segment)
    : window_(file, segment.segment_bytes), base_lsn_(segment.base_lsn), salt_(segment.salt) {}

absl::StatusOr<RecordView> RecordReader::Read(uint64_t offset, uint64_t limit) {
  DQ_CHECK(offset <= limit && limit <= window_.size() && offset % kRecordAlignment == 0);
  RecordView view;
  if (limit - offset < kRecordHeaderBytes) {
    view.problem = "the segment ends";
    return view;
  }
  absl::StatusOr<std::string_view> bytes = window_.Get(offset, kRecordHeaderBytes);
  if (!bytes.ok()) return bytes.status();
  const std::optional<RecordHeader> header = DecodeRecordHeader(*bytes);
  if (!header) {
    view.problem =
        AllZero(*bytes) ? "zeros where a record was written" : "record header checksum mismatch";
    return view;
  }
  if (header->lsn != base_lsn_ + offset || header->salt != salt_) {
    view.problem = "the record is of another position or segment";
    return view;
  }
  if (RecordBytes(header->length) > limit - offset) {
    view.problem = "the record runs past the end of the segment";
    return view;
  }
  view.header = header;
  bytes = window_.Get(offset + kRecordHeaderBytes, header->length);
  if (!bytes.ok()) return bytes.status();
  if (bytes->size() != header->length || Crc32c(*bytes) != header->payload_crc) {
    view.problem = "payload checksum mismatch in a record of type " + RecordTypeName(header->type);
    return view;
  }
  view.payload = *bytes;
  return view;
}

absl::StatusOr<uint64_t> RecordReader::FindCandidate(uint64_t offset, uint64_t limit,
                                                     uint64_t* nonzero_end) {
  DQ_CHECK(offset % kRecordAlignment == 0);
  while (offset < limit) {
    const uint64_t piece = std::min(kSearchBytes, limit - offset);
    absl::StatusOr<std::string_view> bytes = window_.Get(offset, piece);
    if (!bytes.ok()) return bytes.status();
    if (bytes->size() < piece) return limit;  // the file was shortened
    if (!AllZero(*bytes)) {
      *nonzero_end = std::max(*nonzero_end, offset + bytes->find_last_not_of('\0') + 1);
      for (uint64_t at = 0; at + kRecordHeaderBytes <= piece; at += kRecordAlignment) {
        if (LoadU64(bytes->data() + at + kAtLsn) == base_lsn_ + offset + at) return offset + at;
      }
    }
    // A header may cross the border of two pieces, so they overlap.
    if (piece < kSearchBytes) return limit;
    offset += piece - kRecordHeaderBytes + kRecordAlignment;
  }
  return limit;
}

}  // namespace dqueue::storage
