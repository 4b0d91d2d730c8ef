// A growing byte buffer whose memory is aligned to kDirectAlignment, as File::WriteDirectly()
// requires.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string_view>

#include "storage/files/file_system.h"

namespace dqueue::storage {

class AlignedBuffer {
 public:
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  char* data() { return bytes_.get(); }
  const char* data() const { return bytes_.get(); }
  std::string_view view() const { return {data(), size_}; }
  std::span<const char> first(size_t bytes) const { return {data(), bytes}; }

  void Append(std::string_view bytes) {
    if (bytes.empty()) return;
    Reserve(size_ + bytes.size());
    std::memcpy(data() + size_, bytes.data(), bytes.size());
    size_ += bytes.size();
  }
  void AppendZeros(size_t count) {
    if (count == 0) return;
    Reserve(size_ + count);
    std::memset(data() + size_, 0, count);
    size_ += count;
  }
  // Keeps only the last `bytes`. Releases memory above kept_capacity that they do not need.
  void KeepLast(size_t bytes, size_t kept_capacity) {
    if (capacity_ > std::max(bytes, kept_capacity)) {
      AlignedBuffer smaller;
      smaller.Append(view().substr(size_ - bytes));
      *this = std::move(smaller);
      return;
    }
    if (bytes > 0) std::memmove(data(), data() + size_ - bytes, bytes);
    size_ = bytes;
  }
  void Truncate(size_t bytes) { size_ = std::min(size_, bytes); }

 private:
  struct Free {
    void operator()(char* bytes) const {
      ::operator delete[](bytes, std::align_val_t(kDirectAlignment));
    }
  };

  void Reserve(size_t bytes) {
    if (bytes <= capacity_) return;
    const size_t pieces = (std::max(bytes, 2 * capacity_) - 1) / kDirectAlignment + 1;
    const size_t capacity = pieces * kDirectAlignment;
    std::unique_ptr<char[], Free> larger(
        static_cast<char*>(::operator new[](capacity, std::align_val_t(kDirectAlignment))));
    if (size_ > 0) std::memcpy(larger.get(), data(), size_);
    bytes_ = std::move(larger);
    capacity_ = capacity;
  }

  std::unique_ptr<char[], Free> bytes_;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace dqueue::storage
