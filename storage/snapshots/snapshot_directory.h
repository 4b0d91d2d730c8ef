// The files in the directory of a snapshot store: manifests and data files. Manifests are added and
// removed so that a crash leaves each snapshot complete or absent. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/files/file_system.h"
#include "storage/snapshots/snapshot_store.h"

namespace dqueue::storage {

class SnapshotDirectory {
 public:
  SnapshotDirectory(FileSystem& fs, std::string path) : fs_(fs), path_(std::move(path)) {}

  // Creates the directory if missing and reads all manifests. While a manifest is unreadable, no
  // file is removed as unreferenced, because that manifest may need it.
  absl::Status Load();
  // Protects the files of a partial copy from RemoveUnreferenced(). Replaces the earlier set.
  void Protect(std::set<std::string> names) { protected_ = std::move(names); }
  // Removes data files and temporary files that neither a manifest nor Protect() names.
  absl::Status RemoveUnreferenced();

  FileSystem& fs() const { return fs_; }
  std::string PathOf(const std::string& name) const;

  // The readable manifests, sorted by index.
  std::vector<Manifest> List() const;
  const std::vector<UnreadableManifest>& unreadable() const { return unreadable_; }
  // Deletes the unreadable manifests of snapshots before `index`, durably.
  absl::Status DeleteUnreadable(raft::Index index);
  const Manifest* Find(const raft::SnapshotMeta& meta) const;
  // True if a listed snapshot has a file with this name, size and checksum.
  bool Has(const SnapshotFile& file) const;

  // Returns an unused name "<index>-<n>.data". It stays reserved until RemoveUnused().
  std::string ReserveName(raft::Index index);
  // Removes those of the files that neither a manifest nor Protect() names. Missing files are no
  // error.
  absl::Status RemoveUnused(const std::vector<SnapshotFile>& files);

  // Adds a manifest. Requires synced data files. Makes their names durable, then writes the
  // manifest. Replaces a manifest of the same index and term. RESOURCE_EXHAUSTED: nothing has
  // changed.
  absl::Status Publish(const Manifest& manifest);
  // Deletes a manifest durably, then its files.
  absl::Status Delete(const Manifest& manifest);

  // Writes a whole small file: temporary name, sync, rename. Not durable before Sync().
  absl::Status WriteSmall(const std::string& name, std::string_view bytes);
  absl::StatusOr<std::string> ReadSmall(const std::string& name) const;
  absl::Status Sync() { return fs_.SyncDirectory(path_); }

  // An error after a failed write or sync; nothing is written from then on.
  absl::Status Usable() const;
  // Records an error as final, unless it is RESOURCE_EXHAUSTED. Returns `status`.
  absl::Status Fail(absl::Status status);

 private:
  using Key = std::pair<raft::Index, raft::Term>;
  std::set<std::string> NamesInUse() const;

  FileSystem& fs_;
  const std::string path_;
  std::map<Key, Manifest> manifests_;
  std::set<std::string> reserved_;  // data files that exist or are reserved
  std::set<std::string> protected_;
  std::vector<UnreadableManifest> unreadable_;
  bool failed_ = false;
};

// Verifies size and checksum of a file. DATA_LOSS: "FILE: reason".
absl::Status VerifySnapshotFile(FileSystem& fs, const std::string& path, const SnapshotFile& file);

std::string ManifestName(const raft::SnapshotMeta& meta);

}  // namespace dqueue::storage
