// Tests of the fault model itself: the other storage tests and the simulator rely on it.
#include "storage/testing/fault_file_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace dqueue::storage {
namespace {

using testing::ElementsAre;

class FaultFileSystemTest : public testing::Test {
 protected:
  std::unique_ptr<File> Create(const std::string& path) {
    auto file = fs_.Create(path);
    EXPECT_TRUE(file.ok()) << file.status();
    return *std::move(file);
  }
  void SetUp() override { ASSERT_TRUE(fs_.CreateDirectory("d").ok()); }

  FaultFileSystem fs_;
};

TEST_F(FaultFileSystemTest, BehavesAsAFileSystem) {
  auto file = Create("d/f");
  EXPECT_TRUE(file->WriteAt(700, std::string("end")).ok());
  EXPECT_TRUE(file->WriteAt(0, std::string("begin")).ok());
  EXPECT_EQ(*file->Size(), 703u);
  std::string out(10, '?');
  EXPECT_EQ(*file->ReadAt(698, out), 5u);
  EXPECT_EQ(out.substr(0, 5), std::string("\0\0end", 5));
  EXPECT_EQ(*file->ReadAt(703, out), 0u);
  EXPECT_TRUE(*fs_.Exists("/d//./f"));
  EXPECT_EQ(fs_.OpenForRead("d/none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(fs_.OpenForRead("d").status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(fs_.Create("none/f").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(fs_.Remove("d/none").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(fs_.CreateDirectory("d/f/below").code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(fs_.Rename("d/f", "d/g").ok());
  EXPECT_FALSE(*fs_.Exists("d/f"));
  ASSERT_TRUE(fs_.CreateDirectory("d/sub/sub").ok());
  fs_.PutSpecial("d/fifo");
  const auto list = fs_.List("d");
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->size(), 3u);
  EXPECT_EQ((*list)[0].name, "fifo");
  EXPECT_FALSE((*list)[0].regular);
  EXPECT_EQ((*list)[1].name, "g");
  EXPECT_EQ((*list)[1].size, 703u);
  EXPECT_EQ((*list)[2].name, "sub");
  EXPECT_FALSE((*list)[2].regular);
  EXPECT_FALSE(fs_.OpenForWrite("d/fifo").ok());
  EXPECT_EQ((*fs_.Create("d/g"))->Size().value(), 0u);
  EXPECT_THAT(fs_.Paths(), ElementsAre("d/g"));
}

TEST_F(FaultFileSystemTest, LosesUnsyncedWrites) {
  auto file = Create("d/f");
  ASSERT_TRUE(file->WriteAt(0, std::string("one")).ok());
  ASSERT_TRUE(file->Sync().ok());
  EXPECT_FALSE(fs_.DurableBytes("d/f").ok()) << "the name is not durable";
  ASSERT_TRUE(fs_.SyncDirectory("d").ok());
  ASSERT_TRUE(file->WriteAt(1, std::string("XYZ")).ok());
  EXPECT_EQ(fs_.Bytes("d/f"), "oXYZ");
  EXPECT_EQ(*fs_.DurableBytes("d/f"), "one");
  fs_.CrashKeeping(false);
  EXPECT_EQ(fs_.Bytes("d/f"), "one");
  EXPECT_FALSE(file->Sync().ok()) << "opened before the crash";
}

TEST_F(FaultFileSystemTest, NamesAreDurableAfterDirectorySync) {
  auto file = Create("d/f");
  ASSERT_TRUE(file->WriteAt(0, std::string("one")).ok());
  ASSERT_TRUE(file->Sync().ok());
  fs_.CrashKeeping(false);
  EXPECT_FALSE(*fs_.Exists("d/f"));
  fs_.PutFile("d/g", "two");
  ASSERT_TRUE(fs_.Remove("d/g").ok());
  fs_.CrashKeeping(false);
  EXPECT_EQ(fs_.Bytes("d/g"), "two");
  ASSERT_TRUE(fs_.Rename("d/g", "d/h").ok());
  fs_.CrashKeeping(false);
  EXPECT_EQ(fs_.Bytes("d/g"), "two");
  ASSERT_TRUE(fs_.Rename("d/g", "d/h").ok());
  fs_.CrashKeeping(true);
  EXPECT_THAT(fs_.Paths(), ElementsAre("d/h"));
}

// Each of the two sectors may be kept, lost or torn. Synced bytes in the same sector are unharmed.
TEST_F(FaultFileSystemTest, AnySubsetOfSectorsSurvives) {
  std::set<std::string> seen;
  uint64_t torn = 0;
  for (uint64_t seed = 0; seed < 500; ++seed) {
    FaultFileSystem fs;
    fs.PutFile("f", std::string(1024, 'o'));
    auto file = fs.OpenForWrite("f");
    ASSERT_TRUE((*file)->WriteAt(256, std::string(512, 'n')).ok());
    fs.Crash(seed);
    const std::string bytes = fs.Bytes("f");
    ASSERT_EQ(bytes.size(), 1024u);
    ASSERT_EQ(bytes.substr(0, 256), std::string(256, 'o'));
    ASSERT_EQ(bytes.substr(768), std::string(256, 'o'));
    const std::string first = bytes.substr(256, 256);
    const std::string second = bytes.substr(512, 256);
    const auto name = [](const std::string& half) {
      if (half == std::string(256, 'o')) return 'o';
      return half == std::string(256, 'n') ? 'n' : 't';
    };
    const std::string kind{name(first), name(second)};
    if (kind.find('t') != std::string::npos) {
      ++torn;
    } else {
      seen.insert(kind);
    }
  }
  EXPECT_EQ(seen, (std::set<std::string>{"oo", "on", "no", "nn"}));
  EXPECT_GT(torn, 20u);
}

TEST_F(FaultFileSystemTest, AnyVersionOfASectorSurvives) {
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    FaultFileSystem fs;
    fs.PutFile("f", "0");
    auto file = fs.OpenForWrite("f");
    for (const char* version : {"1", "2", "3"}) {
      ASSERT_TRUE((*file)->WriteAt(0, std::string(version)).ok());
    }
    fs.Crash(seed);
    seen.insert(fs.Bytes("f"));
  }
  for (const char* version : {"0", "1", "2", "3"}) EXPECT_TRUE(seen.contains(version)) << version;
}

TEST_F(FaultFileSystemTest, GrowingFileMayEndAnywhere) {
  std::set<size_t> sizes;
  for (uint64_t seed = 0; seed < 500; ++seed) {
    FaultFileSystem fs;
    fs.PutFile("f", std::string(100, 'o'));
    auto file = fs.OpenForWrite("f");
    ASSERT_TRUE((*file)->WriteAt(100, std::string(2000, 'n')).ok());
    fs.Crash(seed);
    sizes.insert(fs.Bytes("f").size());
  }
  EXPECT_TRUE(sizes.contains(100));
  EXPECT_TRUE(sizes.contains(2100));
  EXPECT_GT(sizes.size(), 3u);
}

TEST_F(FaultFileSystemTest, DirectoryOperationsAreLostIndependently) {
  std::set<std::vector<std::string>> seen;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    FaultFileSystem fs;
    fs.PutFile("d/a", "a");
    fs.PutFile("d/b", "b");
    ASSERT_TRUE(fs.Remove("d/a").ok());
    ASSERT_TRUE(fs.Rename("d/b", "d/c").ok());
    fs.Crash(seed);
    seen.insert(fs.Paths());
  }
  EXPECT_EQ(seen,
            (std::set<std::vector<std::string>>{{"d/a", "d/b"}, {"d/a", "d/c"}, {"d/b"}, {"d/c"}}));
}

