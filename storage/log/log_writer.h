// Turns records into synced bytes: the one place that writes segments. Used by the log thread only.
//
// A batch is any number of Add…() and one Commit(). A segment that is full is synced before the
// next one gets its name, and a segment gets its name (rename, directory sync) only when its header
// and first records are durable: so a file that is there was complete once, and the existence of a
// segment proves that everything before it was durable. After an error nothing more may be written.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "storage/files/aligned_buffer.h"
#include "storage/files/file_system.h"
#include "storage/log/entry_index.h"
#include "storage/log/log.h"
#include "storage/log/log_state.h"
#include "storage/log/record.h"
#include "storage/log/segment_header.h"
#include "storage/log/segment_pool.h"

namespace dqueue::storage {

// Where the last record of the log ends.
struct LogEnd {
  SegmentHeader header;              // of the segment that holds it
  std::shared_ptr<Segment> segment;  // nullptr: there is no segment yet
  uint64_t offset = 0;               // in the segment; end of its header if it has no record
  uint32_t crc = 0;                  // payload_crc of the last record
};

class LogWriter {
 public:
  // A change of the index of entries, to be published when it is durable.
  struct Change {
    enum Kind { kEntry, kReset, kCompact } kind;
    raft::Index index;
    std::shared_ptr<Segment> segment;  // kEntry
    EntryIndex::Place place;           // kEntry
  };

  LogWriter(FileSystem& fs, std::string directory, const LogOptions& options, SegmentPool* pool);

  // Goes on after `end`, everything before which is durable. `file` is open for writing.
  absl::Status Continue(const LogEnd& end, std::unique_ptr<File> file, const LogState& state);
  // Begins a segment as the first of a log, or, with `previous`, as its next.
  struct Beginning {
    Identity identity;
    uint64_t sequence = 1;
    uint64_t base_lsn = 0;
    uint64_t previous_sequence = 0;
    uint64_t previous_end = 0;
    uint32_t previous_crc = 0;
    bool recovered = false;
  };
  absl::Status Begin(const Beginning& beginning, const LogState& state);

  // All the records of one LogWrite, in their order.
  absl::Status Add(const LogWrite& write);
  absl::Status AddCleanShutdown();
  // Everything added is durable when this returns, and so are the names of new segments. Without
  // effect if nothing was added.
  absl::Status Commit();

  // Since the last call: what Commit() made durable.
  std::vector<Change> TakeChanges();
  // New segments since the last call, open for reading.
  std::vector<std::shared_ptr<Segment>> TakeSegments();

  const LogState& state() const { return state_; }
  const std::shared_ptr<Segment>& current() const { return segment_; }
  uint64_t room() const { return header_.segment_bytes - offset_; }
  uint64_t durable_lsn() const { return durable_lsn_; }
  uint64_t written_bytes() const { return written_bytes_; }
  uint64_t syncs() const { return syncs_; }

 private:
  absl::Status AddRecord(RecordType type, std::string_view prefix, std::string_view data);
  absl::Status AddEntry(const raft::Entry& entry);
  absl::Status NextSegment();
  enum class Extent { kWholeBlocks, kAll };
  // Writes what has been added and not written. All of it: SyncCurrent() comes next.
  absl::Status Flush(Extent extent);
  absl::Status SyncCurrent();
  absl::Status NameCurrent();

  FileSystem& fs_;
  const std::string directory_;
  const LogOptions options_;
  SegmentPool* const pool_;

  LogState state_;
  SegmentHeader header_;
  std::shared_ptr<Segment> segment_;
  std::unique_ptr<File> file_;
  std::string unnamed_;   // path of the current segment while it has no name of its own
  uint64_t offset_ = 0;   // in the segment, of the next record
  uint64_t written_ = 0;  // in the segment; what is before it is in the file
  // The end of the segment, up to offset_: from the beginning of the block that holds written_.
  AlignedBuffer buffer_;
  uint64_t durable_lsn_ = 0;
  uint32_t previous_crc_ = 0;
  bool dirty_ = false;     // something was added since the last sync
  bool unsynced_ = false;  // something was written since the last sync

  std::vector<Change> changes_;
  std::vector<std::shared_ptr<Segment>> new_segments_;
  uint64_t written_bytes_ = 0;
  uint64_t syncs_ = 0;
};

}  // namespace dqueue::storage
