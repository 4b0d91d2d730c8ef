// The files of a snapshot store: which manifests there are, which names are taken, and how a
// manifest comes and goes so that a crash leaves a whole snapshot or none. One thread at a time.
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

  // Makes the directory if missing and reads the manifests. A manifest that cannot be read keeps
  // all files from being cleaned up.
  absl::Status Load();
  // Files that belong to a partial copy: kept although no manifest names them, until this is called
  // with another set.
  void Protect(std::set<std::string> names) { protected_ = std::move(names); }
  // Removes every file of ours that nobody names.
  absl::Status RemoveUnnamed();

  FileSystem& fs() const { return fs_; }
  std::string PathOf(const std::string& name) const;

  // DATA_LOSS if a manifest cannot be read.
  absl::StatusOr<std::vector<Manifest>> List() const;
  const Manifest* Find(const raft::SnapshotMeta& meta) const;
  // A file of a listed snapshot with that name, size and checksum.
  bool Has(const SnapshotFile& file) const;

  // A name "<index>-<n>.data" that nobody has; taken until RemoveUnused().
  std::string TakeName(raft::Index index);
  // Those of the files that nobody names. Missing files are no error.
  absl::Status RemoveUnused(const std::vector<SnapshotFile>& files);

  // The data files are synced. Makes their names durable, then the manifest appear. It replaces one
  // of the same index and term. RESOURCE_EXHAUSTED: nothing has changed.
  absl::Status Publish(const Manifest& manifest);
  // The manifest is durably gone before its files go.
  absl::Status Withdraw(const Manifest& manifest);

  // Writes a small file whole: temporary name, sync, rename. Not durable before SyncDirectory().
  absl::Status WriteSmall(const std::string& name, std::string_view bytes);
  absl::StatusOr<std::string> ReadSmall(const std::string& name) const;
  absl::Status Sync() { return fs_.SyncDirectory(path_); }

  // After a failed write or sync nothing more is written.
  absl::Status Usable() const;
  // Notes a final error; RESOURCE_EXHAUSTED is not one.
  absl::Status Fail(absl::Status status);

 private:
  using Key = std::pair<raft::Index, raft::Term>;
  std::set<std::string> NamesInUse() const;

  FileSystem& fs_;
  const std::string path_;
  std::map<Key, Manifest> manifests_;
  std::set<std::string> taken_;  // names of data files that exist or may come to
  std::set<std::string> protected_;
  absl::Status unreadable_;  // the first manifest that could not be read
  bool failed_ = false;
};

// Checks the file's size and checksum. DATA_LOSS: "FILE: reason".
absl::Status VerifySnapshotFile(FileSystem& fs, const std::string& path, const SnapshotFile& file);

std::string ManifestName(const raft::SnapshotMeta& meta);

}  // namespace dqueue::storage
