// Reads records of one segment and says what is wrong with one that cannot be believed.
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
  // Empty: the whole record is what was written here.
  std::string problem;
  // Set if at least the header is: its checksum, position and salt hold, and its length fits.
  std::optional<RecordHeader> header;
  // If there is no problem; valid until the next Read().
  std::string_view payload;
};

class RecordReader {
 public:
  // `file` must outlive this.
  RecordReader(const File& file, const SegmentHeader& segment);

  // The record at `offset`, which must end at or before `limit`.
  absl::StatusOr<RecordView> Read(uint64_t offset, uint64_t limit);
  // The next place in [offset, limit) where a whole record's header might be, in steps of 8;
  // `limit` if there is none. *nonzero_end: after the last byte seen that is not zero, if any.
  absl::StatusOr<uint64_t> FindCandidate(uint64_t offset, uint64_t limit, uint64_t* nonzero_end);

 private:
  FileWindow window_;
  const uint64_t base_lsn_;
  const uint32_t salt_;
};

}  // namespace dqueue::storage
