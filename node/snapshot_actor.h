// The third actor of a node: reads and writes snapshot files, prepares log segments, and measures
// free disk space.
//
// The loop queues jobs. Poll() runs them on the snapshot thread, one at a time and in order. The
// callbacks return results; they are called on the snapshot thread. A crash loses the queued jobs.
// A snapshot without a commit is not used after a restart.
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
    // The local snapshot is durable. nullopt: it was discarded because the disk is full.
    std::function<void(std::optional<storage::Manifest>)> written;
    // The message of ReadChunk() with manifest, data and checksum, to be sent.
    std::function<void(raft::Message)> chunk_read;
    // The result of StoreChunk().
    std::function<void(raft::SnapshotChunkStored)> chunk_stored;
    // The result of Restore().
    std::function<void(storage::Manifest, std::unique_ptr<queue::StateMachine>)> restored;
    // `log_space_failed`: a log segment could not be prepared because the disk is full.
    std::function<void(uint64_t free_bytes, bool log_space_failed)> space;
    // An error other than a full disk. The actor must not be polled again.
    std::function<void(const absl::Status&)> fatal;
  };

  SnapshotActor(storage::FileSystem* fs, std::string data_dir,
                std::unique_ptr<storage::SnapshotStore> store, storage::Log* log,
                size_t chunk_bytes, std::function<void()> wake, Callbacks callbacks);

  // Writes a local snapshot: BeginWrite, AppendWrite for each piece, then CommitWrite or
  // AbandonWrite.
  void BeginWrite(raft::SnapshotMeta meta);
  void AppendWrite(std::string bytes);
  void CommitWrite(uint64_t digest);
  void AbandonWrite();
  // The number of queued pieces. Any thread.
  size_t pending_writes() const { return pending_writes_.load(std::memory_order_relaxed); }

  // Fills in the SnapshotRequest in `message`. No callback if that snapshot was removed, or if the
  // cursor is out of its range.
  void ReadChunk(raft::Message message);
  // Stores the chunk of the SnapshotRequest in `message`.
  void StoreChunk(raft::Message message);
  // Frees `old`, then builds a new state machine from the snapshot with the index and term of
  // `meta`.
  void Restore(raft::SnapshotMeta meta, std::unique_ptr<queue::StateMachine> old);
  // Removes old snapshots. Keeps the two newest, and the one at `keep`.
  void RemoveOld(raft::Index keep);
  void CheckSpace();

  // Runs one job. Without jobs: prepares a log segment if the log needs one. True: poll again.
  bool Poll();

 private:
  void Add(std::function<void()> job);
  void ReadChunkJob(raft::Message* message);
  void StoreChunkJob(raft::Message* message);
  void RestoreJob(const raft::SnapshotMeta& meta);
  void CheckSpaceJob();
  absl::StatusOr<storage::Manifest> FindManifest(raft::Index index, raft::Term term);
  // Discards the snapshot that is being written if the disk is full. Other errors are fatal.
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

  // Used on the snapshot thread only.
  std::unique_ptr<storage::SnapshotWriter> writer_;
  std::optional<storage::Manifest> sending_;
  bool prepare_failed_ = false;
};

// Builds a state machine from a snapshot's files. DATA_LOSS: the files are damaged.
absl::StatusOr<std::unique_ptr<queue::StateMachine>> RestoreSnapshot(
    storage::SnapshotStore* store, const storage::Manifest& manifest);

}  // namespace dqueue::node
