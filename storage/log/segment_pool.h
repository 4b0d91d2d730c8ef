// Zero-filled files, made ahead of use: a log that only overwrites blocks that are on disk already
// needs no metadata in its syncs, and cannot run out of space in the middle of a segment.
// Thread-safe.
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

// Its bytes are zero and durable, its name is not. The file is written directly.
struct FreeFile {
  std::string path;
  std::unique_ptr<File> file;
};

class SegmentPool {
 public:
  SegmentPool(FileSystem& fs, std::string directory, uint64_t segment_bytes, size_t target);

  // Makes one more if fewer than the target are ready. False: there were enough.
  // RESOURCE_EXHAUSTED: no space; nothing is left behind, and it may be tried again.
  absl::StatusOr<bool> Prepare();
  // One that is ready, or a new one.
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
