// The one write-ahead log: entries, term and vote, compaction and snapshot marks. docs/storage.md
// has the format.
//
// Threads: Submit() is called by the node's loop and never blocks; Poll() does the writing, on the
// log thread (or the simulator's turn); ReadEntries() may be called from any thread.
// PrepareSegments() runs on a third thread.
//
// Promises: writes become durable in the order of Submit. When on_durable(token) is called, that
// write and all before it survive a crash of process and machine. After a crash, Open() finds a
// prefix of what was submitted that contains everything that was reported durable, or says exactly
// what is damaged and refuses. Any failed write, sync, rename or directory sync is returned once,
// and the log is unusable from then on: the caller must end the process (a sync is never retried).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/histogram.h"
#include "raft/raft.h"
#include "raft/types.h"
#include "storage/files/file_system.h"

namespace dqueue::storage {

// Whose log this is. Repeated in each segment's header; a log of somebody else is refused.
struct Identity {
  raft::ClusterId cluster;
  raft::NodeId node;
  raft::Incarnation incarnation;
  std::string node_name;  // for messages; at most 128 bytes
  friend bool operator==(const Identity&, const Identity&) = default;
};

struct LogOptions {
  uint64_t segment_bytes = 64 << 20;  // 64 KiB (tests, simulator) to 1 GiB, multiple of 4096
  int prepared_segments = 2;          // kept zero-filled ahead of use; 0 to 64
  // Of one entry's payload. A larger length in a record header is damage. At most
  // segment_bytes * 3/4 - 8 KiB, so that it fits a segment beside the largest header.
  uint64_t max_entry_bytes = 20 << 20;
  // Damage below the durable mark: false refuses; true keeps the undamaged prefix, if the hard
  // state is certain, and says so in RecoveredLog::damaged_from, so that the node runs without a
  // vote until it has caught up.
  bool recover_from_peers = false;
  // Empty if valid, else a sentence that names the field, its value and the limit.
  std::string Problem() const;
};

// One durable step of the node: an Output's writes, or a mark. Written in this order.
struct LogWrite {
  raft::Token token;  // 0: nobody waits for it by token
  std::optional<raft::HardState> hard_state;
  // A local snapshot is complete in the store. Without effect if a newer one is known (it may have
  // been received while this one was made).
  std::optional<raft::SnapshotMeta> snapshot;
  // An installed snapshot replaces the log: the next entry is meta.index + 1.
  std::optional<raft::SnapshotMeta> reset;
  // Contiguous; a first index not above the last supersedes the old tail.
  std::vector<raft::Entry> entries;
  // Entries up to here may be dropped: whole older segments are removed.
  // At most the snapshot's index; one at or below an earlier mark has no effect.
  std::optional<raft::Index> compact_to;
  // After recover_from_peers: the node has caught up and may vote. Until this is durable, every
  // Open() reports damaged_from again.
  bool whole = false;
};

struct RecoveredLog {
  raft::Recovered raft;  // ready for the core
  bool clean_shutdown = false;
  uint64_t torn_bytes = 0;  // cut from the tail: never promised to anybody
  uint64_t bytes = 0;       // of entries kept
  // The first index that was promised and is lost: this Open() or an earlier one ran with
  // recover_from_peers, and no LogWrite::whole came since.
  std::optional<raft::Index> damaged_from;
};

struct LogStats {
  uint64_t syncs = 0;
  uint64_t written_bytes = 0;
  uint64_t entries = 0;
  uint64_t segments = 0;
  uint64_t live_bytes = 0;  // of entries after the compaction point
  Histogram sync_time;      // of writing and syncing a batch
};

class Log : public raft::LogReader {
 public:
  ~Log() override = default;

  // Makes a new log in `directory` (created if missing; must hold no log): identity, hard state and
  // entries are durable when this returns. A crash in the middle leaves either nothing that
  // Exists() or a complete log.
  static absl::Status Format(FileSystem& fs, const std::string& directory, const Identity& identity,
                             const raft::HardState& hard_state,
                             const std::vector<raft::Entry>& entries, const LogOptions& options);
  // Whether a formatted log is there.
  static absl::StatusOr<bool> Exists(FileSystem& fs, const std::string& directory);
  // The identity in the newest readable header, without opening for write.
  static absl::StatusOr<Identity> ReadIdentity(FileSystem& fs, const std::string& directory);

  // Recovers. A torn tail is cut; temporary files are removed. DATA_LOSS: "FILE:OFFSET: reason;
  // what to do".
  static absl::StatusOr<std::unique_ptr<Log>> Open(FileSystem& fs, const std::string& directory,
                                                   const LogOptions& options,
                                                   RecoveredLog* recovered);

  // Called on the thread of Poll().
  virtual void OnDurable(std::function<void(raft::Token)> callback) = 0;
  // Called (any thread) when Submit() gives Poll() something to do.
  virtual void OnWork(std::function<void()> callback) = 0;

  virtual void Submit(LogWrite write) = 0;
  // Writes and syncs everything submitted so far as one batch (while one sync runs, the next batch
  // forms). False: there was nothing to do.
  virtual absl::StatusOr<bool> Poll() = 0;
  // Makes the next zero-filled segment if fewer than prepared_segments are ready. False: nothing to
  // do. RESOURCE_EXHAUSTED: the disk is full; may be tried again later. Other errors are final.
  virtual absl::StatusOr<bool> PrepareSegments() = 0;
  // Bytes of current and prepared segments that are still free. What is written without more space
  // from the file system is at most that: records have headers (40 bytes, and 24 for an entry), and
  // one that does not fit what is left of a segment goes to the next.
  virtual uint64_t ReservedBytes() const = 0;
  // Writes what was submitted and the clean-shutdown mark. No Submit() afterwards.
  virtual absl::Status Close() = 0;

  virtual LogStats stats() const = 0;
  virtual const Identity& identity() const = 0;
};

// ---- Offline, read-only
// ----------------------------------------------------------------------------------------

// What is wrong, and where.
struct LogDamage {
  std::string file;
  uint64_t offset = 0;
  std::string reason;
};
struct LogReport {
  Identity identity;
  raft::Recovered raft;
  std::vector<std::string> segments;
  uint64_t records = 0;
  uint64_t torn_bytes = 0;
  bool clean_shutdown = false;
  std::optional<LogDamage> damage;  // acknowledged data: not a torn tail
};
// Reads a log as Open() would, changing nothing. `line`, if set, is called with one readable line
// for each record.
absl::StatusOr<LogReport> InspectLog(FileSystem& fs, const std::string& directory,
                                     const std::function<void(const std::string&)>& line);

}  // namespace dqueue::storage
