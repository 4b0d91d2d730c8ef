// Finds the segments that make up the log, from file names and segment headers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/files/file_system.h"
#include "storage/log/entry_index.h"
#include "storage/log/segment_header.h"

namespace dqueue::storage {

struct ChainLink {
  uint64_t sequence = 0;
  std::string path;
  uint64_t size = 0;
  std::shared_ptr<Segment> segment;     // open for reading; nullptr: not a regular file
  std::optional<SegmentHeader> header;  // nullopt: see `problem`
  std::string problem;
  uint64_t problem_offset = 0;
  bool inconsistent = false;  // `problem` is an inconsistency, as ScanStop::inconsistent
  // Path of a segment that is missing between this link and the next.
  std::optional<std::string> missing_after;
};

struct SegmentChain {
  Identity identity;
  std::vector<ChainLink> links;  // oldest first; not empty
  uint64_t next_sequence = 1;    // above all segments
  // Segments that a later one skips (SegmentHeader::previous_sequence).
  std::vector<std::string> void_paths;
  // Files that never became segments.
  std::vector<std::string> leftover_paths;
};

// NOT_FOUND: there is no log. FAILED_PRECONDITION: "FILE:0: … needs a newer dqueue".
absl::StatusOr<SegmentChain> ReadSegmentChain(FileSystem& fs, const std::string& directory);

// Reads the header at the start of a segment file. Errors as for DecodeSegmentHeader().
absl::StatusOr<SegmentHeader> ReadSegmentHeader(const File& file);

}  // namespace dqueue::storage
