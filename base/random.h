// A seeded generator of 64-bit numbers (SplitMix64). The sequence is the same on every platform, so
// that a seed can be replayed (R10).
#pragma once

#include <cstdint>

#include "base/check.h"

namespace dqueue {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15u;
    return Mix(state_);
  }
  // Nearly uniform in [0, bound). Requires bound > 0.
  uint64_t Below(uint64_t bound) {
    DQ_CHECK(bound > 0);
    return Next() % bound;
  }
  // A bijection that spreads every input bit over all output bits.
  static uint64_t Mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

}  // namespace dqueue
