// Reads the records of one segment and describes what is wrong with an invalid one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "storage/files/file_window.h"
#include "storage/log/record.h"
#include "storage/log/segment_header.h"

namespace dqueue::storage {

struct RecordView {
  // Empty if the record is valid; otherwise what is wrong with it.
  std::string problem;
  // Set if the header is valid: checksum, position and salt match, and the length fits the segment.
  std::optional<RecordHeader> header;
  // Set if the record is valid. Usable until the next Read().
  std::string_view payload;
};

class RecordReader {
 public:
  // `file` must outlive this.
  RecordReader(const File& file, const SegmentHeader& segment);

  // Reads the record at `offset`. The record must end at or before `limit`.
  absl::StatusOr<RecordView> Read(uint64_t offset, uint64_t limit);
  // Finds the next offset in [offset, limit), a multiple of 8, at which a record header could
  // start; returns `limit` if there is none. Raises *nonzero_end to the end of the last nonzero
  // byte seen.
  absl::StatusOr<uint64_t> FindCandidate(uint64_t offset, uint64_t limit, uint64_t* nonzero_end);

 private:
  FileWindow window_;
  const uint64_t base_lsn_;
  const uint32_t salt_;
};

}  // namespace dqueue::storage
