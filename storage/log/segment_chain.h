// Which files of a directory make up the log, by their names and headers alone.
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
  std::optional<SegmentHeader> header;  // nullopt: `problem` says why
  std::string problem;
  uint64_t problem_offset = 0;
  bool impossible = false;  // as ScanStop::impossible, of `problem`
  // The path of a segment that should be between this link and the next, and is not there.
  std::optional<std::string> missing_after;
};

struct SegmentChain {
  Identity identity;
  std::vector<ChainLink> links;  // oldest first; not empty
  uint64_t next_sequence = 1;    // above all segments
  // Segments that a later one steps over: see SegmentHeader::previous_sequence.
  std::vector<std::string> void_paths;
  // Files that never became segments.
  std::vector<std::string> leftover_paths;
};

// NOT_FOUND: there is no log. FAILED_PRECONDITION: "FILE:0: … needs a newer dqueue".
absl::StatusOr<SegmentChain> ReadSegmentChain(FileSystem& fs, const std::string& directory);

// The header at the beginning of a segment file. Errors as of DecodeSegmentHeader.
absl::StatusOr<SegmentHeader> ReadSegmentHeader(const File& file);

}  // namespace dqueue::storage
