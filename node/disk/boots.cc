#include "node/disk/boots.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "storage/files/crc32c.h"
#include "storage/files/little_endian.h"

namespace dqueue::node {
namespace {

constexpr std::string_view kMagic = "dqboots1";
constexpr size_t kAtCrc = 8;  // covers all bytes after it
constexpr size_t kAtIncarnation = 12;
constexpr size_t kHeaderBytes = 20;
constexpr size_t kBootBytes = 16;
constexpr uint64_t kFileBytesMax = 64 << 10;

std::string Encode(raft::Incarnation incarnation, const std::vector<raft::Boot>& boots) {
  std::string out(kHeaderBytes + boots.size() * kBootBytes, '\0');
  out.replace(0, kMagic.size(), kMagic);
  storage::StoreU64(out.data() + kAtIncarnation, incarnation.value());
  char* at = out.data() + kHeaderBytes;
  for (const raft::Boot& boot : boots) {
    storage::StoreU64(at, boot.number);
    storage::StoreU64(at + 8, boot.mark);
    at += kBootBytes;
  }
  storage::StoreU32(out.data() + kAtCrc,
                    storage::Crc32c(std::string_view(out).substr(kAtIncarnation)));
  return out;
}

bool Decode(std::string_view bytes, raft::Incarnation* incarnation,
            std::vector<raft::Boot>* boots) {
  if (bytes.size() < kHeaderBytes || (bytes.size() - kHeaderBytes) % kBootBytes != 0 ||
      bytes.substr(0, kMagic.size()) != kMagic ||
      storage::LoadU32(bytes.data() + kAtCrc) != storage::Crc32c(bytes.substr(kAtIncarnation))) {
    return false;
  }
  *incarnation = raft::Incarnation(storage::LoadU64(bytes.data() + kAtIncarnation));
  for (size_t at = kHeaderBytes; at < bytes.size(); at += kBootBytes) {
    boots->push_back(
        {storage::LoadU64(bytes.data() + at), storage::LoadU64(bytes.data() + at + 8)});
  }
  return true;
}

absl::StatusOr<std::string> ReadWhole(storage::FileSystem& fs, const std::string& path) {
  absl::StatusOr<std::unique_ptr<storage::File>> file = fs.OpenForRead(path);
  if (!file.ok()) return file.status();
  absl::StatusOr<uint64_t> size = (*file)->Size();
  if (!size.ok()) return size.status();
  std::string bytes(std::min(*size, kFileBytesMax), '\0');
  absl::StatusOr<size_t> read = (*file)->ReadAt(0, bytes);
  if (!read.ok()) return read.status();
  bytes.resize(*read);
  return bytes;
}

// The file has the old bytes or the new ones, also after a crash. Durable on return.
absl::Status Replace(storage::FileSystem& fs, const std::string& directory, const std::string& name,
                     std::string_view bytes) {
  const std::string temporary = directory + "/" + name + ".tmp";
  const auto write = [&]() -> absl::Status {
    absl::StatusOr<std::unique_ptr<storage::File>> file = fs.Create(temporary);
    if (!file.ok()) return file.status();
    if (absl::Status s = (*file)->WriteAt(0, bytes); !s.ok()) return s;
    return (*file)->Sync();
  };
  absl::Status status = write();
  if (absl::IsResourceExhausted(status)) {
    const absl::Status removed = fs.Remove(temporary);
    return removed.ok() || absl::IsNotFound(removed) ? status : removed;
  }
  if (!status.ok()) return status;
  if (absl::Status s = fs.Rename(temporary, directory + "/" + name); !s.ok()) return s;
  return fs.SyncDirectory(directory);
}

}  // namespace

absl::StatusOr<std::vector<raft::Boot>> AddBoot(storage::FileSystem& fs,
                                                const std::string& data_dir,
                                                raft::Incarnation incarnation, uint64_t mark) {
  const std::string path = data_dir + "/boots";
  std::vector<raft::Boot> boots;
  absl::StatusOr<std::string> bytes = ReadWhole(fs, path);
  if (bytes.ok()) {
    raft::Incarnation found;
    if (!Decode(*bytes, &found, &boots)) {
      return absl::DataLossError(path +
                                 ":0: checksum mismatch; leave this node stopped, keep its "
                                 "directory as it is, and run the other members");
    }
    if (found != incarnation) boots.clear();
  } else if (!absl::IsNotFound(bytes.status())) {
    return bytes.status();
  }
  std::vector<raft::Boot> next = boots;
  next.push_back({boots.empty() ? 1 : boots.back().number + 1, mark});
  if (next.size() > kBootsKept) next.erase(next.begin(), next.end() - kBootsKept);
  const absl::Status written = Replace(fs, data_dir, "boots", Encode(incarnation, next));
  if (absl::IsResourceExhausted(written)) return boots;
  if (!written.ok()) return written;
  return next;
}

absl::Status MarkWentBack(storage::FileSystem& fs, const std::string& data_dir,
                          const std::string& text) {
  return Replace(fs, data_dir, "went-back", text);
}

absl::Status CheckWentBack(storage::FileSystem& fs, const std::string& data_dir) {
  absl::StatusOr<std::string> text = ReadWhole(fs, data_dir + "/went-back");
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  if (!text.ok()) return text.status();
  return absl::DataLossError(*text);
}

}  // namespace dqueue::node
