#include "node/state_recovery.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace dqueue::node {
namespace {

// The term of the entry at `index`; 0 if the log does not hold it.
raft::Term TermAt(const raft::Recovered& recovered, raft::Index index) {
  if (index == recovered.compacted_index) return recovered.compacted_term;
  raft::Term term;
  if (index < recovered.compacted_index || index > recovered.last_index) return term;
  for (const raft::TermRun& run : recovered.runs) {
    if (run.first <= index) term = run.term;
  }
  return term;
}

// The log continues the snapshot: all entries after it are present.
bool Continues(const raft::Recovered& recovered, const raft::SnapshotMeta& meta) {
  return meta.index >= recovered.compacted_index && TermAt(recovered, meta.index) == meta.term &&
         raft::DecodeConfiguration(meta.config).has_value();
}

std::string IndexText(const raft::SnapshotMeta& meta) {
  return "the snapshot at index " + std::to_string(meta.index.value());
}

// Why the snapshot that the log refers to has no readable manifest.
std::string WhyMissing(const storage::SnapshotStore& store, const raft::SnapshotMeta& meta) {
  const std::string name =
      std::to_string(meta.index.value()) + "-" + std::to_string(meta.term.value()) + ".manifest";
  for (const storage::UnreadableManifest& manifest : store.Unreadable()) {
    if (manifest.name == name) return manifest.problem;
  }
  return IndexText(meta) + " is missing, and the log refers to it";
}

}  // namespace

absl::StatusOr<std::unique_ptr<queue::StateMachine>> RestoreSnapshot(
    storage::SnapshotStore* store, const storage::Manifest& manifest) {
  constexpr size_t kPieceBytes = 1 << 20;
  auto reader = store->Read(manifest);
  if (!reader.ok()) return reader.status();
  auto state = std::make_unique<queue::StateMachine>();
  queue::StateMachine::Restorer restorer(state.get());
  while (true) {
    absl::StatusOr<std::string> piece = (*reader)->Next(kPieceBytes);
    if (!piece.ok()) return piece.status();
    if (piece->empty()) break;
    if (absl::Status status = restorer.Feed(*piece); !status.ok()) return status;
  }
  if (absl::Status status = restorer.Finish(manifest.meta.index, manifest.digest); !status.ok()) {
    return status;
  }
  return state;
}

absl::StatusOr<RecoveredState> RecoverState(storage::SnapshotStore* store,
                                            raft::Recovered* recovered) {
  RecoveredState out;
  out.state = std::make_unique<queue::StateMachine>();
  for (const storage::UnreadableManifest& manifest : store->Unreadable()) {
    out.warnings.push_back(manifest.problem + "; a newer snapshot will replace it");
  }
  const raft::SnapshotMeta wanted = recovered->snapshot;
  if (wanted.index == raft::Index()) return out;

  // Newest first. A snapshot above the one that the log refers to may be incomplete in the log.
  std::vector<storage::Manifest> manifests = store->List();
  std::reverse(manifests.begin(), manifests.end());
  const auto found = std::find_if(manifests.begin(), manifests.end(),
                                  [&](const storage::Manifest& m) { return m.meta == wanted; });
  std::string problem;
  if (found != manifests.end()) {
    auto restored = RestoreSnapshot(store, *found);
    if (restored.ok()) {
      out.state = *std::move(restored);
      out.snapshot_bytes = found->TotalBytes();
      return out;
    }
    if (!absl::IsDataLoss(restored.status())) return restored.status();
    problem = std::string(restored.status().message());
  } else {
    problem = WhyMissing(*store, wanted);
  }

  const auto replace = [&](const raft::SnapshotMeta& meta, const std::string& start) {
    recovered->snapshot = meta;
    out.warnings.push_back(problem + "; this node starts from " + start +
                           " and applies the log after it again");
    // It must not be sent to a follower.
    return found == manifests.end() ? absl::OkStatus() : store->Remove(*found);
  };
  for (const storage::Manifest& older : manifests) {
    if (older.meta.index >= wanted.index || !Continues(*recovered, older.meta)) continue;
    auto restored = RestoreSnapshot(store, older);
    if (absl::IsDataLoss(restored.status())) {
      problem += "; " + std::string(restored.status().message());
      continue;
    }
    if (!restored.ok()) return restored.status();
    out.state = *std::move(restored);
    out.snapshot_bytes = older.TotalBytes();
    const raft::SnapshotMeta meta = older.meta;
    if (absl::Status status = replace(meta, IndexText(meta)); !status.ok()) return status;
    return out;
  }
  if (recovered->compacted_index == raft::Index()) {
    if (absl::Status status = replace({}, "an empty state"); !status.ok()) return status;
    return out;
  }
  return absl::DataLossError(problem + "; no older snapshot can replace " + IndexText(wanted) +
                             ", because the log begins after " +
                             std::to_string(recovered->compacted_index.value()) +
                             "; leave this node stopped, keep its directory as it is, and run "
                             "the other members");
}

}  // namespace dqueue::node
