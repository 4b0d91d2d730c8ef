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
// Magic, checksum of the rest, length of the first manifest.
constexpr size_t kPrefixBytes = 20;

std::string EncodePartial(const Manifest& remote, const Manifest& local) {
  const std::string first = EncodeManifest(remote);
  std::string out(kPrefixBytes, '\0');
  out.replace(0, kMagic.size(), kMagic);
  StoreU64(out.data() + 12, first.size());
  out += first + EncodeManifest(local);
  StoreU32(out.data() + 8, Crc32c(std::string_view(out).substr(12)));
  return out;
}

bool DecodePartial(std::string_view bytes, Manifest* remote, Manifest* local) {
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
  *remote = *std::move(first);
  *local = *std::move(second);
  return true;
}

// Writes the first `size` bytes of the file again, and returns their CRC-32C. Bytes that an earlier
// process wrote before a failed sync can be read without being on disk, and a later sync does not
// write them.
absl::StatusOr<uint32_t> Rewrite(File& file, uint64_t size) {
  FileWindow window(file, size);
  uint32_t crc = 0;
  for (uint64_t at = 0; at < size; at += FileWindow::kPieceBytes) {
    absl::StatusOr<std::string_view> bytes = window.Get(at, FileWindow::kPieceBytes);
    if (!bytes.ok()) return bytes.status();
    crc = Crc32c(*bytes, crc);
    if (absl::Status s = file.WriteAt(at, *bytes); !s.ok()) return s;
  }
  return crc;
}

}  // namespace