TEST_F(FaultFileSystemTest, SameSeedSameBytes) {
  const auto run = [](uint64_t seed) {
    FaultFileSystem fs;
    fs.PutFile("f", std::string(5000, 'o'));
    auto file = fs.OpenForWrite("f");
    (void)(*file)->WriteAt(100, std::string(6000, 'n'));
    (void)fs.Create("g");
    fs.Crash(seed);
    std::string all;
    for (const std::string& path : fs.Paths()) all += path + ":" + fs.Bytes(path) + ";";
    return all;
  };
  std::set<std::string> different;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    EXPECT_EQ(run(seed), run(seed));
    different.insert(run(seed));
  }
  EXPECT_GT(different.size(), 10u);
}

TEST_F(FaultFileSystemTest, FailedSyncLosesItsWrites) {
  fs_.PutFile("d/f", std::string(1024, 'o'));
  auto file = fs_.OpenForWrite("d/f");
  ASSERT_TRUE((*file)->WriteAt(0, std::string(1024, 'n')).ok());
  fs_.FailNth(DiskOp::kSync, 1, absl::InternalError("Input/output error"));
  EXPECT_EQ((*file)->Sync(), absl::InternalError("d/f: Input/output error"));
  ASSERT_TRUE((*file)->WriteAt(512, std::string(512, 'm')).ok());
  EXPECT_TRUE((*file)->Sync().ok());
  EXPECT_EQ(fs_.Bytes("d/f"), std::string(512, 'n') + std::string(512, 'm'));
  EXPECT_EQ(*fs_.DurableBytes("d/f"), std::string(512, 'o') + std::string(512, 'm'));
}

