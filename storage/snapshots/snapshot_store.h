// Snapshots on disk: each a manifest and the immutable, checksummed files it names. A chain of base
// and deltas and one full base look the same from here. Names: `snap/<index>-<term>.manifest`,
// `snap/<index>-<n>.data`; a manifest is written last (temporary name, sync, rename, directory
// sync), so a snapshot exists entirely or not at all.
//
// Threads: one thread at a time (the snapshot thread); Manifest readers only need the files. Errors
// of write and sync are final as in log.h, except RESOURCE_EXHAUSTED while writing or receiving,
// after which that snapshot is dropped.
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
  std::string name;  // within the store's directory; [a-z0-9.-]{1,64}
  uint64_t size = 0;
  uint32_t crc32c = 0;  // of the whole file
  friend bool operator==(const SnapshotFile&, const SnapshotFile&) = default;
};

struct Manifest {
  raft::SnapshotMeta meta;
  uint64_t digest = 0;              // of the state it restores
  std::vector<SnapshotFile> files;  // in the order in which they are read
  uint64_t TotalBytes() const;
  friend bool operator==(const Manifest&, const Manifest&) = default;
};
// Empty if EncodeManifest() may be called, else what is wrong: a name, sizes, the number of files.
std::string ManifestProblem(const Manifest& manifest);
// Versioned, with a checksum. DATA_LOSS with the reason if the bytes are not a valid manifest.
std::string EncodeManifest(const Manifest& manifest);
absl::StatusOr<Manifest> DecodeManifest(std::string_view bytes);

// Writes one new snapshot.
class SnapshotWriter {
 public:
  virtual ~SnapshotWriter() = default;  // without Commit(): the files are removed
  virtual absl::Status Append(std::string_view bytes) = 0;
  // Everything is durable when this returns.
  virtual absl::StatusOr<Manifest> Commit(uint64_t digest) = 0;
};

// Reads the concatenation of a snapshot's files, checking each file's checksum at its end.
class SnapshotReader {
 public:
  virtual ~SnapshotReader() = default;
  // Up to max_bytes more; empty at the end. DATA_LOSS: "FILE: reason".
  virtual absl::StatusOr<std::string> Next(size_t max_bytes) = 0;
};

class SnapshotStore {
 public:
  virtual ~SnapshotStore() = default;
  // Makes the directory if missing, removes temporary and unnamed files.
  // A snapshot is split into files of at most data_file_bytes.
  static absl::StatusOr<std::unique_ptr<SnapshotStore>> Open(FileSystem& fs,
                                                             const std::string& directory,
                                                             uint64_t data_file_bytes = 64 << 20);

  // Valid manifests, by index, oldest first. A manifest that does not decode is DATA_LOSS (its file
  // is named).
  virtual absl::StatusOr<std::vector<Manifest>> List() const = 0;

  virtual absl::StatusOr<std::unique_ptr<SnapshotWriter>> Begin(const raft::SnapshotMeta& meta) = 0;
  virtual absl::StatusOr<std::unique_ptr<SnapshotReader>> Read(const Manifest& manifest) = 0;

  // For sending: up to max_bytes (at least 1) of the file at the cursor; `*next` is the cursor
  // after them, which at a file's end is the next file's start. Empty: at a file's end, or after
  // the last file. INVALID_ARGUMENT if the cursor is outside.
  virtual absl::StatusOr<std::string> ReadChunk(const Manifest& manifest,
                                                raft::SnapshotCursor cursor, size_t max_bytes,
                                                raft::SnapshotCursor* next) = 0;

  // For receiving. Begins, or resumes (also after a restart) if the same manifest was being
  // received: the answer is what is wanted next (cursor.file == files.size(): nothing). Files that
  // are here already are not wanted. Another manifest drops the earlier partial copy.
  // INVALID_ARGUMENT: ManifestProblem().
  virtual absl::StatusOr<raft::SnapshotCursor> BeginReceive(const Manifest& manifest) = 0;
  // Stores bytes at exactly the wanted cursor (anything else is ignored); crc32c is of `data`. The
  // answer is the next wanted cursor. DATA_LOSS: checksum wrong; a whole file that fails its
  // checksum is dropped and wanted again.
  virtual absl::StatusOr<raft::SnapshotCursor> StoreChunk(raft::SnapshotCursor cursor,
                                                          std::string_view data,
                                                          uint32_t crc32c) = 0;
  // After the last byte: makes the snapshot durable and listed. Its manifest names the files as
  // they are called here. FAILED_PRECONDITION if something is still wanted.
  virtual absl::StatusOr<Manifest> FinishReceive() = 0;

  // Removes all snapshots but the newest `count` (and files only they use). Never the one at
  // `keep`.
  virtual absl::Status RemoveOld(size_t count, raft::Index keep) = 0;
};

}  // namespace dqueue::storage
