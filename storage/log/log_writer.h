// Writes records to segments and syncs them. Used only by the log thread.
//
// A batch is any number of Add…() calls and one Commit(). A full segment is synced before the next
// one is named. A segment is named (rename, directory sync) only when its header and first records
// are durable. So a named file was complete, and its existence proves that everything before it was
// durable. After an error nothing more may be written.
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

// The end of the last record of the log.
struct LogEnd {
  SegmentHeader header;              // of the segment that holds the record
  std::shared_ptr<Segment> segment;  // nullptr: no segment exists
  uint64_t offset = 0;               // in the segment; the end of the header if there is no record
  uint32_t crc = 0;                  // payload_crc of the last record
};

class LogWriter {
 public:
  // A change of the EntryIndex, published when it is durable.
  struct Change {
    enum Kind { kEntry, kReset, kCompact } kind;
    raft::Index index;
    std::shared_ptr<Segment> segment;  // kEntry
    EntryIndex::Location location;     // kEntry
  };

  LogWriter(FileSystem& fs, std::string directory, const LogOptions& options, SegmentPool* pool);

  // Continues after `end`; everything before it is durable. `file` is open for writing.
  absl::Status Continue(const LogEnd& end, std::unique_ptr<File> file, const LogState& state);
  // Starts a new segment: the first of a log, or the successor of previous_sequence.
  struct NewSegment {
    Identity identity;
    uint64_t sequence = 1;
    uint64_t base_lsn = 0;
    uint64_t previous_sequence = 0;
    uint64_t previous_end = 0;
    uint32_t previous_crc = 0;
  };
  absl::Status StartSegment(const NewSegment& new_segment, const LogState& state);

  // Adds all records of one LogWrite, in their order.
  absl::Status Add(const LogWrite& write);
  absl::Status AddCleanShutdown();
  // On return, everything added and the names of new segments are durable. No effect if nothing was
  // added.
  absl::Status Commit();

  // Returns the changes committed since the last call.
  std::vector<Change> TakeChanges();
  // Returns the segments started since the last call, open for reading.
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
  // Writes the part of the buffer that is not in the file. After kAll, SyncCurrent() must follow.
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
  std::string unnamed_;   // path of the current segment while it has its .free name; else empty
  uint64_t offset_ = 0;   // in the segment, of the next record
  uint64_t written_ = 0;  // in the segment; bytes before it are in the file
  // The bytes of the segment up to offset_, from the start of the block that contains written_.
  AlignedBuffer buffer_;
  uint64_t durable_lsn_ = 0;
  uint32_t previous_crc_ = 0;
  bool dirty_ = false;     // a record was added since the last sync
  bool unsynced_ = false;  // bytes were written since the last sync

  std::vector<Change> changes_;
  std::vector<std::shared_ptr<Segment>> new_segments_;
  uint64_t written_bytes_ = 0;
  uint64_t syncs_ = 0;
};

}  // namespace dqueue::storage
