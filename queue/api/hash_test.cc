#include "queue/api/hash.h"

#include <bit>
#include <cstdint>
#include <set>
#include <string>

#include "gtest/gtest.h"

namespace dqueue::queue {
namespace {

// Digests are compared between machines and versions: these must never change.
TEST(HashTest, ValuesNeverChange) {
  EXPECT_EQ(HashBytes("", 0), HashBytes(std::string_view(), 0));
  const std::string text = "The quick brown fox jumps over the lazy dog, twice, to be sure.";
  std::string seen;
  for (const size_t n : {0, 1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 48, 63}) {
    seen += std::to_string(HashBytes(text.substr(0, n), 42)) + "\n";
  }
  seen += std::to_string(HashSequence(7).Add(1).Add("two").Add(3).Finish()) + "\n";
  EXPECT_EQ(seen,
            "4141789545784456755\n"
            "12620733817089001777\n"
            "11464332680271479854\n"
            "4348808044452078167\n"
            "6662761553567525161\n"
            "1483831618630869057\n"
            "5048665293641464651\n"
            "16936781329588658914\n"
            "5053398215317729915\n"
            "8252556373049074546\n"
            "17393181125553287748\n"
            "1466605134048406689\n"
            "1538239588518194840\n"
            "17983732942724519731\n"
            "15171661591994902139\n");
}

TEST(HashTest, EveryByteOfEveryLengthCounts) {
  for (size_t size = 0; size <= 130; ++size) {
    const std::string text(size, 'x');
    std::set<uint64_t> hashes = {HashBytes(text, 1)};
    for (size_t i = 0; i < size; ++i) {
      std::string changed = text;
      changed[i] = 'y';
      hashes.insert(HashBytes(changed, 1));
    }
    EXPECT_EQ(hashes.size(), size + 1) << size << " bytes";
  }
}

TEST(HashTest, LengthCountsAlsoOfZeroBytes) {
  std::set<uint64_t> hashes;
  for (size_t size = 0; size <= 200; ++size) hashes.insert(HashBytes(std::string(size, '\0'), 0));
  EXPECT_EQ(hashes.size(), 201u);
}

TEST(HashTest, NoFactorIsLost) {
  for (const uint64_t y : {uint64_t{0}, uint64_t{1}, uint64_t{2}, UINT64_MAX, uint64_t{1} << 63}) {
    std::set<uint64_t> left;
    std::set<uint64_t> right;
    for (uint64_t x = 0; x < 1000; ++x) {
      left.insert(MixPair(x, y));
      right.insert(MixPair(y, x));
    }
    EXPECT_GT(left.size(), 450u) << y;
    EXPECT_GT(right.size(), 450u) << y;
  }
}

TEST(HashTest, SeedsAreIndependent) {
  EXPECT_NE(HashBytes("job", 1), HashBytes("job", 2));
  EXPECT_NE(HashSequence(1).Add(5).Finish(), HashSequence(2).Add(5).Finish());
}

TEST(HashTest, SequencesDistinguishOrderCountAndKind) {
  EXPECT_NE(HashSequence(0).Add(1).Add(2).Finish(), HashSequence(0).Add(2).Add(1).Finish());
  EXPECT_NE(HashSequence(0).Add(0).Finish(), HashSequence(0).Add(0).Add(0).Finish());
  EXPECT_NE(HashSequence(0).Add("ab").Add("c").Finish(),
            HashSequence(0).Add("a").Add("bc").Finish());
}

// Each input bit should flip about half of the output bits.
TEST(HashTest, OneBitChangesAboutHalfTheOutput) {
  int flipped = 0;
  int trials = 0;
  for (const size_t size : {1, 5, 8, 16, 24, 40, 100}) {
    for (size_t bit = 0; bit < size * 8; ++bit) {
      const std::string text(size, '\0');
      std::string changed = text;
      changed[bit / 8] = static_cast<char>(1 << (bit % 8));
      const int bits = std::popcount(HashBytes(text, 9) ^ HashBytes(changed, 9));
      EXPECT_GT(bits, 8) << size << " bytes, bit " << bit;
      flipped += bits;
      ++trials;
    }
  }
  EXPECT_NEAR(static_cast<double>(flipped) / trials, 32.0, 1.0);
}

}  // namespace
}  // namespace dqueue::queue