TEST_F(FaultFileSystemTest, FailsTheNthCall) {
  auto file = Create("d/f");
  fs_.FailNth(DiskOp::kWrite, 2, absl::InternalError("no"));
  fs_.FailNth(DiskOp::kRemove, 1, absl::InternalError("no"), "other");
  EXPECT_TRUE(file->WriteAt(0, std::string("aaaa")).ok());
  EXPECT_EQ(file->WriteAt(0, std::string("bbbb")), absl::InternalError("d/f: no"));
  EXPECT_EQ(fs_.Bytes("d/f"), "bbaa") << "a failed write is done in part";
  EXPECT_TRUE(file->WriteAt(0, std::string("cccc")).ok());
  EXPECT_TRUE(fs_.Remove("d/f").ok());
  fs_.FailAll(DiskOp::kCreate, absl::InternalError("never"));
  EXPECT_FALSE(fs_.Create("d/f").ok());
  EXPECT_FALSE(fs_.Create("d/g").ok());
  fs_.ClearFailures();
  EXPECT_TRUE(fs_.Create("d/g").ok());
}

TEST_F(FaultFileSystemTest, StopsAfterMutations) {
  auto file = Create("d/f");
  fs_.StopAfter(1);
  EXPECT_TRUE(file->WriteAt(0, std::string("aaaa")).ok());
  EXPECT_FALSE(fs_.stopped());
  EXPECT_EQ(file->WriteAt(4, std::string("bbbb")).code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(fs_.stopped());
  std::string out(8, '?');
  EXPECT_FALSE(file->ReadAt(0, out).ok());
  EXPECT_FALSE(fs_.List("d").ok());
  EXPECT_EQ(fs_.Bytes("d/f"), "aaaabb");
  fs_.CrashKeeping(true);
  EXPECT_FALSE(fs_.stopped());
  EXPECT_EQ(fs_.Bytes("d/f"), "aaaabb");
}

TEST_F(FaultFileSystemTest, FillsUp) {
  auto file = Create("d/f");
  fs_.SetCapacity(1000);
  EXPECT_EQ(*fs_.FreeBytes("d"), 1000u);
  EXPECT_TRUE(file->WriteAt(0, std::string(600, 'a')).ok());
  EXPECT_TRUE(file->WriteAt(100, std::string(500, 'b')).ok()) << "no more space is needed";
  EXPECT_EQ(file->WriteAt(600, std::string(500, 'c')),
            absl::ResourceExhaustedError("d/f: No space left on device"));
  EXPECT_EQ(*file->Size(), 1000u) << "as much as fits was written";
  EXPECT_EQ(*fs_.FreeBytes("d"), 0u);
  ASSERT_TRUE(fs_.Remove("d/f").ok());
  EXPECT_EQ(*fs_.FreeBytes("d"), 1000u);
}

TEST_F(FaultFileSystemTest, LockEndsWithHolderOrCrash) {
  auto lock = fs_.Lock("d/LOCK");
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(fs_.Lock("d/LOCK").status(),
            absl::FailedPreconditionError("d/LOCK: in use by process 1"));
  lock->reset();
  lock = fs_.Lock("d/LOCK");
  ASSERT_TRUE(lock.ok());
  fs_.Crash(1);
  auto again = fs_.Lock("d/LOCK");
  ASSERT_TRUE(again.ok());
  lock->reset();  // taken before the crash; must not release the new lock
  EXPECT_FALSE(fs_.Lock("d/LOCK").ok());
}

TEST_F(FaultFileSystemTest, FlipBitChangesVisibleAndDurableBytes) {
  fs_.PutFile("d/f", "aa");
  auto file = fs_.OpenForWrite("d/f");
  ASSERT_TRUE((*file)->WriteAt(1, std::string("b")).ok());
  fs_.FlipBit("d/f", 0);
  EXPECT_EQ(fs_.Bytes("d/f"), "`b");
  EXPECT_EQ(*fs_.DurableBytes("d/f"), "`a");
}

TEST_F(FaultFileSystemTest, CloneIsIndependent) {
  auto file = Create("d/f");
  ASSERT_TRUE(file->WriteAt(0, std::string("one")).ok());
  fs_.StopAfter(0);
  std::unique_ptr<FaultFileSystem> clone = fs_.Clone();
  auto other = clone->OpenForWrite("d/f");
  ASSERT_TRUE(other.ok()) << "a clone is not stopped";
  ASSERT_TRUE((*other)->WriteAt(0, std::string("two")).ok());
  EXPECT_EQ(fs_.Bytes("d/f"), "one");
  EXPECT_EQ(clone->Bytes("d/f"), "two");
  clone->CrashKeeping(false);
  EXPECT_FALSE(*clone->Exists("d/f")) << "what was pending still is";
}

}  // namespace
}  // namespace dqueue::storage