absl::Status SnapshotReceiver::Load() {
  absl::StatusOr<bool> exists = directory_.fs().Exists(directory_.PathOf(kPartialName));
  if (!exists.ok()) return exists.status();
  if (!*exists) return absl::OkStatus();
  absl::StatusOr<std::string> bytes = directory_.ReadSmall(kPartialName);
  if (!bytes.ok()) return bytes.status();
  Partial partial;
  if (DecodePartial(*bytes, &partial.remote, &partial.local)) {
    // Both exist after a crash between Publish() and the removal of receive.partial.
    const Manifest* listed = directory_.Find(partial.local.meta);
    if (listed == nullptr || *listed != partial.local) {
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
    for (const SnapshotFile& file : partial_->local.files) names.insert(file.name);
  }
  directory_.Protect(std::move(names));
}

// RESOURCE_EXHAUSTED drops this snapshot, and the store stays usable. Other errors are final.
absl::Status SnapshotReceiver::HandleError(absl::Status status) {
  if (absl::IsResourceExhausted(status)) {
    if (absl::Status s = Drop(); !s.ok()) return s;
  }
  return directory_.Fail(std::move(status));
}

absl::Status SnapshotReceiver::Drop() {
  if (!partial_) return absl::OkStatus();
  const Manifest local = std::move(partial_->local);
  partial_.reset();
  ProtectFiles();
  const absl::Status s = directory_.fs().Remove(directory_.PathOf(kPartialName));
  if (!s.ok() && !absl::IsNotFound(s)) return directory_.Fail(s);
  return directory_.RemoveUnused(local.files);
}

absl::StatusOr<raft::SnapshotCursor> SnapshotReceiver::Begin(const Manifest& manifest) {
  if (absl::Status s = directory_.Usable(); !s.ok()) return s;
  if (std::string problem = ManifestProblem(manifest); !problem.empty()) {
    return absl::InvalidArgumentError("snapshot manifest with " + problem);
  }
  if (partial_ && partial_->remote == manifest) {
    if (partial_->resumed) return Wanted();
    absl::StatusOr<bool> resumed = Resume();
    if (!resumed.ok()) return HandleError(resumed.status());
    if (*resumed) return Wanted();
  }
  if (absl::Status s = Drop(); !s.ok()) return s;
  if (absl::Status s = Start(manifest); !s.ok()) return HandleError(s);
  return Wanted();
}

absl::Status SnapshotReceiver::Start(const Manifest& manifest) {
  Partial partial;
  partial.remote = partial.local = manifest;
  partial.resumed = true;
  for (size_t i = 0; i < manifest.files.size(); ++i) {
    const SnapshotFile& file = manifest.files[i];
    if (directory_.Has(file) &&
        VerifySnapshotFile(directory_.fs(), directory_.PathOf(file.name), file).ok()) {
      partial.complete.insert(i);
    } else {
      partial.local.files[i].name = directory_.ReserveName(manifest.meta.index);
    }
  }
  partial_ = std::move(partial);
  ProtectFiles();
  const std::string bytes = EncodePartial(partial_->remote, partial_->local);
  if (absl::Status s = directory_.WriteSmall(kPartialName, bytes); !s.ok()) return s;
  if (absl::Status s = directory_.Sync(); !s.ok()) return s;
  return SkipComplete();
}

// After a restart: finds the complete files by their checksums, and continues the first incomplete
// one at its end.
absl::StatusOr<bool> SnapshotReceiver::Resume() {
  Partial& p = *partial_;
  p.complete.clear();
  bool first = true;
  for (size_t i = 0; i < p.local.files.size(); ++i) {
    const SnapshotFile& file = p.local.files[i];
    const std::string path = directory_.PathOf(file.name);
    if (VerifySnapshotFile(directory_.fs(), path, file).ok()) {
      p.complete.insert(i);
      if (directory_.Has(file)) continue;  // durable since its snapshot was finished
      absl::StatusOr<std::unique_ptr<File>> complete = directory_.fs().OpenForWrite(path);
      if (!complete.ok()) return complete.status();
      if (absl::StatusOr<uint32_t> crc = Rewrite(**complete, file.size); !crc.ok()) {
        return crc.status();
      }
      if (absl::Status s = (*complete)->Sync(); !s.ok()) return s;
      continue;
    }
    // A file that a listed snapshot uses must not be overwritten.
    if (directory_.Has(file)) return false;
    if (!std::exchange(first, false)) continue;
    p.cursor = {static_cast<uint32_t>(i), 0};
    absl::StatusOr<std::unique_ptr<File>> part = directory_.fs().OpenForWrite(path);
    if (absl::IsNotFound(part.status())) continue;
    if (!part.ok()) return part.status();
    absl::StatusOr<uint64_t> size = (*part)->Size();
    if (!size.ok()) return size.status();
    if (*size >= file.size) continue;  // wrong content; receive it from its start
    absl::StatusOr<uint32_t> crc = Rewrite(**part, *size);
    if (!crc.ok()) return crc.status();
    p.crc = *crc;
    p.cursor.offset = *size;
    p.file = *std::move(part);
  }
  if (first) p.cursor = {static_cast<uint32_t>(p.local.files.size()), 0};
  if (absl::Status s = SkipComplete(); !s.ok()) return s;
  p.resumed = true;
  return true;
}

// Moves the cursor past complete files. Creates empty files.
absl::Status SnapshotReceiver::SkipComplete() {
  Partial& p = *partial_;
  while (p.cursor.file < p.local.files.size()) {
    if (!p.complete.contains(p.cursor.file)) {
      if (p.local.files[p.cursor.file].size != 0) return absl::OkStatus();
      if (absl::Status s = OpenCurrent(); !s.ok()) return s;
      if (absl::Status s = p.file->Sync(); !s.ok()) return s;
      p.complete.insert(p.cursor.file);
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
      directory_.fs().Create(directory_.PathOf(p.local.files[p.cursor.file].name));
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
  if (cursor != p.cursor || p.cursor.file == p.local.files.size()) return Wanted();
  const SnapshotFile& file = p.local.files[p.cursor.file];
  DQ_CHECK(p.cursor.offset < file.size && !p.complete.contains(p.cursor.file));
  if (Crc32c(data) != crc32c) {
    return absl::DataLossError("snapshot chunk at " + std::to_string(cursor.offset) + " of " +
                               file.name + ": checksum mismatch");
  }
  if (data.size() > file.size - p.cursor.offset) {
    return absl::DataLossError("snapshot chunk at " + std::to_string(cursor.offset) + " of " +
                               file.name + ": it runs past the file's end at " +
                               std::to_string(file.size));
  }
  if (absl::Status s = OpenCurrent(); !s.ok()) return HandleError(s);
  if (absl::Status s = p.file->WriteAt(p.cursor.offset, data); !s.ok()) return HandleError(s);
  p.crc = Crc32c(data, p.crc);
  p.cursor.offset += data.size();
  if (p.cursor.offset == file.size) {
    absl::Status s = FinishFile();
    if (absl::IsDataLoss(s)) return s;
    if (!s.ok()) return HandleError(s);
  }
  return Wanted();
}

absl::Status SnapshotReceiver::FinishFile() {
  Partial& p = *partial_;
  const SnapshotFile& file = p.local.files[p.cursor.file];
  if (p.crc != file.crc32c) {
    p.file.reset();
    p.crc = 0;
    p.cursor.offset = 0;
    return absl::DataLossError("snapshot file " + file.name +
                               ": checksum mismatch; it is wanted again");
  }
  if (absl::Status s = p.file->Sync(); !s.ok()) return s;
  p.complete.insert(p.cursor.file);
  return SkipComplete();
}

absl::StatusOr<Manifest> SnapshotReceiver::Finish() {
  if (absl::Status s = directory_.Usable(); !s.ok()) return s;
  if (!partial_ || !partial_->resumed || partial_->cursor.file != partial_->local.files.size()) {
    return absl::FailedPreconditionError("a snapshot is not complete yet");
  }
  DQ_CHECK(partial_->complete.size() == partial_->local.files.size());
  const Manifest manifest = partial_->local;
  if (absl::Status s = directory_.Publish(manifest); !s.ok()) return HandleError(s);
  partial_.reset();
  ProtectFiles();
  if (absl::Status s = directory_.fs().Remove(directory_.PathOf(kPartialName)); !s.ok()) {
    return directory_.Fail(s);
  }
  return manifest;
}

}  // namespace dqueue::storage
