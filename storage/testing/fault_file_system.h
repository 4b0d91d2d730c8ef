// A file system in memory with the faults of real disks: it loses unsynced data, tears sectors,
// fails calls, fills up and flips bits. The same calls with the same seeds give the same bytes.
// Used by the tests of storage/ and by the simulator as the disk of each node.
//
// Readers see every write at once, as through a page cache. Durable are: bytes and size of a file
// after File::Sync(); names after SyncDirectory(); directories when CreateDirectory() returns.
//
// Crash() decides for each 512-byte sector written since the last sync, and for each directory
// operation since the last SyncDirectory(), whether it is kept, lost or torn. Of several pending
// versions of a sector, any may survive. Bytes that no pending write changed are never harmed: an
// append cannot damage synced bytes in the same sector.
//
// A failed Sync() (FailNth) loses its writes as on Linux: readers still see them, a later Sync()
// succeeds, and the next Crash() may drop them.
//
// To simulate the death of the process alone, destroy the objects that use the file system and
// create new ones.
//
// Thread-safe (one mutex).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/files/file_system.h"

namespace dqueue::storage {

// Kinds of calls that can be made to fail. kWrite is any WriteAt.
enum class DiskOp {
  kOpen,  // OpenForRead, OpenForWrite
  kRead,
  kCreate,
  kWrite,
  kSync,
  kRename,
  kRemove,
  kList,
  kCreateDirectory,
  kSyncDirectory,
  kLock,
  kAny,          // all kinds
  kAnyMutation,  // kCreate, kWrite, kSync, kRename, kRemove, kCreateDirectory, kSyncDirectory
};

class FaultFileSystem : public FileSystem {
 public:
  struct Counts {
    uint64_t mutations = 0;  // calls of kind kAnyMutation
    uint64_t writes = 0;
    uint64_t written_bytes = 0;
    uint64_t syncs = 0;
    uint64_t directory_syncs = 0;
  };

  FaultFileSystem();
  ~FaultFileSystem() override;
  FaultFileSystem(const FaultFileSystem&) = delete;
  FaultFileSystem& operator=(const FaultFileSystem&) = delete;

  // ---- FileSystem
  absl::StatusOr<std::unique_ptr<File>> OpenForRead(const std::string& path) override;
  absl::StatusOr<std::unique_ptr<File>> OpenForWrite(const std::string& path) override;
  absl::StatusOr<std::unique_ptr<File>> Create(const std::string& path) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& path) override;
  absl::StatusOr<std::vector<DirectoryEntry>> List(const std::string& directory) override;
  absl::Status CreateDirectory(const std::string& path) override;
  absl::Status SyncDirectory(const std::string& path) override;
  absl::StatusOr<bool> Exists(const std::string& path) override;
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) override;
  absl::StatusOr<uint64_t> FreeBytes(const std::string& directory) override;
  absl::StatusOr<uint64_t> TotalBytes(const std::string& directory) override;

  // ---- Crashes

  // Power loss. `seed` decides what happens to everything pending. Closes all files (existing File
  // objects fail from now on), releases all locks, clears FailNth and StopAfter.
  void Crash(uint64_t seed);
  // As Crash(), but keeps (true) or loses (false) everything pending.
  void CrashKeeping(bool pending);
  // Stops the machine after n more mutations. The next mutation takes effect in part (a write: a
  // prefix) or not at all. It and all later calls fail with UNAVAILABLE until Crash().
  void StopAfter(uint64_t n);
  bool stopped() const;
  // A deep copy with the same durable and pending state. It has no open files, locks or planned
  // failures.
  std::unique_ptr<FaultFileSystem> Clone() const;

  // ---- Failures

  // The n-th call of kind `op` from now (1: the next) fails with `status`. A failed write takes
  // effect in part; a failed sync loses its writes. Several failures may be planned.
  void FailNth(DiskOp op, uint64_t n, absl::Status status);
  // As FailNth, but counts only calls on paths that contain `part`.
  void FailNth(DiskOp op, uint64_t n, absl::Status status, std::string part);
  // Every call of kind `op` fails until ClearFailures().
  void FailAll(DiskOp op, absl::Status status);
  void ClearFailures();
  // Limits the total size of all files (default: no limit). A write beyond it takes effect in part
  // and returns RESOURCE_EXHAUSTED.
  void SetCapacity(uint64_t bytes);
  uint64_t UsedBytes() const;

  // ---- Damage and inspection. A missing file fails a check.

  // Flips bit `bit` (of byte bit / 8) in the visible and the durable content.
  void FlipBit(const std::string& path, uint64_t bit);
  // The visible content.
  std::string Bytes(const std::string& path) const;
  // The content that survives any crash now. NOT_FOUND if the name is not durable.
  absl::StatusOr<std::string> DurableBytes(const std::string& path) const;
  bool DurablyExists(const std::string& path) const;
  // Creates or replaces a file, durably. Creates its directory if missing.
  void PutFile(const std::string& path, std::string bytes);
  // Puts a non-regular file (such as a FIFO) at `path`, durably.
  void PutSpecial(const std::string& path);
  // All regular files that are visible, sorted.
  std::vector<std::string> Paths() const;
  Counts counts() const;

 private:
  class Handle;
  class HeldLock;
  struct Inode;
  struct Directory;
  struct PlannedFailure {
    DiskOp op;
    uint64_t remaining;  // 0: every call
    absl::Status status;
    std::string part;
  };
  using InodePtr = std::shared_ptr<Inode>;

  static constexpr uint64_t kSectorBytes = 512;

  // The functions below require mu_.
  absl::Status BeginCall(DiskOp op, const std::string& path, bool* half_done);
  Directory* FindDirectory(const std::string& directory);
  const Directory* FindDirectory(const std::string& directory) const;
  absl::StatusOr<InodePtr> Find(const std::string& path) const;
  absl::Status Write(Inode& inode, const std::string& path, uint64_t offset,
                     std::span<const char> data);
  absl::Status Store(Inode& inode, uint64_t offset, std::span<const char> data);
  void CrashLocked(std::optional<bool> keep, uint64_t seed);

  mutable std::mutex mu_;
  std::map<std::string, Directory> directories_;  // by normalised path; "" is the root
  std::set<std::string> locks_;
  std::vector<PlannedFailure> failures_;
  std::optional<uint64_t> mutations_left_;
  bool stopped_ = false;
  uint64_t epoch_ = 0;  // of open files; Crash() increments it
  uint64_t capacity_ = UINT64_MAX;
  Counts counts_;
};

}  // namespace dqueue::storage
