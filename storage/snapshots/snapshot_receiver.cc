#include "storage/snapshots/snapshot_receiver.h"

#include <utility>

#include "base/check.h"
#include "storage/files/crc32c.h"
#include "storage/files/file_window.h"
#include "storage/files/little_endian.h"

namespace dqueue::storage {
namespace {

constexpr char kPartialName[] = "receive.partial";
constexpr std::string_view kMagic = "dqsnaprc";
constexpr size_t kPrefixBytes =
    20;  // magic, checksum of what follows, length of the first manifest

std::string EncodePartial(const Manifest& sent, const Manifest& kept) {
  const std::string first = EncodeManifest(sent);
  std::string out(kPrefixBytes, '\0');
  out.replace(0, kMagic.size(), kMagic);
  StoreU64(out.data() + 12, first.size());
  out += first + EncodeManifest(kept);
  StoreU32(out.data() + 8, Crc32c(std::string_view(out).substr(12)));
  return out;
}

bool DecodePartial(std::string_view bytes, Manifest* sent, Manifest* kept) {
  if (bytes.size() < kPrefixBytes || bytes.substr(0, kMagic.size()) != kMagic ||
      LoadU32(bytes.data() + 8) != Crc32c(bytes.substr(12))) {
    return false;
  }
  const uint64_t length = LoadU64(bytes.data() + 12);
  bytes.remove_prefix(kPrefixBytes);
  if (length > bytes.size()) return false;
  absl::StatusOr<Manifest> first = DecodeManifest(bytes.substr(0, length));
  absl::StatusOr<Manifest> second = DecodeManifest(bytes.substr(length));
  if (!first.ok() || !second.ok() || first->files.size() != second->files.size()) return false;
  *sent = *std::move(first);
  *kept = *std::move(second);
  return true;
}

}  // namespace

absl::Status SnapshotReceiver::Load() {
  absl::StatusOr<bool> exists = directory_.fs().Exists(directory_.PathOf(kPartialName));
  if (!exists.ok()) return exists.status();
  if (!*exists) return absl::OkStatus();
  absl::StatusOr<std::string> bytes = directory_.ReadSmall(kPartialName);
  if (!bytes.ok()) return bytes.status();
  Partial partial;
  if (DecodePartial(*bytes, &partial.sent, &partial.kept)) {
    // A crash between Publish() and the removal of this file leaves both.
    const Manifest* listed = directory_.Find(partial.kept.meta);
    if (listed == nullptr || *listed != partial.kept) {
      partial_ = std::move(partial);
      ProtectFiles();
      return absl::OkStatus();
    }
  }
  return directory_.fs().Remove(directory_.PathOf(kPartialName));
}

void SnapshotReceiver::ProtectFiles() {
  std::set<std::string> names;
  if (partial_) {
    for (const SnapshotFile& file : partial_->kept.files) names.insert(file.name);
  }
  directory_.Protect(std::move(names));
}

// No space: this snapshot is dropped, and the store goes on. Anything else is final.
absl::Status SnapshotReceiver::Failed(absl::Status status) {
  if (absl::IsResourceExhausted(status)) {
    if (absl::Status s = Drop(); !s.ok()) return s;
  }
  return directory_.Fail(std::move(status));
}

absl::Status SnapshotReceiver::Drop() {
  if (!partial_) return absl::OkStatus();
  const Manifest kept = std::move(partial_->kept);
  partial_.reset();
  ProtectFiles();
  const absl::Status s = directory_.fs().Remove(directory_.PathOf(kPartialName));
  if (!s.ok() && !absl::IsNotFound(s)) return directory_.Fail(s);
  return directory_.RemoveUnused(kept.files);
}

absl::StatusOr<raft::SnapshotCursor> SnapshotReceiver::Begin(const Manifest& manifest) {
  if (absl::Status s = directory_.Usable(); !s.ok()) return s;
  if (std::string problem = ManifestProblem(manifest); !problem.empty()) {
    return absl::InvalidArgumentError("snapshot manifest with " + problem);
  }
  if (partial_ && partial_->sent == manifest) {
    if (partial_->resumed) return Wanted();
    absl::StatusOr<bool> resumed = Resume();
    if (!resumed.ok()) return Failed(resumed.status());
    if (*resumed) return Wanted();
  }
  if (absl::Status s = Drop(); !s.ok()) return s;
  if (absl::Status s = Start(manifest); !s.ok()) return Failed(s);
  return Wanted();
}

absl::Status SnapshotReceiver::Start(const Manifest& manifest) {
  Partial partial;
  partial.sent = partial.kept = manifest;
  partial.resumed = true;
  for (size_t i = 0; i < manifest.files.size(); ++i) {
    const SnapshotFile& file = manifest.files[i];
    if (directory_.Has(file) &&
        VerifySnapshotFile(directory_.fs(), directory_.PathOf(file.name), file).ok()) {
      partial.whole.insert(i);
    } else {
      partial.kept.files[i].name = directory_.TakeName(manifest.meta.index);
    }
  }
  partial_ = std::move(partial);
  ProtectFiles();
  const std::string bytes = EncodePartial(partial_->sent, partial_->kept);
  if (absl::Status s = directory_.WriteSmall(kPartialName, bytes); !s.ok()) return s;
  if (absl::Status s = directory_.Sync(); !s.ok()) return s;
  return SkipWhole();
}

// After a restart: files are believed if their checksum holds, the first other one as far as it
// goes (its checksum decides at its end).
absl::StatusOr<bool> SnapshotReceiver::Resume() {
  Partial& p = *partial_;
  p.whole.clear();
  bool first = true;
  for (size_t i = 0; i < p.kept.files.size(); ++i) {
    const SnapshotFile& file = p.kept.files[i];
    const std::string path = directory_.PathOf(file.name);
    if (VerifySnapshotFile(directory_.fs(), path, file).ok()) {
      absl::StatusOr<std::unique_ptr<File>> whole = directory_.fs().OpenForWrite(path);
      if (!whole.ok()) return whole.status();
      if (absl::Status s = (*whole)->Sync(); !s.ok()) return s;
      p.whole.insert(i);
      continue;
    }
    // A file that is shared with a listed snapshot must not be written over.
    if (directory_.Has(file)) return false;
    if (!std::exchange(first, false)) continue;
    p.cursor = {static_cast<uint32_t>(i), 0};
    absl::StatusOr<std::unique_ptr<File>> part = directory_.fs().OpenForWrite(path);
    if (absl::IsNotFound(part.status())) continue;
    if (!part.ok()) return part.status();
    absl::StatusOr<uint64_t> size = (*part)->Size();
    if (!size.ok()) return size.status();
    if (*size >= file.size) continue;  // not what was wanted: from its beginning
    FileWindow window(**part, *size);
    p.crc = 0;
    for (uint64_t at = 0; at < *size; at += FileWindow::kPieceBytes) {
      absl::StatusOr<std::string_view> bytes = window.Get(at, FileWindow::kPieceBytes);
      if (!bytes.ok()) return bytes.status();
      p.crc = Crc32c(*bytes, p.crc);
    }
    p.cursor.offset = *size;
    p.file = *std::move(part);
  }
  if (first) p.cursor = {static_cast<uint32_t>(p.kept.files.size()), 0};
  if (absl::Status s = SkipWhole(); !s.ok()) return s;
  p.resumed = true;
  return true;
}

// Moves the cursor over files that are here, and makes empty ones.
absl::Status SnapshotReceiver::SkipWhole() {
  Partial& p = *partial_;
  while (p.cursor.file < p.kept.files.size()) {
    if (!p.whole.contains(p.cursor.file)) {
      if (p.kept.files[p.cursor.file].size != 0) return absl::OkStatus();
      if (absl::Status s = OpenCurrent(); !s.ok()) return s;
      if (absl::Status s = p.file->Sync(); !s.ok()) return s;
      p.whole.insert(p.cursor.file);
    }
    p.file.reset();
    p.crc = 0;
    p.cursor = {p.cursor.file + 1, 0};
  }
  return absl::OkStatus();
}

absl::Status SnapshotReceiver::OpenCurrent() {
  Partial& p = *partial_;
  if (p.file != nullptr) return absl::OkStatus();
  DQ_CHECK(p.cursor.offset == 0 && p.crc == 0);
  absl::StatusOr<std::unique_ptr<File>> file =
      directory_.fs().Create(directory_.PathOf(p.kept.files[p.cursor.file].name));
  if (!file.ok()) return file.status();
  p.file = *std::move(file);
  return absl::OkStatus();
}

absl::StatusOr<raft::SnapshotCursor> SnapshotReceiver::Store(raft::SnapshotCursor cursor,
                                                             std::string_view data,
                                                             uint32_t crc32c) {
  if (absl::Status s = directory_.Usable(); !s.ok()) return s;
  if (!partial_ || !partial_->resumed) {
    return absl::FailedPreconditionError("no snapshot is being received");
  }
  Partial& p = *partial_;
  if (cursor != p.cursor || p.cursor.file == p.kept.files.size()) return Wanted();
  const SnapshotFile& file = p.kept.files[p.cursor.file];
  DQ_CHECK(p.cursor.offset < file.size && !p.whole.contains(p.cursor.file));
  if (Crc32c(data) != crc32c) {
    return absl::DataLossError("snapshot chunk at " + std::to_string(cursor.offset) + " of " +
                               file.name + ": checksum mismatch");
  }
  if (data.size() > file.size - p.cursor.offset) {
    return absl::DataLossError("snapshot chunk at " + std::to_string(cursor.offset) + " of " +
                               file.name + ": it runs past the file's end at " +
                               std::to_string(file.size));
  }
  if (absl::Status s = OpenCurrent(); !s.ok()) return Failed(s);
  if (absl::Status s = p.file->WriteAt(p.cursor.offset, data); !s.ok()) return Failed(s);
  p.crc = Crc32c(data, p.crc);
  p.cursor.offset += data.size();
  if (p.cursor.offset == file.size) {
    absl::Status s = FileDone();
    if (absl::IsDataLoss(s)) return s;
    if (!s.ok()) return Failed(s);
  }
  return Wanted();
}

absl::Status SnapshotReceiver::FileDone() {
  Partial& p = *partial_;
  const SnapshotFile& file = p.kept.files[p.cursor.file];
  if (p.crc != file.crc32c) {
    p.file.reset();
    p.crc = 0;
    p.cursor.offset = 0;
    return absl::DataLossError("snapshot file " + file.name +
                               ": checksum mismatch; it is wanted again");
  }
  if (absl::Status s = p.file->Sync(); !s.ok()) return s;
  p.whole.insert(p.cursor.file);
  return SkipWhole();
}

absl::StatusOr<Manifest> SnapshotReceiver::Finish() {
  if (absl::Status s = directory_.Usable(); !s.ok()) return s;
  if (!partial_ || !partial_->resumed || partial_->cursor.file != partial_->kept.files.size()) {
    return absl::FailedPreconditionError("a snapshot is not complete yet");
  }
  DQ_CHECK(partial_->whole.size() == partial_->kept.files.size());
  const Manifest manifest = partial_->kept;
  if (absl::Status s = directory_.Publish(manifest); !s.ok()) return Failed(s);
  partial_.reset();
  ProtectFiles();
  if (absl::Status s = directory_.fs().Remove(directory_.PathOf(kPartialName)); !s.ok()) {
    return directory_.Fail(s);
  }
  return manifest;
}

}  // namespace dqueue::storage
