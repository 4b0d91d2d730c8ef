#include "node/snapshot_actor.h"

#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "storage/files/crc32c.h"

namespace dqueue::node {

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

SnapshotActor::SnapshotActor(storage::FileSystem* fs, std::string data_dir,
                             std::unique_ptr<storage::SnapshotStore> store, storage::Log* log,
                             size_t chunk_bytes, std::function<void()> wake, Callbacks callbacks)
    : fs_(fs),
      data_dir_(std::move(data_dir)),
      store_(std::move(store)),
      log_(log),
      chunk_bytes_(chunk_bytes),
      wake_(std::move(wake)),
      callbacks_(std::move(callbacks)) {}

void SnapshotActor::Add(std::function<void()> job) {
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  if (wake_) wake_();
}

bool SnapshotActor::Poll() {
  std::function<void()> job;
  {
    std::lock_guard lock(mutex_);
    if (!jobs_.empty()) {
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
  }
  if (job) {
    job();
    return true;
  }
  absl::StatusOr<bool> prepared = log_->PrepareSegments();
  if (prepared.ok()) {
    prepare_failed_ = false;
    return *prepared;
  }
  // A full disk is not fatal: the space check reports it to the loop, and the next Poll() retries.
  if (absl::IsResourceExhausted(prepared.status())) {
    if (!prepare_failed_) {
      prepare_failed_ = true;
      CheckSpaceJob();
    }
  } else {
    callbacks_.fatal(prepared.status());
  }
  return false;
}

void SnapshotActor::BeginWrite(raft::SnapshotMeta meta) {
  Add([this, meta = std::move(meta)] {
    auto writer = store_->Begin(meta);
    if (!writer.ok()) return WriteFailed(writer.status());
    writer_ = *std::move(writer);
  });
}

void SnapshotActor::AppendWrite(std::string bytes) {
  pending_writes_.fetch_add(1, std::memory_order_relaxed);
  Add([this, bytes = std::move(bytes)] {
    pending_writes_.fetch_sub(1, std::memory_order_relaxed);
    if (!writer_) return;
    if (absl::Status status = writer_->Append(bytes); !status.ok()) WriteFailed(status);
  });
}

void SnapshotActor::CommitWrite(uint64_t digest) {
  Add([this, digest] {
    if (!writer_) return;
    absl::StatusOr<storage::Manifest> manifest = writer_->Commit(digest);
    if (!manifest.ok()) return WriteFailed(manifest.status());
    writer_.reset();
    callbacks_.written(*std::move(manifest));
  });
}

void SnapshotActor::AbandonWrite() {
  Add([this] { writer_.reset(); });
}

void SnapshotActor::WriteFailed(const absl::Status& status) {
  writer_.reset();
  if (absl::IsResourceExhausted(status)) {
    callbacks_.written(std::nullopt);
  } else {
    callbacks_.fatal(status);
  }
}

absl::StatusOr<storage::Manifest> SnapshotActor::FindManifest(raft::Index index, raft::Term term) {
  absl::StatusOr<std::vector<storage::Manifest>> manifests = store_->List();
  if (!manifests.ok()) return manifests.status();
  for (storage::Manifest& manifest : *manifests) {
    if (manifest.meta.index == index && manifest.meta.term == term) return std::move(manifest);
  }
  return absl::NotFoundError("no snapshot at index " + std::to_string(index.value()));
}

void SnapshotActor::ReadChunk(raft::Message message) {
  Add([this, message = std::make_shared<raft::Message>(std::move(message))] {
    ReadChunkJob(message.get());
  });
}

void SnapshotActor::ReadChunkJob(raft::Message* message) {
  auto& request = std::get<raft::SnapshotRequest>(message->body);
  if (!sending_ || sending_->meta.index != request.meta.index ||
      sending_->meta.term != request.meta.term) {
    absl::StatusOr<storage::Manifest> found = FindManifest(request.meta.index, request.meta.term);
    if (absl::IsNotFound(found.status())) return;  // superseded: the core asks for the newest
    if (!found.ok()) return callbacks_.fatal(found.status());
    sending_ = *std::move(found);
  }
  request.meta = sending_->meta;
  request.manifest = storage::EncodeManifest(*sending_);
  raft::SnapshotCursor next;
  absl::StatusOr<std::string> data =
      store_->ReadChunk(*sending_, request.cursor, chunk_bytes_, &next);
  if (!data.ok()) {
    sending_.reset();
    // NOT_FOUND: the files were removed. INVALID_ARGUMENT: the receiver sent a bad cursor.
    if (absl::IsNotFound(data.status()) || absl::IsInvalidArgument(data.status())) return;
    return callbacks_.fatal(data.status());
  }
  request.crc32c = storage::Crc32c(*data);
  request.data = *std::move(data);
  callbacks_.chunk_read(std::move(*message));
}

void SnapshotActor::StoreChunk(raft::Message message) {
  Add([this, message = std::make_shared<raft::Message>(std::move(message))] {
    StoreChunkJob(message.get());
  });
}

void SnapshotActor::StoreChunkJob(raft::Message* message) {
  auto& request = std::get<raft::SnapshotRequest>(message->body);
  raft::SnapshotChunkStored stored;
  stored.meta = request.meta;
  stored.from = message->from;
  const auto refuse = [&] {
    stored.refused = true;
    callbacks_.chunk_stored(std::move(stored));
  };

  absl::StatusOr<storage::Manifest> manifest = storage::DecodeManifest(request.manifest);
  if (!manifest.ok() || !(manifest->meta == request.meta)) return refuse();
  absl::StatusOr<raft::SnapshotCursor> next = store_->BeginReceive(*manifest);
  if (next.ok() && !request.data.empty()) {
    next = store_->StoreChunk(request.cursor, request.data, request.crc32c);
  }
  if (next.ok() && next->file == manifest->files.size()) {
    absl::StatusOr<storage::Manifest> finished = store_->FinishReceive();
    if (finished.ok()) {
      stored.done = true;
    } else {
      next = finished.status();
    }
  }
  if (next.ok()) {
    stored.next = *next;
    callbacks_.chunk_stored(std::move(stored));
  } else if (absl::IsDataLoss(next.status()) || absl::IsInvalidArgument(next.status()) ||
             absl::IsResourceExhausted(next.status())) {
    refuse();
  } else {
    callbacks_.fatal(next.status());
  }
}

void SnapshotActor::Restore(raft::SnapshotMeta meta, std::unique_ptr<queue::StateMachine> old) {
  Add([this, meta = std::move(meta), old = std::shared_ptr(std::move(old))]() mutable {
    old.reset();
    RestoreJob(meta);
  });
}

void SnapshotActor::RestoreJob(const raft::SnapshotMeta& meta) {
  absl::StatusOr<storage::Manifest> manifest = FindManifest(meta.index, meta.term);
  if (!manifest.ok()) return callbacks_.fatal(manifest.status());
  auto state = RestoreSnapshot(store_.get(), *manifest);
  if (!state.ok()) return callbacks_.fatal(state.status());
  callbacks_.restored(*std::move(manifest), *std::move(state));
}

void SnapshotActor::RemoveOld(raft::Index keep) {
  Add([this, keep] {
    constexpr size_t kSnapshotsKept = 2;
    if (absl::Status status = store_->RemoveOld(kSnapshotsKept, keep); !status.ok()) {
      callbacks_.fatal(status);
    }
  });
}

void SnapshotActor::CheckSpace() {
  Add([this] { CheckSpaceJob(); });
}

void SnapshotActor::CheckSpaceJob() {
  absl::StatusOr<uint64_t> free_bytes = fs_->FreeBytes(data_dir_);
  if (!free_bytes.ok()) return callbacks_.fatal(free_bytes.status());
  callbacks_.space(*free_bytes, prepare_failed_);
}

}  // namespace dqueue::node
