// A snapshot that arrives in chunks. What is wanted and under which names it is kept stands in the
// file "receive.partial", so that a transfer goes on after a restart. Bytes are believed only when
// a whole file's checksum holds.
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

  // Reads receive.partial; one that is damaged or no longer needed is removed.
  absl::Status Load();

  // As in SnapshotStore.
  absl::StatusOr<raft::SnapshotCursor> Begin(const Manifest& manifest);
  absl::StatusOr<raft::SnapshotCursor> Store(raft::SnapshotCursor cursor, std::string_view data,
                                             uint32_t crc32c);
  absl::StatusOr<Manifest> Finish();

 private:
  struct Partial {
    Manifest sent;           // as the sender calls the files
    Manifest kept;           // as they are called here
    std::set<size_t> whole;  // files whose checksum held
    bool resumed = false;    // `whole` and the cursor are known (not so just after a restart)
    raft::SnapshotCursor cursor;
    std::unique_ptr<File> file;  // at the cursor; nullptr: not created or opened yet
    uint32_t crc = 0;            // of its bytes so far
  };

  absl::Status Start(const Manifest& manifest);
  // False: the partial copy is worth nothing.
  absl::StatusOr<bool> Resume();
  void ProtectFiles();
  absl::Status SkipWhole();
  absl::Status FileDone();
  absl::Status OpenCurrent();
  absl::Status Drop();
  absl::Status Failed(absl::Status status);
  raft::SnapshotCursor Wanted() const { return partial_->cursor; }

  SnapshotDirectory& directory_;
  std::optional<Partial> partial_;
};

}  // namespace dqueue::storage
