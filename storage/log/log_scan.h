// Reads a whole log and says what is in it, what of it can be believed, and where it stops making
// sense. Changes nothing. What to do about it is decided in recovery_decision.h.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/files/file_system.h"
#include "storage/log/entry_index.h"
#include "storage/log/log.h"
#include "storage/log/log_state.h"
#include "storage/log/log_writer.h"
#include "storage/log/segment_header.h"

namespace dqueue::storage {

// The first place where the log is not what was written.
struct ScanStop {
  LogDamage damage;
  uint64_t lsn = 0;
  // Not a matter of lost bytes: whole and well-formed, but nothing this program would have written
  // here. Never cut, never skipped.
  bool impossible = false;
};

struct LogScan {
  Identity identity;
  // The segments that make up the log, oldest first.
  std::vector<std::shared_ptr<Segment>> segments;
  // Everything up to `end`: all valid records of the log, or those before `stop`.
  LogState state;
  EntryIndex entries;
  std::map<raft::Index, raft::Entry> config_entries;
  LogEnd end;  // segment == nullptr: not even one segment can be used
  uint64_t records = 0;
  bool clean_shutdown = false;  // the last record says so

  std::optional<ScanStop> stop;  // nullopt: behind `end` there are only zeros
  uint64_t durable_lsn = 0;      // the highest that any valid header names (D)
  uint64_t torn_bytes = 0;  // from `end` to the last byte that is not zero, in the last segment

  // What can still be read behind `stop`, for recover_from_peers.
  raft::HardState newest_hard_state;
  bool hard_state_certain = false;  // no newer one can have been in what is unreadable below D
  raft::SnapshotMeta newest_snapshot;
  CompactMark newest_compacted;
  uint64_t next_sequence = 1;  // above all segments
  uint64_t next_base_lsn = 0;  // above all positions

  std::vector<std::string> leftover_paths;  // files that never became segments
};

// NOT_FOUND: there is no log. FAILED_PRECONDITION: "FILE:0: … needs a newer dqueue". Otherwise only
// what FileSystem calls return; damage is in the result.
// `line`, if set, gets one line for each segment and record.
absl::StatusOr<LogScan> ScanLog(FileSystem& fs, const std::string& directory,
                                uint64_t max_entry_bytes,
                                const std::function<void(const std::string&)>& line);

}  // namespace dqueue::storage
