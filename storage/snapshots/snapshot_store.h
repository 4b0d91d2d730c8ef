// The snapshots of one node on disk. A snapshot is a manifest and the immutable data files that it
// names, each with a checksum. Names: `snap/<index>-<term>.manifest` and `snap/<index>-<n>.data`.
// The manifest is written last (temporary name, sync, rename, directory sync), so a snapshot is
// complete or absent. Snapshots may share data files.
//
// Not thread-safe: the snapshot thread makes all calls.
//
// Errors: a failed write or sync is final, as in log.h. Only RESOURCE_EXHAUSTED while writing or
// receiving is not: that snapshot is dropped, and the store stays usable.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "raft/message.h"
#include "raft/types.h"
#include "storage/files/file_system.h"

namespace dqueue::storage {

struct SnapshotFile {
  std::string name;  // in the store's directory; [a-z0-9.-]{1,64}, not starting with '.'
  uint64_t size = 0;
  uint32_t crc32c = 0;  // of the whole file
  friend bool operator==(const SnapshotFile&, const SnapshotFile&) = default;
};

struct Manifest {
  raft::SnapshotMeta meta;
  uint64_t digest = 0;              // of the state that the snapshot restores
  std::vector<SnapshotFile> files;  // in the order in which they are read
  uint64_t TotalBytes() const;
  friend bool operator==(const Manifest&, const Manifest&) = default;
};
// Empty if the manifest can be encoded. Otherwise what is wrong, such as an index or a file name.
std::string ManifestProblem(const Manifest& manifest);
// Versioned, with a checksum. DATA_LOSS with the reason if the bytes are not a valid manifest.
std::string EncodeManifest(const Manifest& manifest);
absl::StatusOr<Manifest> DecodeManifest(std::string_view bytes);

// Writes one snapshot.
class SnapshotWriter {
 public:
  virtual ~SnapshotWriter() = default;  // without Commit(), removes the files
  virtual absl::Status Append(std::string_view bytes) = 0;
  // The snapshot is durable and listed on return.
  virtual absl::StatusOr<Manifest> Commit(uint64_t digest) = 0;
};

// A manifest that cannot be used.
struct UnreadableManifest {
  std::string name;     // in the store's directory
  std::string problem;  // "FILE: reason"
};

// Reads the data files of a snapshot as one stream. Verifies each file's checksum at its end.
class SnapshotReader {
 public:
  virtual ~SnapshotReader() = default;
  // Returns up to max_bytes; empty at the end of the snapshot. DATA_LOSS: "FILE: reason".
  virtual absl::StatusOr<std::string> Next(size_t max_bytes) = 0;
};

class SnapshotStore {
 public:
  virtual ~SnapshotStore() = default;
  // Creates the directory if missing. Removes temporary and unreferenced files. Snapshots are split
  // into data files of at most data_file_bytes.
  static absl::StatusOr<std::unique_ptr<SnapshotStore>> Open(FileSystem& fs,
                                                             const std::string& directory,
                                                             uint64_t data_file_bytes = 64 << 20);

  // All readable manifests, sorted by index.
  virtual std::vector<Manifest> List() const = 0;
  // The other ones. They do not prevent the use of the store; RemoveOld() deletes them.
  virtual std::vector<UnreadableManifest> Unreadable() const = 0;

  virtual absl::StatusOr<std::unique_ptr<SnapshotWriter>> Begin(const raft::SnapshotMeta& meta) = 0;
  virtual absl::StatusOr<std::unique_ptr<SnapshotReader>> Read(const Manifest& manifest) = 0;

  // For sending. Returns up to max_bytes (at least 1) of the file at the cursor. Sets *next to the
  // cursor after them; at the end of a file that is the start of the next file. Empty at the end of
  // a file and after the last one. At the start of a file, and when another file was read before,
  // verifies the whole file against its manifest, so that no chunk gets a checksum over damaged
  // bytes. INVALID_ARGUMENT if the cursor is outside the snapshot; NOT_FOUND if the file was
  // removed; DATA_LOSS: "FILE: reason".
  virtual absl::StatusOr<std::string> ReadChunk(const Manifest& manifest,
                                                raft::SnapshotCursor cursor, size_t max_bytes,
                                                raft::SnapshotCursor* next) = 0;

  // For receiving. Starts a transfer, or resumes one of the same manifest, also after a restart.
  // Returns the first cursor that is needed (cursor.file == files.size(): none). Files that the
  // store already has are not needed. Another manifest drops the earlier partial copy.
  // INVALID_ARGUMENT: see ManifestProblem().
  virtual absl::StatusOr<raft::SnapshotCursor> BeginReceive(const Manifest& manifest) = 0;
  // Stores `data` if `cursor` is the needed one; ignores it otherwise. crc32c is of `data`. Returns
  // the next needed cursor. DATA_LOSS: a checksum does not match. If it is the whole file's, the
  // file is needed again from its start.
  virtual absl::StatusOr<raft::SnapshotCursor> StoreChunk(raft::SnapshotCursor cursor,
                                                          std::string_view data,
                                                          uint32_t crc32c) = 0;
  // After the last byte: makes the snapshot durable and listed. The returned manifest has the local
  // file names. FAILED_PRECONDITION if more data is needed.
  virtual absl::StatusOr<Manifest> FinishReceive() = 0;

  // Removes all but the newest `count` snapshots, and data files that only the removed ones use.
  // Keeps the snapshot at index `keep`. Removes unreadable manifests of earlier snapshots.
  virtual absl::Status RemoveOld(size_t count, raft::Index keep) = 0;
  // Removes one snapshot, for example a damaged one. No effect if it is not listed.
  virtual absl::Status Remove(const Manifest& manifest) = 0;
};

}  // namespace dqueue::storage
