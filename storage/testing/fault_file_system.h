// A disk in memory that does to files what real disks do: it forgets what was not synced, tears
// sectors, fails, fills up and rots. The same calls and the same seeds give the same bytes. Used by
// the tests of storage/ and, as the disk of every node, by the simulator.
//
// Model. Readers see every write at once (the page cache). Durable are: file bytes and size after
// File::Sync(); a directory's names after SyncDirectory(); directories themselves when
// CreateDirectory() returns. Crash() decides, for each 512-byte sector written since the last sync
// and for each directory operation since the last SyncDirectory(), whether it is kept, lost or
// torn. Bytes that no pending write changed are never harmed: an append cannot destroy its synced
// neighbour in the same sector. Several pending versions of one sector: any of them may survive.
// A failed Sync() (FailNth) loses its writes the way Linux does: readers still see them, a later
// Sync() succeeds, and the next Crash() may drop them.
//
// Killing only the process is: destroy the objects that use the file system, and build new ones.
//
// Threads: any (one mutex).
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

// The kinds of calls that can be told to fail. A write is any WriteAt.
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
  kAny,          // any of the above
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

  // ---- Crashes

  // The machine loses power: decides the fate of everything pending from `seed`, closes all files
  // (older File objects fail from now on), releases all locks, clears FailNth and StopAfter.
  void Crash(uint64_t seed);
  // As Crash(), but everything pending is kept (true) or lost (false).
  void CrashKeeping(bool pending);
  // The machine stops in the middle: of the mutations from now on, the first n are done, the next
  // is done in part (a write: a prefix) or not at all, and it and every later call of any kind
  // fails with UNAVAILABLE until Crash().
  void StopAfter(uint64_t n);
  bool stopped() const;
  // A deep copy with the same durable and pending state; no open files, locks or planned failures.
  std::unique_ptr<FaultFileSystem> Clone() const;

  // ---- Failures

  // The n-th call of that kind from now (1: the next) fails with `status`; a write has then been
  // done in part, a sync has lost what it should have made durable. Several may be planned.
  void FailNth(DiskOp op, uint64_t n, absl::Status status);
  // As FailNth, but only calls on paths that contain `part` count.
  void FailNth(DiskOp op, uint64_t n, absl::Status status, std::string part);
  // Every call of that kind fails until ClearFailures().
  void FailAll(DiskOp op, absl::Status status);
  void ClearFailures();
  // Bytes that all files together may have (default: no limit); a write that would need more is
  // done in part and is RESOURCE_EXHAUSTED.
  void SetCapacity(uint64_t bytes);
  uint64_t UsedBytes() const;

  // ---- Damage and tests' views. A missing file is a failed check.

  // Flips bit `bit` (of byte bit / 8) in what is seen and what is durable.
  void FlipBit(const std::string& path, uint64_t bit);
  // What readers see now.
  std::string Bytes(const std::string& path) const;
  // What would certainly survive a crash now. NOT_FOUND if the name is not durable.
  absl::StatusOr<std::string> DurableBytes(const std::string& path) const;
  bool DurablyExists(const std::string& path) const;
  // Makes or replaces a file, durable at once; its directory is made if missing.
  void PutFile(const std::string& path, std::string bytes);
  // Puts something there that is not a regular file (a FIFO, say), durable at once.
  void PutSpecial(const std::string& path);
  // All regular files (as seen now), sorted.
  std::vector<std::string> Paths() const;
  Counts counts() const;

 private:
  class Handle;
  class Lease;
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

  // All below: with mu_ held.
  absl::Status Admit(DiskOp op, const std::string& path, bool* half_done);
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
  uint64_t epoch_ = 0;  // of open files: Crash() ends them
  uint64_t capacity_ = UINT64_MAX;
  Counts counts_;
};

}  // namespace dqueue::storage
