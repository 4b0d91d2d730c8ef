// The third actor: everything that touches snapshot files, and the preparing of log segments. Jobs
// are queued by the loop and carried out by Poll(), on the snapshot thread, one at a time and in
// order. Results go back to the loop through the callbacks, which are called on the snapshot
// thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "queue/state/state_machine.h"
#include "raft/message.h"
#include "raft/raft.h"
#include "storage/log/log.h"
#include "storage/snapshots/snapshot_store.h"

namespace dqueue::node {

class SnapshotActor {
 public:
  struct Callbacks {
    // The local snapshot is durable, or (nullopt) was dropped because the disk is full.
    std::function<void(std::optional<storage::Manifest>)> written;
    // A request with manifest, data and checksum filled in, ready to be sent.
    std::function<void(raft::Message)> chunk_read;
    std::function<void(raft::SnapshotChunkStored)> chunk_stored;
    std::function<void(storage::Manifest, std::unique_ptr<queue::StateMachine>)> restored;
    std::function<void(uint64_t free_bytes, bool log_space_failed)> space;
    std::function<void(const absl::Status&)> fatal;
  };

  SnapshotActor(storage::FileSystem* fs, std::string data_dir,
                std::unique_ptr<storage::SnapshotStore> store, storage::Log* log,
                size_t chunk_bytes, std::function<void()> wake, Callbacks callbacks);

  // A local snapshot: Begin, then Append for each piece, then Commit (or Abandon).
  void BeginWrite(raft::SnapshotMeta meta);
  void AppendWrite(std::string bytes);
  void CommitWrite(uint64_t digest);
  void AbandonWrite();
  // Pieces queued and not yet written.
  size_t pending_writes() const { return pending_writes_.load(std::memory_order_relaxed); }

  // Fills the SnapshotRequest in `message`. Nothing is called back if that snapshot is gone.
  void ReadChunk(raft::Message message);
  void StoreChunk(raft::Message message);
  // Builds a new state machine from the snapshot with this place in the log.
  void Restore(raft::SnapshotMeta meta);
  void RemoveOld(raft::Index keep);
  void CheckSpace();

  bool Poll();

 private:
  void Add(std::function<void()> job);
  void ReadChunkJob(raft::Message* message);
  void StoreChunkJob(raft::Message* message);
  void RestoreJob(const raft::SnapshotMeta& meta);
  void CheckSpaceJob();
  absl::StatusOr<storage::Manifest> FindManifest(raft::Index index, raft::Term term);
  // Drops the snapshot being written when the disk is full; anything else is fatal.
  void WriteFailed(const absl::Status& status);

  storage::FileSystem* fs_;
  std::string data_dir_;
  std::unique_ptr<storage::SnapshotStore> store_;
  storage::Log* log_;
  size_t chunk_bytes_;
  std::function<void()> wake_;
  Callbacks callbacks_;

  std::mutex mutex_;
  std::deque<std::function<void()>> jobs_;
  std::atomic<size_t> pending_writes_{0};

  // On the snapshot thread only.
  std::unique_ptr<storage::SnapshotWriter> writer_;
  std::optional<storage::Manifest> sending_;
  bool prepare_failed_ = false;
};

// Builds a state machine from a snapshot's files.
absl::StatusOr<std::unique_ptr<queue::StateMachine>> RestoreSnapshot(
    storage::SnapshotStore* store, const storage::Manifest& manifest);

}  // namespace dqueue::node
