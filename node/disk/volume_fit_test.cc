#include "node/disk/volume_fit.h"

#include <gtest/gtest.h>

namespace dqueue::node {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;

Options Unset() {
  Options options;
  options.name = "n1";
  options.data_dir = "/data";
  options.reserve_bytes = options.snapshot_log_bytes = options.log.segment_bytes = 0;
  return options;
}

TEST(VolumeFit, SizesFollowTheVolume) {
  struct Row {
    uint64_t volume, segment;
    int prepared;
    uint64_t reserve, snapshot_log, trailing;
  };
  const Row rows[] = {
      {64 * kMiB, 32 * kMiB, 1, 32 * kMiB, 8 * kMiB, 1 * kMiB},
      {300'000'000, 32 * kMiB, 1, 37'500'000, 18'750'000, 4'687'500},
      {1 * kGiB, 64 * kMiB, 1, 128 * kMiB, 64 * kMiB, 16 * kMiB},
      {2 * kGiB, 64 * kMiB, 2, 256 * kMiB, 128 * kMiB, 32 * kMiB},
      {1000 * kGiB, 64 * kMiB, 2, 256 * kMiB, 256 * kMiB, 32 * kMiB},
  };
  for (const Row& row : rows) {
    Options options = Unset();
    FitToVolume(row.volume, &options);
    EXPECT_EQ(options.log.segment_bytes, row.segment) << row.volume;
    EXPECT_EQ(options.log.prepared_segments, row.prepared) << row.volume;
    EXPECT_EQ(options.reserve_bytes, row.reserve) << row.volume;
    EXPECT_EQ(options.snapshot_log_bytes, row.snapshot_log) << row.volume;
    EXPECT_EQ(options.trailing_log_bytes, row.trailing) << row.volume;
    EXPECT_EQ(options.Problem(), "") << row.volume;
    EXPECT_EQ(options.log.Problem(), "") << row.volume;
  }
}

TEST(VolumeFit, GivenSizesStay) {
  Options options = Unset();
  options.reserve_bytes = 5;
  options.snapshot_log_bytes = 6;
  options.log.segment_bytes = 7;
  options.trailing_log_bytes = 8;
  FitToVolume(300'000'000, &options);
  EXPECT_EQ(options.reserve_bytes, 5u);
  EXPECT_EQ(options.snapshot_log_bytes, 6u);
  EXPECT_EQ(options.log.segment_bytes, 7u);
  EXPECT_EQ(options.trailing_log_bytes, 8u);
}

TEST(VolumeFit, ATooSmallVolumeIsNamed) {
  Options options = Unset();
  FitToVolume(300'000'000, &options);
  EXPECT_EQ(VolumeProblem(300'000'000, options), "");
  options.reserve_bytes = 256 * kMiB;
  EXPECT_EQ(VolumeProblem(300'000'000, options),
            "the volume of --data-dir has 300000000 bytes, but --reserve-bytes 268435456 and the "
            "log's segments (67108864) need 369098752; new jobs will be refused: use a larger "
            "volume or a smaller --reserve-bytes");
}

}  // namespace
}  // namespace dqueue::node
