// Recovery: turns the result of a scan into a log that can be written.
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

RecoverySituation SituationOf(const LogScan& scan);

// The input of raft::Raft.
raft::Recovered ToRecovered(const LogScan& scan);

// Carries out the decision of recovery_decision.h: makes the tail durable and zeroes the bytes
// after it, or refuses. The tail is rewritten because a scan may read bytes that are only in the
// page cache: the process died alone, or a sync failed. On success `writer` can write, `scan`
// describes the log as it is now, and *recovered is complete. If interrupted, it can be run again.
// DATA_LOSS: "FILE:OFFSET: reason; what to do".
absl::Status RecoverLog(FileSystem& fs, const std::string& directory, LogScan& scan,
                        LogWriter& writer, RecoveredLog* recovered);

}  // namespace dqueue::storage
