#include "storage/snapshots/snapshot_directory.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "storage/files/crc32c.h"
#include "storage/files/file_window.h"

namespace dqueue::storage {
namespace {

constexpr std::string_view kManifestSuffix = ".manifest";
constexpr std::string_view kDataSuffix = ".data";
constexpr std::string_view kTemporarySuffix = ".tmp";
constexpr uint64_t kMaxSmallBytes = 64 << 20;

}  // namespace

std::string ManifestName(const raft::SnapshotMeta& meta) {
  return std::to_string(meta.index.value()) + "-" + std::to_string(meta.term.value()) +
         std::string(kManifestSuffix);
}

absl::Status VerifySnapshotFile(FileSystem& fs, const std::string& path,
                                const SnapshotFile& expected) {
  absl::StatusOr<std::unique_ptr<File>> file = fs.OpenForRead(path);
  if (absl::IsNotFound(file.status())) return absl::DataLossError(path + ": the file is missing");
  if (!file.ok()) return file.status();
  absl::StatusOr<uint64_t> size = (*file)->Size();
  if (!size.ok()) return size.status();
  if (*size != expected.size) {
    return absl::DataLossError(path + ": the file has " + std::to_string(*size) +
                               " bytes, its manifest says " + std::to_string(expected.size));
  }
  FileWindow window(**file, *size);
  uint32_t crc = 0;
  for (uint64_t at = 0; at < *size; at += FileWindow::kPieceBytes) {
    absl::StatusOr<std::string_view> bytes = window.Get(at, FileWindow::kPieceBytes);
    if (!bytes.ok()) return bytes.status();
    crc = Crc32c(*bytes, crc);
  }
  if (crc != expected.crc32c) return absl::DataLossError(path + ": checksum mismatch");
  return absl::OkStatus();
}

std::string SnapshotDirectory::PathOf(const std::string& name) const { return path_ + "/" + name; }

absl::Status SnapshotDirectory::Usable() const {
  if (!failed_) return absl::OkStatus();
  return absl::FailedPreconditionError(path_ + ": the snapshot store has failed");
}

absl::Status SnapshotDirectory::Fail(absl::Status status) {
  if (!status.ok() && !absl::IsResourceExhausted(status)) failed_ = true;
  return status;
}

absl::Status SnapshotDirectory::Load() {
  if (absl::Status s = fs_.CreateDirectory(path_); !s.ok()) return s;
  absl::StatusOr<std::vector<DirectoryEntry>> list = fs_.List(path_);
  if (!list.ok()) return list.status();
  for (const DirectoryEntry& entry : *list) {
    if (std::string_view(entry.name).ends_with(kDataSuffix)) reserved_.insert(entry.name);
    if (!std::string_view(entry.name).ends_with(kManifestSuffix)) continue;
    const std::string path = PathOf(entry.name);
    absl::StatusOr<std::string> bytes = ReadSmall(entry.name);
    if (!bytes.ok()) return bytes.status();
    absl::StatusOr<Manifest> manifest = DecodeManifest(*bytes);
    absl::Status problem;
    if (!manifest.ok()) {
      problem = absl::DataLossError(path + ": " + std::string(manifest.status().message()));
    } else if (ManifestName(manifest->meta) != entry.name) {
      problem = absl::DataLossError(path + ": manifest: it is " + ManifestName(manifest->meta) +
                                    ", copied or renamed");
    }
    if (problem.ok()) {
      manifests_[{manifest->meta.index, manifest->meta.term}] = *std::move(manifest);
    } else {
      unreadable_.push_back({entry.name, std::string(problem.message())});
    }
  }
  // After a crash of the process alone, listed names may not be durable.
  return Sync();
}

std::set<std::string> SnapshotDirectory::NamesInUse() const {
  std::set<std::string> names = protected_;
  for (const auto& [key, manifest] : manifests_) {
    for (const SnapshotFile& file : manifest.files) names.insert(file.name);
  }
  return names;
}

absl::Status SnapshotDirectory::RemoveUnreferenced() {
  if (!unreadable_.empty()) return absl::OkStatus();
  absl::StatusOr<std::vector<DirectoryEntry>> list = fs_.List(path_);
  if (!list.ok()) return list.status();
  const std::set<std::string> in_use = NamesInUse();
  for (const DirectoryEntry& entry : *list) {
    const std::string_view name = entry.name;
    const bool ours = name.ends_with(kDataSuffix) || name.ends_with(kTemporarySuffix);
    if (!entry.regular || !ours || in_use.contains(entry.name)) continue;
    if (absl::Status s = fs_.Remove(PathOf(entry.name)); !s.ok()) return s;
    reserved_.erase(entry.name);
  }
  return absl::OkStatus();
}

std::vector<Manifest> SnapshotDirectory::List() const {
  std::vector<Manifest> out;
  for (const auto& [key, manifest] : manifests_) out.push_back(manifest);
  return out;
}

const Manifest* SnapshotDirectory::Find(const raft::SnapshotMeta& meta) const {
  auto it = manifests_.find({meta.index, meta.term});
  return it == manifests_.end() ? nullptr : &it->second;
}

bool SnapshotDirectory::Has(const SnapshotFile& file) const {
  return std::any_of(manifests_.begin(), manifests_.end(), [&file](const auto& item) {
    const std::vector<SnapshotFile>& files = item.second.files;
    return std::find(files.begin(), files.end(), file) != files.end();
  });
}

std::string SnapshotDirectory::ReserveName(raft::Index index) {
  for (uint64_t n = 0;; ++n) {
    std::string name = std::to_string(index.value()) + "-" + std::to_string(n);
    name += kDataSuffix;
    if (reserved_.insert(name).second) return name;
  }
}

absl::Status SnapshotDirectory::RemoveUnused(const std::vector<SnapshotFile>& files) {
  const std::set<std::string> in_use = NamesInUse();
  for (const SnapshotFile& file : files) {
    if (in_use.contains(file.name)) continue;
    absl::Status s = fs_.Remove(PathOf(file.name));
    if (!s.ok() && !absl::IsNotFound(s)) return Fail(s);
    reserved_.erase(file.name);
  }
  return absl::OkStatus();
}

absl::Status SnapshotDirectory::WriteSmall(const std::string& name, std::string_view bytes) {
  const std::string temporary = PathOf(name + std::string(kTemporarySuffix));
  const auto write = [&]() -> absl::Status {
    absl::StatusOr<std::unique_ptr<File>> file = fs_.Create(temporary);
    if (!file.ok()) return file.status();
    if (absl::Status s = (*file)->WriteAt(0, bytes); !s.ok()) return s;
    if (absl::Status s = (*file)->Sync(); !s.ok()) return s;
    return fs_.Rename(temporary, PathOf(name));
  };
  absl::Status status = write();
  if (absl::IsResourceExhausted(status)) {
    const absl::Status removed = fs_.Remove(temporary);
    if (!removed.ok() && !absl::IsNotFound(removed)) status = removed;
  }
  return Fail(status);
}

absl::StatusOr<std::string> SnapshotDirectory::ReadSmall(const std::string& name) const {
  absl::StatusOr<std::unique_ptr<File>> file = fs_.OpenForRead(PathOf(name));
  if (!file.ok()) return file.status();
  absl::StatusOr<uint64_t> size = (*file)->Size();
  if (!size.ok()) return size.status();
  std::string bytes(std::min(*size, kMaxSmallBytes), '\0');
  absl::StatusOr<size_t> n = (*file)->ReadAt(0, bytes);
  if (!n.ok()) return n.status();
  bytes.resize(*n);
  return bytes;
}

absl::Status SnapshotDirectory::Publish(const Manifest& manifest) {
  if (absl::Status s = Usable(); !s.ok()) return s;
  // Sync the names of the data files first: a durable manifest must not name a missing file.
  if (absl::Status s = Sync(); !s.ok()) return Fail(s);
  if (absl::Status s = WriteSmall(ManifestName(manifest.meta), EncodeManifest(manifest)); !s.ok()) {
    return s;
  }
  if (absl::Status s = Sync(); !s.ok()) {
    failed_ = true;  // it is unknown which manifest is on disk now
    return s;
  }
  Manifest& listed = manifests_[{manifest.meta.index, manifest.meta.term}];
  const Manifest replaced = std::exchange(listed, manifest);
  return RemoveUnused(replaced.files);
}

absl::Status SnapshotDirectory::DeleteUnreadable(raft::Index index) {
  const auto before = [index](const UnreadableManifest& manifest) {
    uint64_t number = 0;
    const std::string_view name = manifest.name;
    const std::string_view digits = name.substr(0, name.find('-'));
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return error == std::errc() && end == digits.data() + digits.size() && number < index.value();
  };
  bool any = false;
  for (const UnreadableManifest& manifest : unreadable_) {
    if (!before(manifest)) continue;
    if (absl::Status s = Usable(); !s.ok()) return s;
    const absl::Status s = fs_.Remove(PathOf(manifest.name));
    if (!s.ok() && !absl::IsNotFound(s)) return Fail(s);
    any = true;
  }
  if (!any) return absl::OkStatus();
  if (absl::Status s = Sync(); !s.ok()) return Fail(s);
  std::erase_if(unreadable_, before);
  return absl::OkStatus();
}

absl::Status SnapshotDirectory::Delete(const Manifest& manifest) {
  if (absl::Status s = Usable(); !s.ok()) return s;
  const Manifest gone = manifest;  // copied, because erase() may delete the argument
  if (absl::Status s = fs_.Remove(PathOf(ManifestName(gone.meta))); !s.ok()) return Fail(s);
  if (absl::Status s = Sync(); !s.ok()) return Fail(s);
  manifests_.erase({gone.meta.index, gone.meta.term});
  return RemoveUnused(gone.files);
}

}  // namespace dqueue::storage
