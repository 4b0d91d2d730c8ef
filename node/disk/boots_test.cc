#include "node/disk/boots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/testing/fault_file_system.h"

namespace dqueue::node {
namespace {

using ::testing::ElementsAre;

constexpr char kData[] = "/data";
const raft::Incarnation kSelf(7);

class BootsTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(fs_.CreateDirectory(kData).ok()); }
  std::vector<raft::Boot> Add(uint64_t mark, raft::Incarnation self = kSelf) {
    absl::StatusOr<std::vector<raft::Boot>> boots = AddBoot(fs_, kData, self, mark);
    EXPECT_TRUE(boots.ok()) << boots.status();
    return boots.ok() ? *boots : std::vector<raft::Boot>();
  }

  storage::FaultFileSystem fs_;
};

TEST_F(BootsTest, EachStartIsAddedDurably) {
  EXPECT_THAT(Add(11), ElementsAre(raft::Boot{1, 11}));
  fs_.CrashKeeping(false);
  EXPECT_THAT(Add(22), ElementsAre(raft::Boot{1, 11}, raft::Boot{2, 22}));
}

TEST_F(BootsTest, KeepsTheNewest) {
  for (uint64_t mark = 1; mark <= kBootsKept + 3; ++mark) Add(mark);
  const std::vector<raft::Boot> boots = Add(999);
  ASSERT_EQ(boots.size(), kBootsKept);
  EXPECT_EQ(boots.front(), (raft::Boot{5, 5}));
  EXPECT_EQ(boots.back(), (raft::Boot{kBootsKept + 4, 999}));
}

TEST_F(BootsTest, AnotherIncarnationStartsAnew) {
  Add(11);
  EXPECT_THAT(Add(22, raft::Incarnation(8)), ElementsAre(raft::Boot{1, 22}));
}

TEST_F(BootsTest, AFullDiskDoesNotPreventAStart) {
  Add(11);
  fs_.SetCapacity(fs_.UsedBytes());
  EXPECT_THAT(Add(22), ElementsAre(raft::Boot{1, 11}));
  fs_.SetCapacity(UINT64_MAX);
  EXPECT_THAT(Add(33), ElementsAre(raft::Boot{1, 11}, raft::Boot{2, 33}));
}

TEST_F(BootsTest, ADamagedFileIsRefused) {
  Add(11);
  const std::string bytes = fs_.Bytes("/data/boots");
  const absl::Status damaged = absl::DataLossError(
      "/data/boots:0: checksum mismatch; leave this node stopped, keep its directory as it is, "
      "and run the other members");
  for (uint64_t bit = 0; bit < bytes.size() * 8; ++bit) {
    fs_.PutFile("/data/boots", bytes);
    fs_.FlipBit("/data/boots", bit);
    EXPECT_EQ(AddBoot(fs_, kData, kSelf, 22).status(), damaged) << bit;
  }
  for (size_t size = 0; size < bytes.size(); ++size) {
    fs_.PutFile("/data/boots", bytes.substr(0, size));
    EXPECT_EQ(AddBoot(fs_, kData, kSelf, 22).status(), damaged) << size;
  }
}

// After a crash at any operation, the next start is counted, and no mark of a start that returned
// is lost.
TEST_F(BootsTest, ACrashAtAnyOperationLosesNoStart) {
  for (uint64_t n = 0; n < 8; ++n) {
    storage::FaultFileSystem fs;
    ASSERT_TRUE(fs.CreateDirectory(kData).ok());
    ASSERT_TRUE(AddBoot(fs, kData, kSelf, 11).ok());
    fs.StopAfter(n);
    const bool returned = AddBoot(fs, kData, kSelf, 22).ok();
    fs.Crash(n);
    const auto boots = AddBoot(fs, kData, kSelf, 33);
    ASSERT_TRUE(boots.ok()) << boots.status();
    if (returned || boots->size() == 3) {
      EXPECT_THAT(*boots, ElementsAre(raft::Boot{1, 11}, raft::Boot{2, 22}, raft::Boot{3, 33}));
    } else {
      EXPECT_THAT(*boots, ElementsAre(raft::Boot{1, 11}, raft::Boot{2, 33}));
    }
  }
}

TEST_F(BootsTest, TheMarkOfADirectoryThatWentBackIsFound) {
  EXPECT_TRUE(CheckWentBack(fs_, kData).ok());
  ASSERT_TRUE(MarkWentBack(fs_, kData, "why").ok());
  fs_.CrashKeeping(false);
  EXPECT_EQ(CheckWentBack(fs_, kData), absl::DataLossError("why"));
}

}  // namespace
}  // namespace dqueue::node
