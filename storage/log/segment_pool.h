// Keeps zero-filled files ready for new segments. Overwriting blocks that already exist needs no
// metadata in a sync, and cannot run out of space in the middle of a segment. Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/files/file_system.h"

namespace dqueue::storage {

// A zero-filled file. Its bytes are durable; its name is not. Open for direct writes.
struct FreeFile {
  std::string path;
  std::unique_ptr<File> file;
};

class SegmentPool {
 public:
  SegmentPool(FileSystem& fs, std::string directory, uint64_t segment_bytes, size_t target);

  // Makes one file if fewer than `target` are ready; false otherwise. RESOURCE_EXHAUSTED: no space;
  // the partial file is removed, and it may be tried again.
  absl::StatusOr<bool> Prepare();
  // Returns a ready file, or makes one.
  absl::StatusOr<FreeFile> Take();
  size_t ready() const;

 private:
  absl::StatusOr<FreeFile> Make();

  FileSystem& fs_;
  const std::string directory_;
  const uint64_t segment_bytes_;
  const size_t target_;
  mutable std::mutex mu_;
  std::deque<FreeFile> ready_;
  uint64_t next_number_ = 1;
};

}  // namespace dqueue::storage
