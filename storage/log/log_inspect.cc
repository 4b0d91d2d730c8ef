#include "storage/log/log.h"
#include "storage/log/log_recovery.h"
#include "storage/log/log_scan.h"

namespace dqueue::storage {

absl::StatusOr<LogReport> InspectLog(FileSystem& fs, const std::string& directory,
                                     const std::function<void(const std::string&)>& line) {
  // No limit on the entry size: the option may have been different when the entry was written.
  absl::StatusOr<LogScan> scan = ScanLog(fs, directory, UINT64_MAX, line);
  if (!scan.ok()) return scan.status();
  LogReport report;
  report.identity = scan->identity;
  report.raft = ToRecovered(*scan);
  for (const auto& segment : scan->segments) report.segments.push_back(segment->path);
  report.records = scan->records;
  report.clean_shutdown = scan->clean_shutdown;
  const RecoveryAction action = DecideRecovery(SituationOf(*scan));
  switch (action) {
    case RecoveryAction::kContinue:
      break;
    case RecoveryAction::kTruncateTail:
      report.torn_bytes = scan->torn_bytes;
      report.clean_shutdown = false;
      break;
    default:
      report.damage = scan->stop->damage;
      report.clean_shutdown = false;
  }
  return report;
}

}  // namespace dqueue::storage
