// Receives a snapshot in chunks. The file "receive.partial" records the manifest and the local file
// names, so that a transfer resumes after a restart. A file counts as received only when its
// checksum matches.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/snapshots/snapshot_directory.h"

namespace dqueue::storage {

class SnapshotReceiver {
 public:
  explicit SnapshotReceiver(SnapshotDirectory* directory) : directory_(*directory) {}

  // Reads receive.partial. Removes it if it is damaged or its snapshot is already listed.
  absl::Status Load();

  // The receiving functions of SnapshotStore.
  absl::StatusOr<raft::SnapshotCursor> Begin(const Manifest& manifest);
  absl::StatusOr<raft::SnapshotCursor> Store(raft::SnapshotCursor cursor, std::string_view data,
                                             uint32_t crc32c);
  absl::StatusOr<Manifest> Finish();

 private:
  struct Partial {
    Manifest remote;            // with the sender's file names
    Manifest local;             // with the local file names
    std::set<size_t> complete;  // files whose checksum matches
    bool resumed = false;       // `complete` and `cursor` are known; false just after a restart
    raft::SnapshotCursor cursor;
    std::unique_ptr<File> file;  // file at the cursor; nullptr: not open
    uint32_t crc = 0;            // of the bytes received of that file
  };

  absl::Status Start(const Manifest& manifest);
  // False if the partial copy must be dropped.
  absl::StatusOr<bool> Resume();
  void ProtectFiles();
  absl::Status SkipComplete();
  absl::Status FinishFile();
  absl::Status OpenCurrent();
  absl::Status Drop();
  absl::Status HandleError(absl::Status status);
  raft::SnapshotCursor Wanted() const { return partial_->cursor; }

  SnapshotDirectory& directory_;
  std::optional<Partial> partial_;
};

}  // namespace dqueue::storage
