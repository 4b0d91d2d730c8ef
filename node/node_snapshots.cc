// Takes and installs snapshots, compacts the log, and checks disk space.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "node/node_impl.h"
#include "raft/mutants.h"

namespace dqueue::node {
namespace {
constexpr size_t kPieceBytes = 128 << 10;  // takes the loop about 0.1 ms
constexpr size_t kPiecesWaitingMax = 8;
constexpr size_t kSnapshotsKept = 2;
constexpr Duration kRetryAfterFullDisk = std::chrono::seconds(10);
// Between snapshots that should free space on a low disk: doubled as long as it stays low.
constexpr Duration kPressurePauseMin = std::chrono::seconds(10);
constexpr Duration kPressurePauseMax = std::chrono::minutes(1);
}  // namespace

SnapshotActor::Callbacks NodeImpl::ActorCallbacks() {
  SnapshotActor::Callbacks out;
  out.written = [this](std::optional<storage::Manifest> manifest) {
    Post([this, manifest = std::move(manifest)](Time now) { SnapshotWritten(now, manifest); });
  };
  out.chunk_read = [this](raft::Message message) {
    Post([this, shared = std::make_shared<raft::Message>(std::move(message))](Time) {
      if (env_.probe != nullptr) env_.probe->BeforeSend(*shared);
      std::vector<raft::Message> one;
      const raft::NodeId to = shared->to;
      one.push_back(std::move(*shared));
      if (env_.peers != nullptr) SendTo(to, std::move(one));
    });
  };
  out.chunk_stored = [this](raft::SnapshotChunkStored stored) {
    Post([this, stored = std::move(stored)](Time now) { Step(now, stored); });
  };
  out.restored = [this](storage::Manifest manifest, std::unique_ptr<queue::StateMachine> state) {
    auto shared = std::make_shared<std::unique_ptr<queue::StateMachine>>(std::move(state));
    Post([this, manifest = std::move(manifest), shared](Time now) {
      SnapshotRestored(now, manifest, std::move(*shared));
    });
  };
  out.space = [this](uint64_t free_bytes, bool log_space_failed) {
    const uint64_t resident = env_.resident_bytes ? env_.resident_bytes() : 0;
    Post([this, free_bytes, log_space_failed, resident](Time now) {
      resident_bytes_ = resident;
      SpaceChecked(now, free_bytes, log_space_failed);
    });
  };
  out.damaged = [this](raft::SnapshotMeta meta, std::string problem) {
    Post([this, meta = std::move(meta), problem = std::move(problem)](Time) {
      SnapshotDamaged(meta, problem);
    });
  };
  out.chunk_refused = [this](std::string problem) {
    Post([this, problem = std::move(problem)](Time now) {
      ++metrics_.snapshots_refused;
      if (standing_.MayLog(now, problem)) LogWarning("refused a chunk of a snapshot: " + problem);
    });
  };
  out.fatal = [this](const absl::Status& status) { Fatal(status); };
  return out;
}

bool NodeImpl::SnapshotDue() const {
  if (snapshot_in_state_ || snapshot_in_actor_ || restoring_ || state_->applying()) return false;
  if (now_ < snapshot_retry_at_ || durable_token_ < mark_token_) return false;
  // A damaged snapshot is replaced at the same index, too.
  if (snapshot_wanted_ && state_->applied_index() >= snapshot_index_) return true;
  if (state_->applied_index() <= snapshot_index_) return false;
  if (SnapshotFreesSpace()) return true;
  const uint64_t grown = applied_bytes_ - bytes_at_snapshot_;
  return grown >= std::max(options_.snapshot_log_bytes, snapshot_bytes_);
}

bool NodeImpl::SnapshotFreesSpace() const {
  if (!low_space_) return false;
  return now_ >= pressure_snapshot_at_ ||
         applied_bytes_ - bytes_at_snapshot_ >= options_.log.segment_bytes;
}

void NodeImpl::SnapshotDamaged(const raft::SnapshotMeta& meta, const std::string& problem) {
  ++metrics_.snapshots_damaged;
  if (standing_.MayLog(now_, problem)) {
    LogWarning(problem + "; the snapshot at index " + std::to_string(meta.index.value()) +
               " is damaged and is replaced by a new one");
  }
  if (meta.index == snapshot_index_) snapshot_wanted_ = true;
}

bool NodeImpl::MaybeSnapshot() {
  // A snapshot must not be ahead of the durable log: after a crash, entries before it would be
  // missing.
  if (SnapshotDue() && raft_->GetView().durable_index >= state_->applied_index()) {
    const raft::Index index = state_->applied_index();
    snapshot_meta_ = {index, raft_->TermAt(index), raft_->EncodedConfigAt(index)};
    if (DQ_MUTANT(raft::mutants::kSnapshotCurrentTerm)) snapshot_meta_.term = raft_->status().term;
    state_->BeginSnapshot();
    // Completions need the rest of a low disk.
    actor_->BeginWrite(snapshot_meta_, low_space_ ? options_.log.segment_bytes : 0);
    if (low_space_) {
      pressure_snapshot_at_ = now_ + pressure_pause_;
      pressure_pause_ = std::min(2 * pressure_pause_, kPressurePauseMax);
    }
    snapshot_in_state_ = snapshot_in_actor_ = true;
    bytes_before_snapshot_ = std::exchange(bytes_at_snapshot_, applied_bytes_);
  }
  if (!snapshot_in_state_) return false;
  if (!state_->snapshot_running()) {
    // Jobs changed faster than the disk took the image.
    AbandonSnapshot();
    snapshot_retry_at_ = now_ + kRetryAfterFullDisk;
    LogLine(
        "a snapshot was given up: the copies of changed jobs need too much memory; the next "
        "attempt is in 10 s");
    return false;
  }
  if (actor_->pending_writes() >= kPiecesWaitingMax) return false;
  std::string piece;
  const bool end = state_->ContinueSnapshot(kPieceBytes, &piece);
  if (!piece.empty()) actor_->AppendWrite(std::move(piece));
  if (end) {
    snapshot_in_state_ = false;
    actor_->CommitWrite(state_->snapshot_digest());
  }
  return !end;
}

uint64_t NodeImpl::MilestoneBytes() const {
  return std::clamp<uint64_t>(options_.trailing_log_bytes / 32, 1 << 10, 1 << 20);
}

raft::Index NodeImpl::CompactionPoint(raft::Index index) const {
  if (options_.trailing_log_bytes == 0 || low_space_) return index;
  raft::Index point = raft_->GetView().first_index.Prev();
  for (const Milestone& milestone : milestones_) {
    if (milestone.index > index) break;
    if (milestone.bytes + options_.trailing_log_bytes > applied_bytes_) break;
    point = std::max(point, milestone.index);
  }
  return point;
}

void NodeImpl::SnapshotWritten(Time now, std::optional<storage::Manifest> manifest) {
  if (!snapshot_in_actor_) return;  // it was abandoned
  snapshot_in_actor_ = false;
  if (!manifest) {
    if (snapshot_in_state_) state_->AbandonSnapshot();
    snapshot_in_state_ = false;
    bytes_at_snapshot_ = bytes_before_snapshot_;
    snapshot_retry_at_ = now + kRetryAfterFullDisk;
    pressure_snapshot_at_ = snapshot_retry_at_;
    const std::string line = "no disk space for a snapshot; it is tried again every 10 s";
    if (standing_.MayLog(now, line)) LogWarning(line);
    return;
  }
  ++metrics_.snapshots_written;
  // A newer snapshot was installed, or is being restored.
  if (restoring_ && manifest->meta.index <= restoring_->index) return;
  if (manifest->meta.index >= snapshot_index_) snapshot_wanted_ = false;
  if (manifest->meta.index <= snapshot_index_) return;
  snapshot_index_ = manifest->meta.index;
  snapshot_bytes_ = manifest->TotalBytes();
  const raft::Index compact_to =
      std::min(CompactionPoint(snapshot_index_), raft_->CompactionLimit());
  while (milestones_.size() > 1 && milestones_.front().index <= compact_to) milestones_.pop_front();
  storage::LogWrite mark;
  mark.snapshot = manifest->meta;
  mark.compact_to = compact_to;
  log_->Submit(std::move(mark));
  mark_token_ = raft::Token(last_token_.value() + 1);
  Step(now, raft::SnapshotTaken{manifest->meta, compact_to});
  remove_old_ = true;
}

void NodeImpl::MaybeRemoveOld() {
  if (!remove_old_ || durable_token_ < mark_token_ || restoring_) return;
  remove_old_ = false;
  actor_->RemoveOld(snapshot_index_, low_space_ ? 1 : kSnapshotsKept);
}

void NodeImpl::SnapshotRestored(Time now, const storage::Manifest& manifest,
                                std::unique_ptr<queue::StateMachine> state) {
  DQ_CHECK(restoring_ && !serving_);
  if (replace_state_ || !(manifest.meta == *restoring_)) return;  // a newer snapshot was received
  DQ_CHECK(committed_.empty() && to_apply_.empty());
  restoring_.reset();
  before_restore_.reset();
  broker_.reset();  // it refers to the empty state machine
  state_ = std::move(state);
  MakeBroker(++broker_salt_);
  MaybePublishStatus();
  ++metrics_.snapshots_installed;
  snapshot_index_ = manifest.meta.index;
  snapshot_wanted_ = false;
  snapshot_bytes_ = manifest.TotalBytes();
  bytes_at_snapshot_ = applied_bytes_;
  milestones_.clear();
  if (env_.probe != nullptr) env_.probe->AfterRestore(manifest.meta, state_->Digest());
  Step(now, raft::Applied{manifest.meta.index});
  remove_old_ = true;
  LogLine("installed a snapshot at index " + std::to_string(manifest.meta.index.value()));
}

void NodeImpl::AbandonSnapshot() {
  if (!snapshot_in_state_) return;
  state_->AbandonSnapshot();
  actor_->AbandonWrite();
  snapshot_in_state_ = snapshot_in_actor_ = false;
  bytes_at_snapshot_ = bytes_before_snapshot_;
}

void NodeImpl::SpaceChecked(Time now, uint64_t free_bytes, bool log_space_failed) {
  metrics_.free_bytes = free_bytes;
  // Hysteresis: the disk has enough space again at 9/8 of the limit.
  const uint64_t limit =
      low_space_ ? options_.reserve_bytes + options_.reserve_bytes / 8 : options_.reserve_bytes;
  const bool low = free_bytes < limit || log_space_failed;
  if (low != low_space_) {
    low_space_ = low;
    const std::string state =
        std::to_string(free_bytes) + " bytes are free in " + options_.data_dir + "; ";
    if (low) {
      pressure_snapshot_at_ = now;
      pressure_pause_ = kPressurePauseMin;
      remove_old_ = true;  // keeps one snapshot only
      LogWarning(
          "low disk space: " + state +
          (log_space_failed
               ? "a log segment of " + std::to_string(options_.log.segment_bytes) +
                     " bytes could not be made"
               : "new jobs need " + std::to_string(options_.reserve_bytes) + " (--reserve-bytes)") +
          "; new jobs are refused, completions continue, and the log is compacted");
    } else {
      LogLine("enough disk space again: " + state + "the limit is " + std::to_string(limit));
    }
    Step(now, raft::Capacity{.low_space = low, .low_memory = memory_.low()});
  }
  broker_->SetLowSpace(serving_ ? !raft_->HasRoom() : low_space_);
}

}  // namespace dqueue::node
