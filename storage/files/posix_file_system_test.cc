#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "storage/files/aligned_buffer.h"
#include "storage/files/file_system.h"

namespace dqueue::storage {
namespace {

using testing::HasSubstr;

class PosixFileSystemTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "posix_file_system_test.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::string Path(const std::string& name) const { return dir_ + "/" + name; }
  static mode_t ModeOf(const std::string& path) {
    struct stat st;
    EXPECT_EQ(::lstat(path.c_str(), &st), 0);
    return st.st_mode & 0777;
  }

  FileSystem& fs_ = PosixFileSystem();
  std::string dir_;
};

TEST_F(PosixFileSystemTest, WritesAndReads) {
  auto file = fs_.Create(Path("f"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(ModeOf(Path("f")), 0600u);
  EXPECT_TRUE((*file)->WriteAt(5, std::string("world")).ok());
  EXPECT_TRUE((*file)->WriteAt(0, std::string("hello")).ok());
  EXPECT_TRUE((*file)->WriteAt(100, std::string()).ok());
  EXPECT_TRUE((*file)->Sync().ok());
  EXPECT_EQ((*file)->Size().value(), 10u);

  auto reader = fs_.OpenForRead(Path("f"));
  ASSERT_TRUE(reader.ok());
  std::string out(20, '?');
  EXPECT_EQ((*reader)->ReadAt(3, out).value(), 7u);
  EXPECT_EQ(out.substr(0, 7), "loworld");
  EXPECT_EQ((*reader)->ReadAt(10, out).value(), 0u);
  EXPECT_EQ((*reader)->ReadAt(1000, out).value(), 0u);
  EXPECT_FALSE((*reader)->WriteAt(0, std::string("x")).ok());

  auto writer = fs_.OpenForWrite(Path("f"));
  ASSERT_TRUE(writer.ok());
  EXPECT_TRUE((*writer)->WriteAt(0, std::string("J")).ok());
  EXPECT_EQ((*reader)->ReadAt(0, out).value(), 10u);
  EXPECT_EQ(out.substr(0, 10), "Jelloworld");

  // Create() empties an existing file.
  EXPECT_EQ((*fs_.Create(Path("f")))->Size().value(), 0u);
}

TEST_F(PosixFileSystemTest, UnalignedDirectWriteFallsBack) {
  auto file = fs_.Create(Path("f"));
  ASSERT_TRUE(file.ok()) << file.status();
  (*file)->WriteDirectly();
  AlignedBuffer block;
  block.Append(std::string(kDirectAlignment, 'a'));
  EXPECT_TRUE((*file)->WriteAt(0, block.first(block.size())).ok());
  EXPECT_TRUE((*file)->WriteAt(1, std::string("b")).ok());
  EXPECT_TRUE((*file)->WriteAt(kDirectAlignment, block.first(block.size())).ok());
  EXPECT_TRUE((*file)->Sync().ok());
  std::string out(2 * kDirectAlignment, '?');
  EXPECT_EQ((*file)->ReadAt(0, out).value(), out.size());
  EXPECT_EQ(out, "ab" + std::string(2 * kDirectAlignment - 2, 'a'));
}

TEST_F(PosixFileSystemTest, WriteAndSync) {
  for (const bool direct : {false, true}) {
    SCOPED_TRACE(direct);
    auto file = fs_.Create(Path("f"));
    ASSERT_TRUE(file.ok()) << file.status();
    if (direct) (*file)->WriteDirectly();
    AlignedBuffer blocks;
    blocks.Append(std::string(3 * kDirectAlignment, 'a'));
    EXPECT_TRUE((*file)->WriteAndSync(0, blocks.first(blocks.size())).ok());
    EXPECT_TRUE((*file)->WriteAndSync(1, std::string("b")).ok());
    std::string out(4 * kDirectAlignment, '?');
    EXPECT_EQ((*file)->ReadAt(0, out).value(), 3 * kDirectAlignment);
    EXPECT_EQ(out.substr(0, 3 * kDirectAlignment),
              "ab" + std::string(3 * kDirectAlignment - 2, 'a'));
  }
  auto reader = fs_.OpenForRead(Path("f"));
  ASSERT_TRUE(reader.ok());
  EXPECT_FALSE((*reader)->WriteAndSync(0, std::string("x")).ok());
}

// As the log writes: the last block is rewritten with more bytes in it, while other threads read
// the bytes before.
TEST_F(PosixFileSystemTest, ReadDuringDirectWrites) {
  constexpr size_t kFileBytes = 256 << 10;
  const auto byte_at = [](size_t at) { return static_cast<char>('a' + at * 31 % 25); };
  auto file = fs_.Create(Path("f"));
  ASSERT_TRUE(file.ok()) << file.status();
  (*file)->WriteDirectly();
  AlignedBuffer zeros;
  zeros.AppendZeros(kFileBytes);
  ASSERT_TRUE((*file)->WriteAt(0, zeros.first(kFileBytes)).ok());
  std::atomic<size_t> written{0};
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> readers;
    for (size_t r = 0; r < 2; ++r) {
      readers.emplace_back([&, r] {
        auto reader = fs_.OpenForRead(Path("f"));
        std::string out(6000, '?');
        for (size_t i = r; written < kFileBytes; ++i) {
          const size_t end = written;
          const size_t n = std::min(end, 1 + i * 7 % out.size());
          if ((*reader)->ReadAt(end - n, {out.data(), n}).value() != n) ++wrong;
          for (size_t k = 0; k < n; ++k) wrong += out[k] != byte_at(end - n + k);
        }
      });
    }
    AlignedBuffer tail;
    for (size_t end = 0; end < kFileBytes;) {
      const size_t begin = end - tail.size();
      const size_t added = std::min<size_t>(1 + end % 300, kFileBytes - end);
      for (size_t k = 0; k < added; ++k) tail.Append(std::string(1, byte_at(end + k)));
      end += added;
      const size_t bytes = tail.size();
      tail.AppendZeros((kDirectAlignment - bytes % kDirectAlignment) % kDirectAlignment);
      ASSERT_TRUE((*file)->WriteAt(begin, tail.first(tail.size())).ok());
      tail.Truncate(bytes);
      tail.KeepLast(bytes % kDirectAlignment, kFileBytes);
      written = end;
    }
  }
  EXPECT_EQ(wrong, 0);
}

TEST_F(PosixFileSystemTest, ErrorHasPathAndCause) {
  EXPECT_EQ(fs_.OpenForRead(Path("none")).status(),
            absl::NotFoundError(Path("none") + ": open: No such file or directory"));
  EXPECT_EQ(fs_.OpenForWrite(Path("none")).status(),
            absl::NotFoundError(Path("none") + ": open for writing: No such file or directory"));
  EXPECT_EQ(fs_.Create(Path("no/file")).status(),
            absl::NotFoundError(Path("no/file") + ": create: No such file or directory"));
  EXPECT_EQ(fs_.Remove(Path("none")),
            absl::NotFoundError(Path("none") + ": remove: No such file or directory"));
  EXPECT_EQ(fs_.Rename(Path("none"), Path("other")),
            absl::NotFoundError(Path("none") + ": rename to " + Path("other") +
                                ": No such file or directory"));
  EXPECT_EQ(fs_.List(Path("none")).status(),
            absl::NotFoundError(Path("none") + ": list: No such file or directory"));
  EXPECT_EQ(fs_.SyncDirectory(Path("none")).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(fs_.FreeBytes(Path("none")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(fs_.OpenForRead("/dev/full").status(),
            absl::InternalError("/dev/full: not a regular file"));
}

TEST_F(PosixFileSystemTest, OpensOnlyRegularFiles) {
  std::ofstream(Path("real")) << "content";
  ASSERT_EQ(::symlink(Path("real").c_str(), Path("link").c_str()), 0);
  ASSERT_EQ(::mkfifo(Path("fifo").c_str(), 0600), 0);
  ASSERT_TRUE(fs_.CreateDirectory(Path("dir")).ok());
  for (const char* name : {"link", "fifo", "dir"}) {
    for (const absl::Status& status :
         {fs_.OpenForRead(Path(name)).status(), fs_.OpenForWrite(Path(name)).status(),
          fs_.Create(Path(name)).status()}) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << name;
      EXPECT_THAT(std::string(status.message()), HasSubstr("not a regular file")) << name;
    }
  }
  std::string content;
  std::ifstream(Path("real")) >> content;
  EXPECT_EQ(content, "content");

  const auto list = fs_.List(dir_);
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->size(), 4u);
  EXPECT_EQ((*list)[0].name, "dir");
  EXPECT_FALSE((*list)[0].regular);
  EXPECT_EQ((*list)[1].name, "fifo");
  EXPECT_FALSE((*list)[1].regular);
  EXPECT_EQ((*list)[2].name, "link");
  EXPECT_FALSE((*list)[2].regular);
  EXPECT_EQ((*list)[3].name, "real");
  EXPECT_TRUE((*list)[3].regular);
  EXPECT_EQ((*list)[3].size, 7u);
}

TEST_F(PosixFileSystemTest, Directories) {
  EXPECT_TRUE(fs_.CreateDirectory(Path("a/b/c")).ok());
  EXPECT_TRUE(fs_.CreateDirectory(Path("a/b/c")).ok());
  EXPECT_TRUE(fs_.CreateDirectory(Path("a/d/")).ok());
  EXPECT_EQ(ModeOf(Path("a")), 0700u);
  EXPECT_EQ(ModeOf(Path("a/b/c")), 0700u);
  EXPECT_TRUE(fs_.SyncDirectory(Path("a/b")).ok());
  std::ofstream(Path("file")) << "x";
  EXPECT_EQ(fs_.CreateDirectory(Path("file")),
            absl::InternalError(Path("file") + ": exists and is not a directory"));
  EXPECT_FALSE(fs_.CreateDirectory(Path("file/below")).ok());
}

// A process may die between mkdir and the sync of the parent. The next one must sync it.
TEST_F(PosixFileSystemTest, CreateDirectorySyncsTheParentOfAnExistingOne) {
  ASSERT_EQ(::mkdir(Path("d").c_str(), 0700), 0);
  const int watch = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  ASSERT_GE(watch, 0);
  ASSERT_GE(::inotify_add_watch(watch, dir_.c_str(), IN_OPEN | IN_ONLYDIR), 0);
  ASSERT_TRUE(fs_.CreateDirectory(Path("d")).ok());
  // A directory is opened here only to be synced.
  alignas(inotify_event) char events[4096];
  EXPECT_GT(::read(watch, events, sizeof events), 0) << "the parent was not opened";
  ::close(watch);
}

TEST_F(PosixFileSystemTest, VolumeSizeIsAtLeastTheFreeSpace) {
  const auto total = fs_.TotalBytes(dir_);
  const auto free_bytes = fs_.FreeBytes(dir_);
  ASSERT_TRUE(total.ok() && free_bytes.ok());
  EXPECT_GE(*total, *free_bytes);
  EXPECT_GT(*total, 0u);
  EXPECT_EQ(fs_.TotalBytes(Path("none")).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(PosixFileSystemTest, RenameReplaces) {
  std::ofstream(Path("a")) << "new";
  std::ofstream(Path("b")) << "old";
  EXPECT_TRUE(fs_.Exists(Path("a")).value());
  EXPECT_TRUE(fs_.Rename(Path("a"), Path("b")).ok());
  EXPECT_FALSE(fs_.Exists(Path("a")).value());
  std::string content;
  std::ifstream(Path("b")) >> content;
  EXPECT_EQ(content, "new");
  EXPECT_TRUE(fs_.Remove(Path("b")).ok());
  EXPECT_FALSE(fs_.Exists(Path("b")).value());
}

TEST_F(PosixFileSystemTest, LockIsExclusiveAndNamesHolder) {
  auto lock = fs_.Lock(Path("LOCK"));
  ASSERT_TRUE(lock.ok()) << lock.status();
  EXPECT_EQ(fs_.Lock(Path("LOCK")).status(),
            absl::FailedPreconditionError(Path("LOCK") + ": in use by process " +
                                          std::to_string(::getpid())));
  lock->reset();
  EXPECT_TRUE(fs_.Lock(Path("LOCK")).ok());
}

TEST_F(PosixFileSystemTest, DescriptorsAreNotInherited) {
  auto file = fs_.Create(Path("f"));
  auto lock = fs_.Lock(Path("LOCK"));
  int checked = 0;
  for (int fd = 3; fd < 100; ++fd) {
    char target[4096];
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    const ssize_t n = ::readlink(link.c_str(), target, sizeof target);
    if (n <= 0 || !std::string_view(target, static_cast<size_t>(n)).starts_with(dir_)) continue;
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    ++checked;
  }
  EXPECT_EQ(checked, 2);
}

TEST_F(PosixFileSystemTest, FreeBytes) { EXPECT_GT(fs_.FreeBytes(dir_).value(), 0u); }

}  // namespace
}  // namespace dqueue::storage
