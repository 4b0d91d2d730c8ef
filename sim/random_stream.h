// The simulator's only source of randomness: xoshiro256** streams. Each subsystem has its own
// stream, so an additional draw in one subsystem does not change the draws of another.
#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "raft/types.h"

namespace dqueue::sim {

class RandomStream {
 public:
  // Streams of different names are independent for the same seed.
  RandomStream(uint64_t seed, std::string_view stream) {
    uint64_t h = 0xcbf29ce484222325ULL;
    for (const char c : stream) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    uint64_t x = seed ^ h;
    for (uint64_t& word : state_) {  // splitmix64, as the authors of xoshiro advise
      x += 0x9e3779b97f4a7c15ULL;
      uint64_t z = x;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
      word = z ^ (z >> 31);
    }
  }

  uint64_t Next() {
    const uint64_t result = Rotate(state_[1] * 5, 7) * 9;
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = Rotate(state_[3], 45);
    return result;
  }
  // 0 … n-1. Requires n > 0.
  uint64_t Below(uint64_t n) {
    DQ_CHECK(n > 0);
    return static_cast<uint64_t>((static_cast<unsigned __int128>(Next()) * n) >> 64);
  }
  // first … last, both included.
  int64_t Between(int64_t first, int64_t last) {
    DQ_CHECK(first <= last);
    return first + static_cast<int64_t>(Below(static_cast<uint64_t>(last - first) + 1));
  }
  // 0 <= x < 1.
  double Fraction() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }
  // True with probability `p`. Draws nothing if p <= 0.
  bool Chance(double p) { return p > 0 && Fraction() < p; }
  // first … last, both included.
  Duration Uniform(Duration first, Duration last) {
    return Duration(Between(first.count(), last.count()));
  }
  // Exponentially distributed with this mean, capped at 20 times the mean.
  Duration Exponential(Duration mean) {
    const double x = -std::log1p(-Fraction());
    return Duration(static_cast<int64_t>(std::fmin(x, 20.0) * static_cast<double>(mean.count())));
  }

 private:
  static uint64_t Rotate(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
  uint64_t state_[4];
};

}  // namespace dqueue::sim
