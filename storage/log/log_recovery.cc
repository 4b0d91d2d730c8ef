#include "storage/log/log_recovery.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "storage/files/file_window.h"
#include "storage/log/mutants.h"

namespace dqueue::storage {
namespace {

constexpr uint64_t kPageBytes = 4096;

absl::Status Refuse(const LogScan& scan, RecoveryAction action) {
  DQ_CHECK(scan.stop.has_value());
  const LogDamage& damage = scan.stop->damage;
  return absl::DataLossError(damage.file + ":" + std::to_string(damage.offset) + ": " +
                             damage.reason + "; " + std::string(RecoveryAdvice(action)));
}

absl::Status RemoveAll(FileSystem& fs, const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    if (absl::Status s = fs.Remove(path); !s.ok()) return s;
  }
  return absl::OkStatus();
}

// Rewrites the bytes that no header names as durable, zeroes the bytes after them, and syncs.
// Existing bytes keep their value, so a crash during this is harmless.
absl::Status RewriteTail(File& file, const LogScan& scan) {
  const LogEnd& end = scan.end;
  const uint64_t base = end.header.base_lsn;
  const uint64_t size = end.header.segment_bytes;
  const uint64_t durable = std::max(scan.durable_lsn, base + end.header.HeaderBytes()) - base;
  DQ_CHECK(end.offset <= size);
  FileWindow window(*end.segment->reader, size);
  for (uint64_t at = std::min(durable, end.offset); at < end.offset;) {
    const uint64_t n = std::min(FileWindow::kPieceBytes, end.offset - at);
    absl::StatusOr<std::string_view> bytes = window.Get(at, n);
    if (!bytes.ok()) return bytes.status();
    DQ_CHECK(bytes->size() == n);
    if (absl::Status s = file.WriteAt(at, *bytes); !s.ok()) return s;
    at += n;
  }
  // Always zero the rest of the first page: bytes that read as zero may be different on the disk.
  const std::vector<char> zeros(kPageBytes, '\0');
  const uint64_t torn_end = end.offset + scan.torn_bytes;
  for (uint64_t at = end.offset; at < size;) {
    const uint64_t n = std::min(size, (at / kPageBytes + 1) * kPageBytes) - at;
    if (absl::Status s = file.WriteAt(at, {zeros.data(), n}); !s.ok()) return s;
    at += n;
    if (at >= torn_end) break;
  }
  return file.Sync();
}

}  // namespace

RecoverySituation SituationOf(const LogScan& scan) {
  RecoverySituation situation;
  situation.inconsistent = scan.stop && scan.stop->inconsistent;
  situation.below_durable = scan.stop && scan.stop->lsn < scan.durable_lsn;
  situation.rest_is_zero = !scan.stop;
  if (DQ_MUTANT(mutants::kCutAcknowledged) && scan.end.segment != nullptr &&
      scan.end.header.sequence + 1 == scan.next_sequence) {
    situation.below_durable = false;
  }
  return situation;
}

raft::Recovered ToRecovered(const LogScan& scan) {
  const Marks& marks = scan.state.marks();
  raft::Recovered out;
  out.cluster = scan.identity.cluster;
  out.self = scan.identity.node;
  out.incarnation = scan.identity.incarnation;
  out.hard_state = marks.hard_state;
  // The commit index is a hint. It may be above the end of a log that lost its tail, and it is at
  // least the snapshot's index.
  out.hard_state.commit =
      std::clamp(marks.hard_state.commit, marks.snapshot.index, marks.last_index);
  out.compacted_index = marks.compacted.index;
  out.compacted_term = marks.compacted.term;
  out.runs = scan.state.Runs();
  out.last_index = marks.last_index;
  out.snapshot = marks.snapshot;
  for (const auto& [index, entry] : scan.config_entries) {
    if (index > marks.compacted.index) out.config_entries.push_back(entry);
  }
  return out;
}

absl::Status RecoverLog(FileSystem& fs, const std::string& directory, LogScan& scan,
                        LogWriter& writer, RecoveredLog* recovered) {
  *recovered = RecoveredLog{};
  const RecoveryAction action = DecideRecovery(SituationOf(scan));
  switch (action) {
    case RecoveryAction::kRefuseInconsistent:
    case RecoveryAction::kRefuseDamaged:
      return Refuse(scan, action);
    case RecoveryAction::kContinue:
    case RecoveryAction::kTruncateTail: {
      if (absl::Status s = RemoveAll(fs, scan.leftover_paths); !s.ok()) return s;
      DQ_CHECK(scan.end.segment != nullptr && scan.state.Complete());
      absl::StatusOr<std::unique_ptr<File>> file = fs.OpenForWrite(scan.end.segment->path);
      if (!file.ok()) return file.status();
      if (absl::Status s = RewriteTail(**file, scan); !s.ok()) return s;
      if (absl::Status s = writer.Continue(scan.end, *std::move(file), scan.state); !s.ok()) {
        return s;
      }
      recovered->torn_bytes = scan.torn_bytes;
      recovered->clean_shutdown = scan.clean_shutdown && scan.torn_bytes == 0;
      break;
    }
  }
  // Void segments must be gone for good. Names of live segments may not be durable yet.
  std::vector<std::string> obsolete;
  absl::StatusOr<std::vector<DirectoryEntry>> list = fs.List(directory);
  if (!list.ok()) return list.status();
  for (const DirectoryEntry& entry : *list) {
    if (!ParseSegmentName(entry.name)) continue;
    const std::string path = JoinPath(directory, entry.name);
    const bool live = std::any_of(scan.segments.begin(), scan.segments.end(),
                                  [&](const auto& segment) { return segment->path == path; });
    if (!live) obsolete.push_back(path);
  }
  if (absl::Status s = RemoveAll(fs, obsolete); !s.ok()) return s;
  if (absl::Status s = fs.SyncDirectory(directory); !s.ok()) return s;

  recovered->raft = ToRecovered(scan);
  recovered->bytes = scan.entries.record_bytes();
  const raft::Index damaged_from = scan.state.marks().damaged_from;
  if (damaged_from.value() != 0) recovered->damaged_from = damaged_from;
  DQ_CHECK(recovered->raft.snapshot.index >= recovered->raft.compacted_index);
  DQ_CHECK(recovered->raft.hard_state.commit <= recovered->raft.last_index);
  DQ_CHECK(scan.entries.empty() == recovered->raft.runs.empty());
  return absl::OkStatus();
}

}  // namespace dqueue::storage
