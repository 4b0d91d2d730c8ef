// Comparing digests takes as long whichever byte differs. Welch's t-test over samples taken in
// random order, as in "Dude, is my code constant time?" (Reparaz and others, 2017).
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "transport/keys/secret_key.h"

namespace dqueue::transport {
namespace {

using Compare = bool (*)(const queue::KeyDigest& a, const queue::KeyDigest& b);

// A naive comparison, whose time depends on the first difference.
bool ByteByByte(const queue::KeyDigest& a, const queue::KeyDigest& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (const_cast<const volatile uint8_t&>(a[i]) != b[i]) return false;
  }
  return true;
}

struct Sums {
  double count = 0, mean = 0, squares = 0;

  void Add(double x) {
    count += 1;
    const double step = x - mean;
    mean += step / count;
    squares += step * (x - mean);
  }
  double error() const { return squares / (count - 1) / count; }
};

// |t| of the times for digests that differ in their first and in their last byte.
double Distance(Compare compare, std::mt19937* random) {
  constexpr int kSamples = 20'000;
  constexpr int kCompares = 50;
  queue::KeyDigest right{};
  for (uint8_t& byte : right) byte = static_cast<uint8_t>((*random)());
  queue::KeyDigest wrong[2] = {right, right};
  wrong[0].front() ^= 1;
  wrong[1].back() ^= 1;
  queue::KeyDigest given;
  const volatile Compare called = compare;

  std::vector<std::pair<bool, double>> samples;
  std::vector<double> times;
  for (int i = 0; i < kSamples; ++i) {
    const bool last = ((*random)() & 1) != 0;
    int equal = 0;
    // Both are compared at one address: another may cost more, by where lines of the cache end.
    given = wrong[last];
    const auto begin = std::chrono::steady_clock::now();
    for (int j = 0; j < kCompares; ++j) equal += called(right, given);
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
    EXPECT_EQ(equal, 0);
    samples.emplace_back(last, took.count());
    times.push_back(took.count());
  }
  // Those in which the machine did something else tell nothing.
  std::nth_element(times.begin(), times.begin() + kSamples * 9 / 10, times.end());
  const double longest = times[kSamples * 9 / 10];
  Sums first, last;
  for (const auto& [is_last, took] : samples) {
    if (took < longest) (is_last ? last : first).Add(took);
  }
  return std::abs(first.mean - last.mean) / std::sqrt(first.error() + last.error());
}

// The smallest of several, so that a noisy moment is no difference, and a difference stays one.
double Least(Compare compare) {
  std::mt19937 random(7);
  double least = 1e9;
  for (int round = 0; round < 5; ++round) least = std::min(least, Distance(compare, &random));
  return least;
}

TEST(Timing, DoesNotTellWhereDigestsDiffer) {
  const double ours = Least(SameDigest);
  const double careless = Least(ByteByByte);
  RecordProperty("t", std::to_string(ours));
  std::printf("|t| is %.1f; %.1f for a comparison that stops at the first difference\n", ours,
              careless);
  // Beyond 4.5 the two are said to differ.
  EXPECT_LT(ours, 4.5);
  EXPECT_GT(careless, 4.5) << "the test cannot see a difference";
}

}  // namespace
}  // namespace dqueue::transport
