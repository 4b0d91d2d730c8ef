// From what a scan found to a log that can be written again.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/files/file_system.h"
#include "storage/log/log.h"
#include "storage/log/log_scan.h"
#include "storage/log/log_writer.h"
#include "storage/log/recovery_decision.h"

namespace dqueue::storage {

RecoverySituation SituationOf(const LogScan& scan, bool recover_from_peers);

// What the core is given.
raft::Recovered ToRecovered(const LogScan& scan);

// Does what the table says: makes the tail durable (what a scan can see may be only in memory, if
// just the process died, or if a sync failed before) and cuts what is behind it, or begins a new
// segment that says what --recover=peers kept. Afterwards `writer` can go on, `scan` describes the
// log as it now is, and *recovered is complete. May be interrupted at any point and run again.
// DATA_LOSS: "FILE:OFFSET: reason; what to do".
absl::Status RecoverLog(FileSystem& fs, const std::string& directory, const LogOptions& options,
                        LogScan& scan, LogWriter& writer, RecoveredLog* recovered);

}  // namespace dqueue::storage
