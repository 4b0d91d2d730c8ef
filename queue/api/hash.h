// The queue's own 64-bit hash: the same on every machine and in every version, because digests and
// content identities are made of it and replicas compare them. Built from 64x64->128-bit multiplies
// that keep both factors (so a zero factor loses nothing). Not for secrets.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace dqueue::queue {

// One step: mixes x and y well, and loses neither. (Folding the product alone would lose x when y
// is 0; adding x ^ y to that would lose it when y is 1.)
inline uint64_t MixPair(uint64_t x, uint64_t y) {
  const unsigned __int128 product = static_cast<unsigned __int128>(x) * y;
  const uint64_t folded = static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  return folded + (x ^ std::rotl(y, 17));
}

// Hash of bytes. Different seeds give independent hashes.
uint64_t HashBytes(std::string_view bytes, uint64_t seed);

// Hash of a sequence of numbers (and of bytes, by their HashBytes): order and count matter.
class HashSequence {
 public:
  explicit HashSequence(uint64_t seed) : state_(seed ^ kStart) {}
  HashSequence& Add(uint64_t value) {
    state_ = MixPair(state_ ^ kLeft, value ^ kRight) + kStart;
    return *this;
  }
  HashSequence& Add(std::string_view bytes) { return Add(HashBytes(bytes, kRight)); }
  uint64_t Finish() const { return MixPair(state_ ^ kRight, kLeft); }

 private:
  static constexpr uint64_t kStart = 0x9e3779b97f4a7c15;
  static constexpr uint64_t kLeft = 0xe7037ed1a0b428db;
  static constexpr uint64_t kRight = 0xa0761d6478bd642f;

  uint64_t state_;
};

}  // namespace dqueue::queue
