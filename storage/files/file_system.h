// The interface through which storage uses files. PosixFileSystem() is the production
// implementation. FaultFileSystem (storage/testing) is a disk in memory with faults, for tests and
// the simulator.
//
// FileSystem is thread-safe. A File is used by one thread at a time.
//
// An error message has the path and errno's text. Codes: ENOSPC and EDQUOT are RESOURCE_EXHAUSTED,
// ENOENT is NOT_FOUND, EEXIST is ALREADY_EXISTS, EACCES, EPERM and EROFS are PERMISSION_DENIED, a
// lock that is held is FAILED_PRECONDITION, and all others are INTERNAL.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dqueue::storage {

// A multiple of the block size of every supported disk; a power of two.
inline constexpr uint64_t kDirectAlignment = 4096;

class File {
 public:
  virtual ~File() = default;
  // Reads out.size() bytes, or fewer at the end of the file. Returns the number read.
  virtual absl::StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> out) const = 0;
  // Writes all of `data` or fails; a failed write may have written a part. The file grows as
  // needed. Not durable before Sync().
  virtual absl::Status WriteAt(uint64_t offset, std::span<const char> data) = 0;
  // From now on WriteAt() bypasses the page cache, if the file system supports it. This saves a
  // copy and a later writeback. Offset, size and address of the data must then be multiples of
  // kDirectAlignment. WriteAt() is still not durable before Sync().
  virtual void WriteDirectly() = 0;
  // Makes data and size durable (fdatasync). After a failure the state of every unsynced byte is
  // unknown, and a retry is not safe.
  virtual absl::Status Sync() = 0;
  // WriteAt() and Sync() together, with one system call where supported. Only `data` is certain to
  // become durable, so nothing else may be unsynced.
  virtual absl::Status WriteAndSync(uint64_t offset, std::span<const char> data) {
    absl::Status written = WriteAt(offset, data);
    return written.ok() ? Sync() : written;
  }
  virtual absl::StatusOr<uint64_t> Size() const = 0;
};

// The lock is released by the destructor or by the end of the process.
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
  // Opens an existing file for reading and writing.
  virtual absl::StatusOr<std::unique_ptr<File>> OpenForWrite(const std::string& path) = 0;
  // Creates the file with mode 0600, or empties it. Not durable before Sync() and SyncDirectory().
  virtual absl::StatusOr<std::unique_ptr<File>> Create(const std::string& path) = 0;
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  virtual absl::Status Remove(const std::string& path) = 0;
  // Sorted by name; without "." and "..".
  virtual absl::StatusOr<std::vector<DirectoryEntry>> List(const std::string& directory) = 0;
  // Creates the directory and its parents with mode 0700. No error if it exists. Durable on return,
  // also if an earlier process created it and died before it was durable.
  virtual absl::Status CreateDirectory(const std::string& path) = 0;
  // Makes creations, renames and removals of names in the directory durable.
  virtual absl::Status SyncDirectory(const std::string& path) = 0;
  virtual absl::StatusOr<bool> Exists(const std::string& path) = 0;
  // Takes an exclusive lock on a file. Creates the file if needed and writes the process id into
  // it.
  virtual absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) = 0;
  virtual absl::StatusOr<uint64_t> FreeBytes(const std::string& directory) = 0;
  // The size of the volume that holds the directory.
  virtual absl::StatusOr<uint64_t> TotalBytes(const std::string& directory) = 0;
};

// The operating system's file system. Stateless.
FileSystem& PosixFileSystem();

}  // namespace dqueue::storage
