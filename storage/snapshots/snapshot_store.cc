#include "storage/snapshots/snapshot_store.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/check.h"
#include "storage/files/crc32c.h"
#include "storage/snapshots/snapshot_directory.h"
#include "storage/snapshots/snapshot_receiver.h"

namespace dqueue::storage {
namespace {

constexpr size_t kWriteBytes = 1 << 20;

class WriterImpl : public SnapshotWriter {
 public:
  WriterImpl(SnapshotDirectory* directory, raft::SnapshotMeta meta, uint64_t data_file_bytes)
      : directory_(*directory), data_file_bytes_(data_file_bytes) {
    manifest_.meta = std::move(meta);
  }

  ~WriterImpl() override {
    if (!done_ && directory_.Usable().ok()) (void)Drop();
  }

  absl::Status Append(std::string_view bytes) override {
    if (absl::Status s = Ready(); !s.ok()) return s;
    while (!bytes.empty()) {
      const uint64_t in_file = file_bytes_ + buffer_.size();
      const size_t n = std::min<uint64_t>(
          {bytes.size(), kWriteBytes - buffer_.size(), data_file_bytes_ - in_file});
      buffer_.append(bytes.substr(0, n));
      bytes.remove_prefix(n);
      if (buffer_.size() < kWriteBytes && in_file + n < data_file_bytes_) continue;
      if (absl::Status s = Flush(); !s.ok()) return Failed(s);
      if (file_bytes_ < data_file_bytes_) continue;
      if (absl::Status s = FinishFile(); !s.ok()) return Failed(s);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Manifest> Commit(uint64_t digest) override {
    if (absl::Status s = Ready(); !s.ok()) return s;
    if (absl::Status s = Flush(); !s.ok()) return Failed(s);
    if (absl::Status s = FinishFile(); !s.ok()) return Failed(s);
    manifest_.digest = digest;
    if (absl::Status s = directory_.Publish(manifest_); !s.ok()) return Failed(s);
    done_ = true;
    return manifest_;
  }

 private:
  absl::Status Ready() const {
    if (done_) return absl::FailedPreconditionError("the snapshot was committed or dropped");
    return directory_.Usable();
  }

  absl::Status Flush() {
    if (buffer_.empty()) return absl::OkStatus();
    if (file_ == nullptr) {
      const std::string name = directory_.ReserveName(manifest_.meta.index);
      manifest_.files.push_back({name, 0, 0});
      absl::StatusOr<std::unique_ptr<File>> file = directory_.fs().Create(directory_.PathOf(name));
      if (!file.ok()) return file.status();
      file_ = *std::move(file);
    }
    if (absl::Status s = file_->WriteAt(file_bytes_, buffer_); !s.ok()) return s;
    SnapshotFile& entry = manifest_.files.back();
    entry.crc32c = Crc32c(buffer_, entry.crc32c);
    file_bytes_ += buffer_.size();
    entry.size = file_bytes_;
    buffer_.clear();
    return absl::OkStatus();
  }

  absl::Status FinishFile() {
    if (file_ == nullptr) return absl::OkStatus();
    if (absl::Status s = file_->Sync(); !s.ok()) return s;
    file_.reset();
    file_bytes_ = 0;
    return absl::OkStatus();
  }

  absl::Status Drop() {
    done_ = true;
    file_.reset();
    return directory_.RemoveUnused(manifest_.files);
  }

  absl::Status Failed(absl::Status status) {
    status = directory_.Fail(std::move(status));
    if (directory_.Usable().ok()) {
      if (absl::Status s = Drop(); !s.ok()) return s;
    }
    done_ = true;
    return status;
  }

  SnapshotDirectory& directory_;
  const uint64_t data_file_bytes_;
  Manifest manifest_;
  std::unique_ptr<File> file_;
  uint64_t file_bytes_ = 0;  // bytes written to file_
  std::string buffer_;
  bool done_ = false;
};

class ReaderImpl : public SnapshotReader {
 public:
  ReaderImpl(const SnapshotDirectory* directory, Manifest manifest)
      : directory_(*directory), manifest_(std::move(manifest)) {}

  absl::StatusOr<std::string> Next(size_t max_bytes) override {
    DQ_CHECK(max_bytes > 0);
    while (at_ < manifest_.files.size()) {
      const SnapshotFile& entry = manifest_.files[at_];
      const std::string path = directory_.PathOf(entry.name);
      if (file_ == nullptr) {
        if (absl::Status s = OpenFile(entry, path); !s.ok()) return s;
      }
      std::string out(std::min<uint64_t>(max_bytes, entry.size - offset_), '\0');
      absl::StatusOr<size_t> n = file_->ReadAt(offset_, out);
      if (!n.ok()) return n.status();
      if (*n != out.size()) return absl::DataLossError(path + ": the file became shorter");
      crc_ = Crc32c(out, crc_);
      offset_ += out.size();
      if (offset_ == entry.size) {
        if (crc_ != entry.crc32c) return absl::DataLossError(path + ": checksum mismatch");
        file_.reset();
        ++at_;
      }
      if (!out.empty()) return out;
    }
    return std::string();
  }

 private:
  absl::Status OpenFile(const SnapshotFile& entry, const std::string& path) {
    absl::StatusOr<std::unique_ptr<File>> file = directory_.fs().OpenForRead(path);
    if (absl::IsNotFound(file.status())) {
      return absl::DataLossError(path + ": the file is missing");
    }
    if (!file.ok()) return file.status();
    absl::StatusOr<uint64_t> size = (*file)->Size();
    if (!size.ok()) return size.status();
    if (*size != entry.size) {
      return absl::DataLossError(path + ": the file has " + std::to_string(*size) +
                                 " bytes, its manifest says " + std::to_string(entry.size));
    }
    file_ = *std::move(file);
    offset_ = 0;
    crc_ = 0;
    return absl::OkStatus();
  }

  const SnapshotDirectory& directory_;
  const Manifest manifest_;
  size_t at_ = 0;               // index in manifest_.files
  std::unique_ptr<File> file_;  // nullptr: not open yet
  uint64_t offset_ = 0;
  uint32_t crc_ = 0;
};

class StoreImpl : public SnapshotStore {
 public:
  StoreImpl(FileSystem& fs, const std::string& directory, uint64_t data_file_bytes)
      : directory_(fs, directory), receiver_(&directory_), data_file_bytes_(data_file_bytes) {}

  absl::Status Load() {
    if (absl::Status s = directory_.Load(); !s.ok()) return s;
    if (absl::Status s = receiver_.Load(); !s.ok()) return s;
    return directory_.RemoveUnreferenced();
  }

  std::vector<Manifest> List() const override { return directory_.List(); }
  std::vector<UnreadableManifest> Unreadable() const override { return directory_.unreadable(); }

  absl::StatusOr<std::unique_ptr<SnapshotWriter>> Begin(const raft::SnapshotMeta& meta) override {
    if (absl::Status s = directory_.Usable(); !s.ok()) return s;
    DQ_CHECK_MSG(meta.index.value() > 0, "a snapshot at index 0");
    ForgetFiles();
    return std::make_unique<WriterImpl>(&directory_, meta, data_file_bytes_);
  }

  absl::StatusOr<std::unique_ptr<SnapshotReader>> Read(const Manifest& manifest) override {
    if (std::string problem = ManifestProblem(manifest); !problem.empty()) {
      return absl::InvalidArgumentError("snapshot manifest with " + problem);
    }
    return std::make_unique<ReaderImpl>(&directory_, manifest);
  }

  absl::StatusOr<std::string> ReadChunk(const Manifest& manifest, raft::SnapshotCursor cursor,
                                        size_t max_bytes, raft::SnapshotCursor* next) override {
    DQ_CHECK(max_bytes > 0);
    const bool at_end = cursor.file == manifest.files.size() && cursor.offset == 0;
    if (!at_end && (cursor.file >= manifest.files.size() ||
                    cursor.offset > manifest.files[cursor.file].size)) {
      return absl::InvalidArgumentError("cursor " + std::to_string(cursor.file) + ":" +
                                        std::to_string(cursor.offset) + " is outside the snapshot");
    }
    *next = cursor;
    if (at_end) return std::string();
    const SnapshotFile& entry = manifest.files[cursor.file];
    std::string out(std::min<uint64_t>(max_bytes, entry.size - cursor.offset), '\0');
    if (!out.empty()) {
      const std::string path = directory_.PathOf(entry.name);
      if (path != chunk_path_ || cursor.offset == 0) {
        CloseChunkFile();
        absl::StatusOr<std::unique_ptr<File>> file = directory_.fs().OpenForRead(path);
        if (!file.ok()) return file.status();
        if (cursor.offset == 0 || !verified_.contains(entry.name)) {
          verified_.erase(entry.name);
          absl::Status intact = VerifySnapshotFile(directory_.fs(), path, entry);
          if (!intact.ok()) return intact;
          verified_.insert(entry.name);
        }
        chunk_file_ = *std::move(file);
        chunk_path_ = path;
      }
      absl::StatusOr<size_t> n = chunk_file_->ReadAt(cursor.offset, out);
      if (!n.ok()) return n.status();
      if (*n != out.size()) {
        return absl::DataLossError(path + ": the file is shorter than its manifest says");
      }
    }
    next->offset += out.size();
    if (next->offset == entry.size) *next = {cursor.file + 1, 0};
    return out;
  }

  absl::StatusOr<raft::SnapshotCursor> BeginReceive(const Manifest& manifest) override {
    ForgetFiles();
    return receiver_.Begin(manifest);
  }
  absl::StatusOr<raft::SnapshotCursor> StoreChunk(raft::SnapshotCursor cursor,
                                                  std::string_view data, uint32_t crc32c) override {
    return receiver_.Store(cursor, data, crc32c);
  }
  absl::StatusOr<Manifest> FinishReceive() override { return receiver_.Finish(); }

  absl::Status RemoveOld(size_t count, raft::Index keep) override {
    if (absl::Status s = directory_.Usable(); !s.ok()) return s;
    const std::vector<Manifest> all = directory_.List();
    ForgetFiles();
    for (size_t i = 0; i + count < all.size(); ++i) {
      if (all[i].meta.index == keep) continue;
      if (absl::Status s = directory_.Delete(all[i]); !s.ok()) return s;
    }
    return directory_.DeleteUnreadable(keep);
  }

  absl::Status Remove(const Manifest& manifest) override {
    ForgetFiles();
    const Manifest* listed = directory_.Find(manifest.meta);
    if (listed == nullptr) return absl::OkStatus();
    return directory_.Delete(*listed);
  }

 private:
  void CloseChunkFile() {
    chunk_file_.reset();
    chunk_path_.clear();
  }

  // Before a file's name can be reused.
  void ForgetFiles() {
    CloseChunkFile();
    verified_.clear();
  }

  SnapshotDirectory directory_;
  SnapshotReceiver receiver_;
  const uint64_t data_file_bytes_;
  // The file of the last ReadChunk(), and the names of files that ReadChunk() has verified.
  std::string chunk_path_;
  std::unique_ptr<File> chunk_file_;
  std::set<std::string> verified_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SnapshotStore>> SnapshotStore::Open(FileSystem& fs,
                                                                   const std::string& directory,
                                                                   uint64_t data_file_bytes) {
  DQ_CHECK(data_file_bytes > 0);
  auto store = std::make_unique<StoreImpl>(fs, directory, data_file_bytes);
  if (absl::Status s = store->Load(); !s.ok()) return s;
  return store;
}

}  // namespace dqueue::storage
