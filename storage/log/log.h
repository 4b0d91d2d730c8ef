// The write-ahead log of one node. It holds log entries, term and vote, and marks for snapshots and
// compaction. docs/storage.md describes the format.
//
// Threads: the node's loop calls Submit(), which never blocks. The log thread calls Poll(), which
// writes. A third thread calls PrepareSegments(). Any thread may call ReadEntries(). In the
// simulator one thread makes all calls.
//
// Guarantees: writes become durable in the order of Submit(). When OnDurable's callback gets a
// token, that write and all earlier ones survive a crash of the process or the machine. After a
// crash, Open() recovers a prefix of the submitted writes that contains all durable ones. If it
// cannot, it refuses and names the damage.
//
// Errors: a failed write, sync, rename or directory sync is returned once and never retried. The
// log then accepts no writes, and the caller must end the process.
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

// Which node's log this is. Each segment header repeats it; Open() refuses segments of another log.
struct Identity {
  raft::ClusterId cluster;
  raft::NodeId node;
  raft::Incarnation incarnation;
  std::string node_name;  // for error messages; at most 128 bytes
  friend bool operator==(const Identity&, const Identity&) = default;
};

struct LogOptions {
  uint64_t segment_bytes = 64 << 20;  // 64 KiB (tests, simulator) to 1 GiB; multiple of 4096
  int prepared_segments = 2;          // zero-filled files to keep ready; 0 to 64
  // Limit for the payload of one entry. Open() refuses a log with a larger entry. At most
  // segment_bytes - 8 KiB - min(segment_bytes / 4, 1 MiB), so that an entry fits a segment with the
  // largest header.
  uint64_t max_entry_bytes = 20 << 20;
  // Empty if valid. Otherwise a sentence with the field, its value and the limit.
  std::string Problem() const;
};

// One request to the log: the writes of an Output, or a mark. Fields are written in this order. A
// crash before it is durable may leave a prefix of its records.
struct LogWrite {
  raft::Token token;  // 0: OnDurable does not report this write
  std::optional<raft::HardState> hard_state;
  // A local snapshot is complete in the store. Ignored if a newer one is known, because one was
  // received while this one was made.
  std::optional<raft::SnapshotMeta> snapshot;
  // A received snapshot replaces the log. The next entry is meta.index + 1.
  std::optional<raft::SnapshotMeta> reset;
  // Contiguous. If the first index is not above the last in the log, the old tail is superseded.
  std::vector<raft::Entry> entries;
  // Entries up to here may be discarded: segments that hold only such entries are removed. At most
  // the snapshot's index. Ignored if not above the earlier mark.
  std::optional<raft::Index> compact_to;
};

struct RecoveredLog {
  raft::Recovered raft;  // input of raft::Raft
  bool clean_shutdown = false;
  uint64_t torn_bytes = 0;  // removed from the tail; none of them were acknowledged
  uint64_t bytes = 0;       // size on disk of all entries
  // An earlier version cut this log with --recover=peers: acknowledged entries from here on may be
  // missing, and a vote with them. The node must not vote or count as a copy.
  std::optional<raft::Index> damaged_from;
};

struct LogStats {
  uint64_t syncs = 0;
  uint64_t written_bytes = 0;
  uint64_t entries = 0;
  uint64_t segments = 0;
  uint64_t live_bytes = 0;  // size on disk of the entries after the compaction point
  Histogram sync_time;      // time to write and sync one batch
};

class Log : public raft::LogReader {
 public:
  ~Log() override = default;

  // Creates a log in `directory`, which is created if missing and must not hold a log. Identity,
  // hard state and entries are durable on return. After a crash during Format() either Exists() is
  // false or the log is complete.
  static absl::Status Format(FileSystem& fs, const std::string& directory, const Identity& identity,
                             const raft::HardState& hard_state,
                             const std::vector<raft::Entry>& entries, const LogOptions& options);
  // True if `directory` holds a formatted log.
  static absl::StatusOr<bool> Exists(FileSystem& fs, const std::string& directory);
  // The identity in the newest readable segment header. Opens files only for reading.
  static absl::StatusOr<Identity> ReadIdentity(FileSystem& fs, const std::string& directory);

  // Recovers the log: removes a torn tail and leftover files. DATA_LOSS: "FILE:OFFSET: reason; what
  // to do".
  static absl::StatusOr<std::unique_ptr<Log>> Open(FileSystem& fs, const std::string& directory,
                                                   const LogOptions& options,
                                                   RecoveredLog* recovered);

  // `callback` runs on the thread of Poll().
  virtual void OnDurable(std::function<void(raft::Token)> callback) = 0;
  // `callback` runs on the thread of Submit(), when Poll() has something to do.
  virtual void OnWork(std::function<void()> callback) = 0;

  virtual void Submit(LogWrite write) = 0;
  // Writes and syncs everything submitted so far as one batch. Writes submitted during a sync form
  // the next batch. False if nothing was submitted.
  virtual absl::StatusOr<bool> Poll() = 0;
  // Makes one zero-filled file if fewer than prepared_segments are ready; false otherwise.
  // RESOURCE_EXHAUSTED: the disk is full; it may be tried again later. Other errors are final.
  virtual absl::StatusOr<bool> PrepareSegments() = 0;
  // Free bytes in the current segment and the prepared files. This much can be written without new
  // disk space, less overhead: 40 bytes for each record, 24 more for an entry, and the end of a
  // segment that is too short for the next record.
  virtual uint64_t ReservedBytes() const = 0;
  // Writes everything submitted and the clean-shutdown mark. Submit() must not be called
  // afterwards.
  virtual absl::Status Close() = 0;

  virtual LogStats stats() const = 0;
  virtual const Identity& identity() const = 0;
};

// ---- Offline, read-only

// A damaged place in the log.
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
  // Damage of acknowledged data. A torn tail is in torn_bytes instead.
  std::optional<LogDamage> damage;
};
// Reads a log as Open() would, but changes nothing. `line`, if set, gets one readable line for each
// record.
absl::StatusOr<LogReport> InspectLog(FileSystem& fs, const std::string& directory,
                                     const std::function<void(const std::string&)>& line);

}  // namespace dqueue::storage
