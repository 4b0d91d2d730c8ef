// Reads a file sequentially in pieces of at least kPieceBytes and serves smaller reads from memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "storage/files/file_system.h"

namespace dqueue::storage {

class FileWindow {
 public:
  static constexpr uint64_t kPieceBytes = 1 << 20;

  FileWindow(const File& file, uint64_t size) : file_(file), size_(size) {}

  // Returns `bytes` bytes at `offset`, or fewer at the end of the file. Valid until the next call.
  absl::StatusOr<std::string_view> Get(uint64_t offset, uint64_t bytes) {
    if (offset >= size_) return std::string_view();
    bytes = std::min(bytes, size_ - offset);
    if (offset < begin_ || offset + bytes > begin_ + window_.size()) {
      window_.resize(std::min(std::max(bytes, kPieceBytes), size_ - offset));
      absl::StatusOr<size_t> n = file_.ReadAt(offset, window_);
      if (!n.ok()) {
        window_.clear();
        return n.status();
      }
      window_.resize(*n);
      begin_ = offset;
    }
    return std::string_view(window_).substr(offset - begin_, bytes);
  }

  uint64_t size() const { return size_; }

 private:
  const File& file_;
  const uint64_t size_;
  uint64_t begin_ = 0;
  std::string window_;
};

}  // namespace dqueue::storage
