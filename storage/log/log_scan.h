// Reads a whole log: its valid records, and the first position where it is not valid. Changes
// nothing. recovery_decision.h decides what to do with the result.
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

// The first position that does not hold the next record.
struct ScanStop {
  LogDamage damage;
  uint64_t lsn = 0;
  // The bytes are intact, but a correct program would not have written them here. Recovery always
  // refuses.
  bool inconsistent = false;
};

struct LogScan {
  Identity identity;
  // The segments of the log, oldest first.
  std::vector<std::shared_ptr<Segment>> segments;
  // The log up to `end`: all valid records, or those before `stop`.
  LogState state;
  EntryIndex entries;
  std::map<raft::Index, raft::Entry> config_entries;
  LogEnd end;  // segment == nullptr: no segment is usable
  uint64_t records = 0;
  bool clean_shutdown = false;  // the last record is CLEAN_SHUTDOWN

  std::optional<ScanStop> stop;  // nullopt: only zeros follow `end`
  uint64_t durable_lsn = 0;      // D: the highest durable position that a valid header names
  uint64_t torn_bytes = 0;  // from `end` to the last byte that is not zero, in the last segment

  uint64_t next_sequence = 1;               // above all segments
  std::vector<std::string> leftover_paths;  // files that never became segments
};

// NOT_FOUND: there is no log. FAILED_PRECONDITION: "FILE:0: … needs a newer dqueue". Other errors
// are those of FileSystem. Damage is part of the result, not an error. `line`, if set, gets one
// line for each segment and record.
absl::StatusOr<LogScan> ScanLog(FileSystem& fs, const std::string& directory,
                                uint64_t max_entry_bytes,
                                const std::function<void(const std::string&)>& line);

}  // namespace dqueue::storage
