// The one seam between storage and the machine. PosixFileSystem in production; the simulator has
// its own, which loses unsynced data and directory entries, tears sectors, fails and fills up. All
// calls may be made from any thread, but a File is used by one thread at a time. Errors carry the
// path and errno's text; ENOSPC is RESOURCE_EXHAUSTED, ENOENT is NOT_FOUND, EEXIST is
// ALREADY_EXISTS, a lock that is held is FAILED_PRECONDITION, everything else INTERNAL or
// PERMISSION_DENIED.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dqueue::storage {

// A power of two that no disk's block exceeds.
inline constexpr uint64_t kDirectAlignment = 4096;

class File {
 public:
  virtual ~File() = default;
  // Reads up to out.size() bytes; fewer only at the end of the file.
  virtual absl::StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> out) const = 0;
  // Writes all of it or fails; the file grows as needed. Not durable before Sync().
  virtual absl::Status WriteAt(uint64_t offset, std::span<const char> data) = 0;
  // From now on WriteAt() goes past the machine's page cache, where the file system can do that: a
  // copy and a writeback less. Offset, size and address of what is written must then be multiples
  // of kDirectAlignment. Not durable before Sync() either.
  virtual void WriteDirectly() = 0;
  // Makes data and size durable (fdatasync). After a failure nothing is known about any unsynced
  // byte.
  virtual absl::Status Sync() = 0;
  // WriteAt() and Sync() in one, for which the machine may need one call instead of two. Requires
  // that nothing was written since the last sync: only these bytes are sure to become durable.
  virtual absl::Status WriteAndSync(uint64_t offset, std::span<const char> data) {
    absl::Status written = WriteAt(offset, data);
    return written.ok() ? Sync() : written;
  }
  virtual absl::StatusOr<uint64_t> Size() const = 0;
};

// Held until destroyed (or the process ends).
class FileLock {
 public:
  virtual ~FileLock() = default;
};

struct DirectoryEntry {
  std::string name;
  uint64_t size = 0;
  bool regular = true;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual absl::StatusOr<std::unique_ptr<File>> OpenForRead(const std::string& path) = 0;
  // The file must exist.
  virtual absl::StatusOr<std::unique_ptr<File>> OpenForWrite(const std::string& path) = 0;
  // Creates the file, or empties it. Mode 0600. Not durable before Sync() and SyncDirectory().
  virtual absl::StatusOr<std::unique_ptr<File>> Create(const std::string& path) = 0;
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  virtual absl::Status Remove(const std::string& path) = 0;
  // Sorted by name; without "." and "..".
  virtual absl::StatusOr<std::vector<DirectoryEntry>> List(const std::string& directory) = 0;
  // With its parents, mode 0700; no error if it exists. Durable when this returns.
  virtual absl::Status CreateDirectory(const std::string& path) = 0;
  // Makes creations, renames and removals in the directory durable.
  virtual absl::Status SyncDirectory(const std::string& path) = 0;
  virtual absl::StatusOr<bool> Exists(const std::string& path) = 0;
  // Takes an exclusive lock on a file (made if needed, and holding this process's id).
  virtual absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) = 0;
  virtual absl::StatusOr<uint64_t> FreeBytes(const std::string& directory) = 0;
};

// The real one. Stateless.
FileSystem& PosixFileSystem();

}  // namespace dqueue::storage
