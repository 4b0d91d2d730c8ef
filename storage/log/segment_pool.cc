#include "storage/log/segment_pool.h"

#include <algorithm>

#include "storage/log/segment_header.h"

namespace dqueue::storage {
namespace {

constexpr size_t kZeroPieceBytes = 1 << 20;

absl::Status FillWithZeros(File& file, uint64_t bytes) {
  alignas(kDirectAlignment) static char zeros[kZeroPieceBytes];  // never written to
  for (uint64_t at = 0; at < bytes; at += kZeroPieceBytes) {
    const size_t n = std::min<uint64_t>(kZeroPieceBytes, bytes - at);
    if (absl::Status s = file.WriteAt(at, {zeros, n}); !s.ok()) return s;
  }
  return file.Sync();
}

}  // namespace

SegmentPool::SegmentPool(FileSystem& fs, std::string directory, uint64_t segment_bytes,
                         size_t target)
    : fs_(fs), directory_(std::move(directory)), segment_bytes_(segment_bytes), target_(target) {}

size_t SegmentPool::ready() const {
  std::lock_guard lock(mu_);
  return ready_.size();
}

absl::StatusOr<FreeFile> SegmentPool::Make() {
  FreeFile out;
  {
    std::lock_guard lock(mu_);
    out.path = JoinPath(directory_, FreeName(next_number_++));
  }
  absl::StatusOr<std::unique_ptr<File>> file = fs_.Create(out.path);
  absl::Status status = file.status();
  if (status.ok()) {
    out.file = *std::move(file);
    out.file->WriteDirectly();
    status = FillWithZeros(*out.file, segment_bytes_);
    if (status.ok()) return out;
    out.file.reset();
  }
  // Free the space at once: other writers may need it.
  if (absl::Status removed = fs_.Remove(out.path); !removed.ok() && !absl::IsNotFound(removed)) {
    return removed;
  }
  return status;
}

absl::StatusOr<bool> SegmentPool::Prepare() {
  if (ready() >= target_) return false;
  absl::StatusOr<FreeFile> made = Make();
  if (!made.ok()) return made.status();
  std::lock_guard lock(mu_);
  ready_.push_back(*std::move(made));
  return true;
}

absl::StatusOr<FreeFile> SegmentPool::Take() {
  {
    std::lock_guard lock(mu_);
    if (!ready_.empty()) {
      FreeFile out = std::move(ready_.front());
      ready_.pop_front();
      return out;
    }
  }
  return Make();
}

}  // namespace dqueue::storage
