#include "storage/snapshots/snapshot_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "storage/files/crc32c.h"
#include "storage/files/little_endian.h"
#include "storage/testing/fault_file_system.h"

namespace dqueue::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kSnap[] = "data/snap";
constexpr uint64_t kFileBytes = 1000;

raft::SnapshotMeta Meta(uint64_t index, uint64_t term = 1) {
  return {raft::Index(index), raft::Term(term), "members"};
}

// Content that differs at each offset and for each seed.
std::string Content(size_t size, uint64_t seed) {
  std::string out(size, '\0');
  uint64_t x = seed * 0x9e3779b97f4a7c15 + 1;
  for (char& c : out) {
    x = x * 6364136223846793005 + 1442695040888963407;
    c = static_cast<char>(x >> 56);
  }
  return out;
}

std::unique_ptr<SnapshotStore> OpenStore(FileSystem& fs, const std::string& directory = kSnap) {
  auto store = SnapshotStore::Open(fs, directory, kFileBytes);
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

std::vector<Manifest> Listed(const SnapshotStore& store) { return store.List(); }

absl::StatusOr<Manifest> Take(SnapshotStore& store, const raft::SnapshotMeta& meta,
                              const std::string& content) {
  auto writer = store.Begin(meta);
  if (!writer.ok()) return writer.status();
  for (size_t at = 0; at < content.size(); at += 300) {
    if (absl::Status s = (*writer)->Append(content.substr(at, 300)); !s.ok()) return s;
  }
  return (*writer)->Commit(4711);
}

absl::StatusOr<std::string> ReadAll(SnapshotStore& store, const Manifest& manifest,
                                    size_t piece = 170) {
  auto reader = store.Read(manifest);
  if (!reader.ok()) return reader.status();
  std::string all;
  for (;;) {
    absl::StatusOr<std::string> bytes = (*reader)->Next(piece);
    if (!bytes.ok()) return bytes.status();
    if (bytes->empty()) return all;
    all += *bytes;
  }
}

// Sends all chunks that `to` needs, at most `chunks` of them.
absl::StatusOr<Manifest> Transfer(SnapshotStore& from, SnapshotStore& to, const Manifest& manifest,
                                  size_t piece = 300, int chunks = 1000000) {
  absl::StatusOr<raft::SnapshotCursor> wanted = to.BeginReceive(manifest);
  if (!wanted.ok()) return wanted.status();
  while (wanted->file < manifest.files.size()) {
    if (chunks-- == 0) return absl::CancelledError("enough");
    raft::SnapshotCursor next;
    absl::StatusOr<std::string> data = from.ReadChunk(manifest, *wanted, piece, &next);
    if (!data.ok()) return data.status();
    wanted = to.StoreChunk(*wanted, *data, Crc32c(*data));
    if (!wanted.ok()) return wanted.status();
    EXPECT_EQ(*wanted >= next, true);
  }
  return to.FinishReceive();
}

class SnapshotStoreTest : public testing::Test {
 protected:
  void SetUp() override { store_ = OpenStore(fs_); }
  std::vector<std::string> Files(const FaultFileSystem& fs) const {
    std::vector<std::string> out;
    for (const std::string& path : fs.Paths()) out.push_back(path.substr(sizeof kSnap));
    return out;
  }

  FaultFileSystem fs_;
  std::unique_ptr<SnapshotStore> store_;
};

TEST_F(SnapshotStoreTest, TakesAndReads) {
  for (const size_t size : {0, 1, 999, 1000, 1001, 3000, 12345}) {
    const std::string content = Content(size, size);
    const uint64_t index = 100 + size;
    const absl::StatusOr<Manifest> manifest = Take(*store_, Meta(index), content);
    ASSERT_TRUE(manifest.ok()) << manifest.status();
    EXPECT_EQ(manifest->files.size(), (size + kFileBytes - 1) / kFileBytes);
    EXPECT_EQ(manifest->TotalBytes(), size);
    EXPECT_EQ(manifest->digest, 4711u);
    EXPECT_EQ(manifest->meta, Meta(index));
    for (const size_t piece : {1, 170, 1000, 100000}) {
      EXPECT_EQ(*ReadAll(*store_, *manifest, piece), content);
    }
    fs_.CrashKeeping(false);
    store_ = OpenStore(fs_);
    EXPECT_EQ(store_->List().back(), *manifest);
    EXPECT_EQ(*ReadAll(*store_, *manifest), content);
  }
  EXPECT_EQ(store_->List().size(), 7u);
}

TEST_F(SnapshotStoreTest, ListsByIndex) {
  for (const uint64_t index : {9, 100, 20}) {
    ASSERT_TRUE(Take(*store_, Meta(index), Content(10, index)).ok());
  }
  std::vector<uint64_t> indexes;
  for (const Manifest& m : Listed(*store_)) indexes.push_back(m.meta.index.value());
  EXPECT_THAT(indexes, ElementsAre(9, 20, 100));
  EXPECT_THAT(Files(fs_), ElementsAre("100-0.data", "100-1.manifest", "20-0.data", "20-1.manifest",
                                      "9-0.data", "9-1.manifest"));
}

TEST_F(SnapshotStoreTest, WriterWithoutCommitLeavesNoFiles) {
  {
    auto writer = store_->Begin(Meta(5));
    ASSERT_TRUE((*writer)->Append(Content(5000, 1)).ok());
    EXPECT_FALSE(Files(fs_).empty());
  }
  EXPECT_THAT(Files(fs_), IsEmpty());
  EXPECT_THAT(store_->List(), IsEmpty());
}

TEST_F(SnapshotStoreTest, SameIndexReplaces) {
  ASSERT_TRUE(Take(*store_, Meta(5), Content(2500, 1)).ok());
  const absl::StatusOr<Manifest> second = Take(*store_, Meta(5), Content(1500, 2));
  ASSERT_TRUE(second.ok());
  EXPECT_THAT(store_->List(), ElementsAre(*second));
  EXPECT_EQ(*ReadAll(*store_, *second), Content(1500, 2));
  EXPECT_THAT(Files(fs_), ElementsAre("5-1.manifest", "5-3.data", "5-4.data"));
}

TEST_F(SnapshotStoreTest, RemovesOldSnapshots) {
  for (uint64_t index = 1; index <= 6; ++index) {
    ASSERT_TRUE(Take(*store_, Meta(index), Content(1500, index)).ok());
  }
  ASSERT_TRUE(store_->RemoveOld(2, raft::Index(3)).ok());
  fs_.CrashKeeping(false);
  store_ = OpenStore(fs_);
  std::vector<uint64_t> indexes;
  for (const Manifest& m : Listed(*store_)) indexes.push_back(m.meta.index.value());
  EXPECT_THAT(indexes, ElementsAre(3, 5, 6));
  EXPECT_EQ(Files(fs_).size(), 9u);
  ASSERT_TRUE(store_->RemoveOld(10, raft::Index(0)).ok());
  EXPECT_EQ(store_->List().size(), 3u);
  ASSERT_TRUE(store_->RemoveOld(0, raft::Index(0)).ok());
  EXPECT_THAT(Files(fs_), IsEmpty());
}

TEST_F(SnapshotStoreTest, OpenRemovesUnreferencedFiles) {
  const absl::StatusOr<Manifest> manifest = Take(*store_, Meta(5), Content(1500, 1));
  fs_.PutFile("data/snap/6-0.data", "left");
  fs_.PutFile("data/snap/6-1.manifest.tmp", "left");
  fs_.PutFile("data/snap/README", "hands off");
  store_ = OpenStore(fs_);
  EXPECT_THAT(Files(fs_), ElementsAre("5-0.data", "5-1.data", "5-1.manifest", "README"));
  EXPECT_THAT(store_->List(), ElementsAre(*manifest));
}

TEST_F(SnapshotStoreTest, DamageIsReportedWithFile) {
  const absl::StatusOr<Manifest> manifest = Take(*store_, Meta(5), Content(2500, 1));
  const std::string bytes = fs_.Bytes("data/snap/5-1.data");
  const auto error = [&] { return ReadAll(*store_, *manifest).status(); };
  fs_.FlipBit("data/snap/5-1.data", 3333);
  EXPECT_EQ(error(), absl::DataLossError("data/snap/5-1.data: checksum mismatch"));
  fs_.PutFile("data/snap/5-1.data", bytes.substr(1));
  EXPECT_EQ(error(), absl::DataLossError(
                         "data/snap/5-1.data: the file has 999 bytes, its manifest says 1000"));
  fs_.PutFile("data/snap/5-1.data", bytes + "x");
  EXPECT_EQ(error(), absl::DataLossError(
                         "data/snap/5-1.data: the file has 1001 bytes, its manifest says 1000"));
  ASSERT_TRUE(fs_.Remove("data/snap/5-1.data").ok());
  EXPECT_EQ(error(), absl::DataLossError("data/snap/5-1.data: the file is missing"));
}

std::vector<std::string> Problems(const SnapshotStore& store) {
  std::vector<std::string> out;
  for (const UnreadableManifest& manifest : store.Unreadable()) out.push_back(manifest.problem);
  return out;
}

TEST_F(SnapshotStoreTest, UnreadableManifestPreventsCleanupButNotUse) {
  ASSERT_TRUE(Take(*store_, Meta(5), Content(1500, 1)).ok());
  const absl::StatusOr<Manifest> newer = Take(*store_, Meta(6), Content(1500, 2));
  ASSERT_TRUE(newer.ok());
  fs_.FlipBit("data/snap/5-1.manifest", 200);
  store_ = OpenStore(fs_);
  EXPECT_THAT(Problems(*store_),
              ElementsAre("data/snap/5-1.manifest: manifest: checksum mismatch"));
  EXPECT_THAT(store_->List(), ElementsAre(*newer));
  EXPECT_EQ(*ReadAll(*store_, *newer), Content(1500, 2));
  EXPECT_TRUE(*fs_.Exists("data/snap/5-0.data"));
  fs_.FlipBit("data/snap/5-1.manifest", 200);
  ASSERT_TRUE(fs_.Rename("data/snap/5-1.manifest", "data/snap/7-1.manifest").ok());
  store_ = OpenStore(fs_);
  EXPECT_THAT(
      Problems(*store_),
      ElementsAre("data/snap/7-1.manifest: manifest: it is 5-1.manifest, copied or renamed"));
  EXPECT_THAT(store_->List(), ElementsAre(*newer));
}

TEST_F(SnapshotStoreTest, UnreadableManifestsOfEarlierSnapshotsAreRemovedWithOldOnes) {
  for (const uint64_t index : {5, 6, 9}) {
    ASSERT_TRUE(Take(*store_, Meta(index), Content(1500, index)).ok());
  }
  fs_.FlipBit("data/snap/5-1.manifest", 200);
  fs_.FlipBit("data/snap/9-1.manifest", 200);
  fs_.PutFile("data/snap/x.manifest", "x");
  store_ = OpenStore(fs_);
  ASSERT_EQ(Problems(*store_).size(), 3u);
  ASSERT_TRUE(store_->RemoveOld(2, raft::Index(6)).ok());
  EXPECT_FALSE(*fs_.Exists("data/snap/5-1.manifest"));
  EXPECT_THAT(Problems(*store_), ElementsAre("data/snap/9-1.manifest: manifest: checksum mismatch",
                                             "data/snap/x.manifest: manifest: too short"));
  fs_.CrashKeeping(false);
  EXPECT_FALSE(*fs_.Exists("data/snap/5-1.manifest"));
}

TEST_F(SnapshotStoreTest, RemovesOneSnapshot) {
  const absl::StatusOr<Manifest> older = Take(*store_, Meta(5), Content(1500, 1));
  const absl::StatusOr<Manifest> newer = Take(*store_, Meta(6), Content(1500, 2));
  ASSERT_TRUE(store_->Remove(*newer).ok());
  EXPECT_THAT(store_->List(), ElementsAre(*older));
  EXPECT_THAT(Files(fs_), ElementsAre("5-0.data", "5-1.data", "5-1.manifest"));
  EXPECT_TRUE(store_->Remove(*newer).ok());
}

// A chunk of a damaged file would get a checksum over the damage, and the receiver could only
// refuse the whole file, for ever.
TEST_F(SnapshotStoreTest, NoChunkOfADamagedFileIsRead) {
  const absl::StatusOr<Manifest> manifest = Take(*store_, Meta(5), Content(1500, 1));
  ASSERT_TRUE(manifest.ok());
  raft::SnapshotCursor next;
  ASSERT_TRUE(store_->ReadChunk(*manifest, {0, 0}, 100, &next).ok());
  fs_.FlipBit("data/snap/5-0.data", 8 * 900);
  const absl::Status damaged = absl::DataLossError("data/snap/5-0.data: checksum mismatch");
  EXPECT_EQ(store_->ReadChunk(*manifest, {0, 0}, 100, &next).status(), damaged);
  // Also if the transfer resumes in the middle, after a restart of the sender.
  store_ = OpenStore(fs_);
  EXPECT_EQ(store_->ReadChunk(*manifest, {0, 500}, 100, &next).status(), damaged);
  EXPECT_TRUE(store_->ReadChunk(*manifest, {1, 0}, 100, &next).ok());
  ASSERT_TRUE(fs_.Remove("data/snap/5-0.data").ok());
  EXPECT_EQ(store_->ReadChunk(*manifest, {0, 0}, 100, &next).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(SnapshotStoreTest, FullDiskDropsSnapshotAndStoreStaysUsable) {
  ASSERT_TRUE(Take(*store_, Meta(5), Content(1500, 1)).ok());
  const std::vector<std::string> before = Files(fs_);
  for (const uint64_t room : {0, 500, 1100, 2100, 2510}) {
    fs_.SetCapacity(fs_.UsedBytes() + room);
    EXPECT_EQ(Take(*store_, Meta(6), Content(2500, 2)).status().code(),
              absl::StatusCode::kResourceExhausted)
        << room;
    EXPECT_EQ(Files(fs_), before) << room;
  }
  fs_.SetCapacity(UINT64_MAX);
  EXPECT_TRUE(Take(*store_, Meta(6), Content(2500, 2)).ok());
}

TEST_F(SnapshotStoreTest, OtherFailuresAreFinal) {
  for (const DiskOp op :
       {DiskOp::kCreate, DiskOp::kWrite, DiskOp::kSync, DiskOp::kRename, DiskOp::kSyncDirectory}) {
    store_ = OpenStore(fs_);
    fs_.FailNth(op, 1, absl::InternalError("Input/output error"));
    EXPECT_EQ(Take(*store_, Meta(6), Content(2500, 2)).status().code(),
              absl::StatusCode::kInternal);
    const absl::Status unusable =
        absl::FailedPreconditionError("data/snap: the snapshot store has failed");
    EXPECT_EQ(store_->Begin(Meta(7)).status(), unusable);
    EXPECT_EQ(store_->BeginReceive(Manifest{Meta(7), 0, {}}).status(), unusable);
    EXPECT_EQ(store_->RemoveOld(1, raft::Index(0)), unusable);
  }
}

// Stops after each operation of taking, replacing and removing snapshots. Each snapshot is complete
// or absent.
TEST(SnapshotCrashTest, AtEveryOperation) {
  const auto work = [](SnapshotStore& store) -> absl::Status {
    for (uint64_t index = 1; index <= 4; ++index) {
      absl::StatusOr<Manifest> m = Take(store, Meta(index), Content(1200 * index, index));
      if (!m.ok()) return m.status();
      m = Take(store, Meta(index), Content(1200 * index, index));
      if (!m.ok()) return m.status();
      if (absl::Status s = store.RemoveOld(2, raft::Index(1)); !s.ok()) return s;
    }
    return absl::OkStatus();
  };
  for (uint64_t n = 0;; ++n) {
    FaultFileSystem fs;
    fs.StopAfter(n);
    uint64_t newest = 0;
    bool done = false;
    {
      auto store = SnapshotStore::Open(fs, kSnap, kFileBytes);
      if (store.ok()) {
        done = work(**store).ok();
        newest = (*store)->List().empty() ? 0 : (*store)->List().back().meta.index.value();
      }
    }
    for (uint64_t seed = 0; seed < 8; ++seed) {
      std::unique_ptr<FaultFileSystem> crashed = fs.Clone();
      crashed->Crash(n * 10 + seed);
      auto store = OpenStore(*crashed);
      ASSERT_NE(store, nullptr);
      const auto list = store->List();
      for (const Manifest& m : list) {
        const uint64_t index = m.meta.index.value();
        ASSERT_EQ(ReadAll(*store, m).value(), Content(1200 * index, index)) << n << ", " << seed;
      }
      const uint64_t found = list.empty() ? 0 : list.back().meta.index.value();
      ASSERT_GE(found, newest) << n << ", " << seed;
      // No unreferenced files are left.
      size_t named = list.size();
      for (const Manifest& m : list) named += m.files.size();
      ASSERT_EQ(crashed->Paths().size(), named) << n << ", " << seed;
      ASSERT_TRUE(Take(*store, Meta(9), Content(700, 9)).ok());
    }
    if (done) break;
  }
}

// ---- chunks

TEST_F(SnapshotStoreTest, ReadChunkWalksTheFiles) {
  const std::string content = Content(2500, 1);
  const absl::StatusOr<Manifest> manifest = Take(*store_, Meta(5), content);
  raft::SnapshotCursor cursor;
  std::string all;
  while (cursor.file < manifest->files.size()) {
    raft::SnapshotCursor next;
    const absl::StatusOr<std::string> data = store_->ReadChunk(*manifest, cursor, 400, &next);
    ASSERT_TRUE(data.ok()) << data.status();
    ASSERT_FALSE(data->empty());
    ASSERT_GT(next, cursor);
    all += *data;
    cursor = next;
  }
  EXPECT_EQ(all, content);
  EXPECT_EQ(cursor, (raft::SnapshotCursor{3, 0}));
  raft::SnapshotCursor next;
  EXPECT_EQ(*store_->ReadChunk(*manifest, {0, 1000}, 400, &next), "");
  EXPECT_EQ(next, (raft::SnapshotCursor{1, 0}));
  EXPECT_EQ(*store_->ReadChunk(*manifest, {3, 0}, 400, &next), "");
  EXPECT_EQ(next, (raft::SnapshotCursor{3, 0}));
  for (const raft::SnapshotCursor outside :
       {raft::SnapshotCursor{0, 1001}, raft::SnapshotCursor{3, 1}, raft::SnapshotCursor{4, 0},
        raft::SnapshotCursor{UINT32_MAX, UINT64_MAX}}) {
    EXPECT_EQ(store_->ReadChunk(*manifest, outside, 400, &next).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  ASSERT_TRUE(store_->RemoveOld(0, raft::Index(0)).ok());
  EXPECT_EQ(store_->ReadChunk(*manifest, {0, 0}, 400, &next).status().code(),
            absl::StatusCode::kNotFound);
}

class SnapshotReceiveTest : public SnapshotStoreTest {
 protected:
  void SetUp() override {
    SnapshotStoreTest::SetUp();
    sender_ = OpenStore(sender_fs_);
    content_ = Content(3300, 7);
    sent_ = Take(*sender_, Meta(50, 3), content_).value();
  }
  void Restart() { store_ = OpenStore(fs_); }

  FaultFileSystem sender_fs_;
  std::unique_ptr<SnapshotStore> sender_;
  std::string content_;
  Manifest sent_;
};

TEST_F(SnapshotReceiveTest, ReceivesSnapshot) {
  const absl::StatusOr<Manifest> received = Transfer(*sender_, *store_, sent_);
  ASSERT_TRUE(received.ok()) << received.status();
  EXPECT_EQ(*received, sent_);
  fs_.CrashKeeping(false);
  Restart();
  EXPECT_THAT(store_->List(), ElementsAre(*received));
  EXPECT_EQ(*ReadAll(*store_, *received), content_);
  EXPECT_EQ(store_->FinishReceive().status(),
            absl::FailedPreconditionError("a snapshot is not complete yet"));
}

TEST_F(SnapshotReceiveTest, EmptySnapshotsAndEmptyFiles) {
  const Manifest empty = Take(*sender_, Meta(60, 3), "").value();
  EXPECT_TRUE(Transfer(*sender_, *store_, empty).ok());
  Manifest with_empty = sent_;
  with_empty.files.insert(with_empty.files.begin() + 1, {"empty.data", 0, 0});
  with_empty.files.push_back({"last.data", 0, 0});
  const absl::StatusOr<Manifest> received = Transfer(*sender_, *store_, with_empty);
  ASSERT_TRUE(received.ok()) << received.status();
  EXPECT_EQ(*ReadAll(*store_, *received), content_);
}

TEST_F(SnapshotReceiveTest, OnlyTheNeededChunkIsStored) {
  const raft::SnapshotCursor begin = store_->BeginReceive(sent_).value();
  EXPECT_EQ(begin, raft::SnapshotCursor());
  const std::string data = content_.substr(0, 400);
  const raft::SnapshotCursor after = store_->StoreChunk(begin, data, Crc32c(data)).value();
  EXPECT_EQ(after, (raft::SnapshotCursor{0, 400}));
  for (const raft::SnapshotCursor wrong :
       {begin, raft::SnapshotCursor{0, 399}, raft::SnapshotCursor{0, 401},
        raft::SnapshotCursor{1, 400}, raft::SnapshotCursor{9, 9}}) {
    EXPECT_EQ(store_->StoreChunk(wrong, data, Crc32c(data)).value(), after);
  }
  EXPECT_EQ(store_->StoreChunk(after, "", Crc32c("")).value(), after);
  EXPECT_EQ(store_->BeginReceive(sent_).value(), after) << "the same manifest goes on";
  EXPECT_FALSE(store_->FinishReceive().ok());
  EXPECT_TRUE(Transfer(*sender_, *store_, sent_).ok());
}

TEST_F(SnapshotReceiveTest, DamagedChunksAreRejected) {
  const raft::SnapshotCursor begin = store_->BeginReceive(sent_).value();
  const std::string data = content_.substr(0, 400);
  EXPECT_EQ(store_->StoreChunk(begin, data, Crc32c(data) ^ 1).status(),
            absl::DataLossError("snapshot chunk at 0 of 50-0.data: checksum mismatch"));
  const std::string long_data = content_.substr(0, 1001);
  EXPECT_EQ(
      store_->StoreChunk(begin, long_data, Crc32c(long_data)).status(),
      absl::DataLossError("snapshot chunk at 0 of 50-0.data: it runs past the file's end at 1000"));
  EXPECT_EQ(store_->BeginReceive(sent_).value(), begin);
  EXPECT_TRUE(Transfer(*sender_, *store_, sent_).ok());
}

// Valid chunks of a file that is damaged at the sender, of a version that does not verify it.
TEST_F(SnapshotReceiveTest, DamagedFileIsReceivedAgain) {
  sender_fs_.FlipBit("data/snap/50-1.data", 3000);
  EXPECT_EQ(Transfer(*sender_, *store_, sent_).status(),
            absl::DataLossError("data/snap/50-1.data: checksum mismatch"));
  std::string damaged = content_.substr(1000, 1000);
  damaged[3000 / 8] ^= 1;
  EXPECT_EQ(store_->StoreChunk({1, 0}, damaged, Crc32c(damaged)).status(),
            absl::DataLossError("snapshot file 50-1.data: checksum mismatch; it is wanted again"));
  EXPECT_EQ(store_->BeginReceive(sent_).value(), (raft::SnapshotCursor{1, 0}));
  EXPECT_FALSE(store_->FinishReceive().ok());
  sender_fs_.FlipBit("data/snap/50-1.data", 3000);
  const absl::StatusOr<Manifest> received = Transfer(*sender_, *store_, sent_);
  ASSERT_TRUE(received.ok()) << received.status();
  EXPECT_EQ(*ReadAll(*store_, *received), content_);
}

TEST_F(SnapshotReceiveTest, ResumesAfterRestart) {
  for (int chunks = 0; chunks < 13; ++chunks) {
    FaultFileSystem fs;
    auto store = OpenStore(fs);
    EXPECT_FALSE(Transfer(*sender_, *store, sent_, 300, chunks).ok());
    const raft::SnapshotCursor before = store->BeginReceive(sent_).value();
    store = OpenStore(fs);
    EXPECT_FALSE(store->StoreChunk(before, "x", Crc32c("x")).ok()) << "not begun again yet";
    EXPECT_EQ(store->BeginReceive(sent_).value(), before) << chunks;
    const absl::StatusOr<Manifest> received = Transfer(*sender_, *store, sent_);
    ASSERT_TRUE(received.ok()) << received.status();
    EXPECT_EQ(*ReadAll(*store, *received), content_);
    EXPECT_EQ(fs.Paths().size(), 5u);
  }
}

// After a failed sync, bytes can be read that are not on disk, and a later sync does not write
// them.
TEST_F(SnapshotReceiveTest, BytesOfAFailedSyncAreWrittenAgain) {
  int failures = 0;
  for (uint64_t nth = 1;; ++nth) {
    FaultFileSystem fs;
    auto store = OpenStore(fs);
    fs.FailNth(DiskOp::kSync, nth, absl::InternalError("Input/output error"));
    if (Transfer(*sender_, *store, sent_).ok()) break;
    ++failures;
    store = OpenStore(fs);
    const absl::StatusOr<Manifest> received = Transfer(*sender_, *store, sent_);
    ASSERT_TRUE(received.ok()) << nth << ": " << received.status();
    fs.CrashKeeping(false);
    store = OpenStore(fs);
    const absl::StatusOr<std::string> bytes = ReadAll(*store, *received);
    ASSERT_TRUE(bytes.ok()) << nth << ": " << bytes.status();
    EXPECT_EQ(*bytes, content_) << nth;
  }
  EXPECT_GE(failures, 5) << "one for each file and the manifest";
}

TEST_F(SnapshotReceiveTest, AnotherManifestDropsThePartialCopy) {
  EXPECT_FALSE(Transfer(*sender_, *store_, sent_, 300, 5).ok());
  const Manifest other = Take(*sender_, Meta(60, 3), Content(1500, 8)).value();
  EXPECT_EQ(store_->BeginReceive(other).value(), raft::SnapshotCursor());
  EXPECT_THAT(Files(fs_), ElementsAre("receive.partial"));
  EXPECT_TRUE(Transfer(*sender_, *store_, other).ok());
  EXPECT_EQ(store_->BeginReceive(sent_).value(), raft::SnapshotCursor());
}

TEST_F(SnapshotReceiveTest, DamagedPartialManifestIsRemoved) {
  EXPECT_FALSE(Transfer(*sender_, *store_, sent_, 300, 5).ok());
  fs_.FlipBit("data/snap/receive.partial", 300);
  Restart();
  EXPECT_THAT(Files(fs_), IsEmpty());
  EXPECT_TRUE(Transfer(*sender_, *store_, sent_).ok());
}

// Snapshots share files; only missing files are sent.
TEST_F(SnapshotReceiveTest, ExistingFilesAreNotSent) {
  ASSERT_TRUE(Transfer(*sender_, *store_, sent_).ok());
  Manifest next = sent_;
  next.meta = Meta(70, 3);
  const Manifest delta = Take(*sender_, Meta(70, 3), Content(500, 9)).value();
  next.files.push_back(delta.files[0]);
  EXPECT_EQ(store_->BeginReceive(next).value(), (raft::SnapshotCursor{4, 0}));
  // Removing the snapshot that shares files with the partial copy must keep those files.
  ASSERT_TRUE(store_->RemoveOld(0, raft::Index(0)).ok());
  Restart();
  const absl::StatusOr<Manifest> received = Transfer(*sender_, *store_, next);
  ASSERT_TRUE(received.ok()) << received.status();
  EXPECT_EQ(*ReadAll(*store_, *received), content_ + Content(500, 9));
}

TEST_F(SnapshotReceiveTest, DamagedExistingFileIsReceivedUnderNewName) {
  ASSERT_TRUE(Transfer(*sender_, *store_, sent_).ok());
  Manifest next = sent_;
  next.meta = Meta(70, 3);
  fs_.FlipBit("data/snap/50-2.data", 100);
  EXPECT_EQ(store_->BeginReceive(next).value(), (raft::SnapshotCursor{2, 0}));
  const absl::StatusOr<Manifest> received = Transfer(*sender_, *store_, next);
  ASSERT_TRUE(received.ok()) << received.status();
  EXPECT_EQ(received->files[2].name, "70-0.data");
  EXPECT_EQ(*ReadAll(*store_, *received), content_);
}

// The damage is found only after a restart. The listed snapshot's file must not be overwritten.
TEST_F(SnapshotReceiveTest, SharedFileIsNeverOverwritten) {
  ASSERT_TRUE(Transfer(*sender_, *store_, sent_).ok());
  Manifest next = sent_;
  next.meta = Meta(70, 3);
  next.files.push_back(Take(*sender_, Meta(70, 3), Content(500, 9)).value().files[0]);
  ASSERT_TRUE(store_->BeginReceive(next).ok());
  fs_.FlipBit("data/snap/50-2.data", 100);
  const std::string damaged = fs_.Bytes("data/snap/50-2.data");
  Restart();
  const absl::StatusOr<Manifest> received = Transfer(*sender_, *store_, next);
  ASSERT_TRUE(received.ok()) << received.status();
  EXPECT_EQ(*ReadAll(*store_, *received), content_ + Content(500, 9));
  EXPECT_EQ(fs_.Bytes("data/snap/50-2.data"), damaged);
}

TEST_F(SnapshotReceiveTest, ReceivingAnIndexTakenLocallyKeepsBoth) {
  const Manifest mine = Take(*store_, Meta(50, 3), Content(2000, 1)).value();
  EXPECT_FALSE(Transfer(*sender_, *store_, sent_, 300, 9).ok());
  EXPECT_EQ(*ReadAll(*store_, mine), Content(2000, 1)) << "the names must not collide";
  const absl::StatusOr<Manifest> received = Transfer(*sender_, *store_, sent_);
  ASSERT_TRUE(received.ok()) << received.status();
  EXPECT_THAT(store_->List(), ElementsAre(*received));
  EXPECT_EQ(*ReadAll(*store_, *received), content_);
  EXPECT_EQ(Files(fs_).size(), 5u);
}

TEST_F(SnapshotReceiveTest, FullDiskDropsPartialCopyAndStoreStaysUsable) {
  for (const uint64_t room : {0, 200, 700, 2500}) {
    fs_.SetCapacity(fs_.UsedBytes() + room);
    EXPECT_EQ(Transfer(*sender_, *store_, sent_).status().code(),
              absl::StatusCode::kResourceExhausted)
        << room;
    EXPECT_THAT(Files(fs_), IsEmpty()) << room;
  }
  fs_.SetCapacity(UINT64_MAX);
  EXPECT_TRUE(Transfer(*sender_, *store_, sent_).ok());
}

TEST_F(SnapshotReceiveTest, InvalidManifestsAreRejected) {
  const std::pair<std::function<void(Manifest&)>, std::string> cases[] = {
      {[](Manifest& m) { m.meta.index = raft::Index(0); }, "index 0"},
      {[](Manifest& m) { m.meta.config = std::string((1 << 20) + 1, 'c'); },
       "a configuration that is too long"},
      {[](Manifest& m) { m.files.resize(65537); }, "too many files"},
      {[](Manifest& m) { m.files[0].name = "../escape"; }, "an invalid file name"},
      {[](Manifest& m) { m.files[0].name = ".."; }, "an invalid file name"},
      {[](Manifest& m) { m.files[0].name = ""; }, "an invalid file name"},
      {[](Manifest& m) { m.files[0].name = std::string(65, 'a'); }, "an invalid file name"},
      {[](Manifest& m) { m.files[0].name = "UPPER"; }, "an invalid file name"},
      {[](Manifest& m) { m.files[1].name = m.files[0].name; }, "the file name 50-0.data twice"},
      {[](Manifest& m) { m.files[0].size = UINT64_MAX; }, "an impossible size of 50-0.data"},
      {[](Manifest& m) { m.files[0].size = 0; }, "a wrong checksum of the empty 50-0.data"},
  };
  for (const auto& [damage, problem] : cases) {
    Manifest manifest = sent_;
    damage(manifest);
    EXPECT_EQ(ManifestProblem(manifest), problem);
    EXPECT_EQ(store_->BeginReceive(manifest).status(),
              absl::InvalidArgumentError("snapshot manifest with " + problem));
    EXPECT_EQ(store_->Read(manifest).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

// Power is lost after each operation of a transfer. The transfer resumes and completes the
// snapshot.
TEST_F(SnapshotReceiveTest, CrashAtEveryOperation) {
  for (uint64_t n = 0;; ++n) {
    FaultFileSystem fs;
    fs.StopAfter(n);
    bool done = false;
    {
      auto store = SnapshotStore::Open(fs, kSnap, kFileBytes);
      if (store.ok()) done = Transfer(*sender_, **store, sent_).ok();
    }
    for (uint64_t seed = 0; seed < 10; ++seed) {
      std::unique_ptr<FaultFileSystem> crashed = fs.Clone();
      crashed->Crash(seed * 1000 + n);
      auto store = OpenStore(*crashed);
      ASSERT_NE(store, nullptr);
      for (const Manifest& m : Listed(*store)) {
        ASSERT_EQ(ReadAll(*store, m).value(), content_) << n << ", " << seed;
      }
      if (done) {
        ASSERT_EQ(store->List().size(), 1u);
      }
      // The checksum of a file detects bytes that a crash left wrong, and the file is received
      // again.
      absl::StatusOr<Manifest> received = Transfer(*sender_, *store, sent_);
      for (int tries = 0; tries < 4 && absl::IsDataLoss(received.status()); ++tries) {
        received = Transfer(*sender_, *store, sent_);
      }
      ASSERT_TRUE(received.ok()) << n << ", " << seed << ": " << received.status();
      ASSERT_EQ(ReadAll(*store, *received).value(), content_) << n << ", " << seed;
      ASSERT_EQ(crashed->Paths().size(), 5u) << n << ", " << seed;
    }
    if (done) break;
  }
}

// ---- manifest format

TEST(ManifestTest, RoundTrip) {
  const Manifest manifest{Meta(5, 2), 99, {{"5-0.data", 10, 11}, {"a.b-c", 12, 13}}};
  EXPECT_EQ(*DecodeManifest(EncodeManifest(manifest)), manifest);
  EXPECT_EQ(manifest.TotalBytes(), 22u);
  EXPECT_EQ(*DecodeManifest(EncodeManifest(Manifest{Meta(5), 0, {}})), (Manifest{Meta(5), 0, {}}));
}

TEST(ManifestTest, FlippedBitsAndShortBytesAreRejected) {
  const std::string bytes =
      EncodeManifest(Manifest{Meta(5, 2), 99, {{"5-0.data", 10, 11}, {"a.b-c", 12, 13}}});
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    EXPECT_EQ(DecodeManifest(damaged).status().code(), absl::StatusCode::kDataLoss) << bit;
  }
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(DecodeManifest(bytes.substr(0, size)).status().code(), absl::StatusCode::kDataLoss);
  }
  EXPECT_FALSE(DecodeManifest(bytes + '\0').ok());
}

// Lengths are checked even if the checksum matches.
TEST(ManifestTest, InvalidLengthsWithValidChecksumAreRejected) {
  const std::string bytes = EncodeManifest(Manifest{Meta(5, 2), 99, {{"5-0.data", 10, 11}}});
  struct Case {
    size_t at;
    uint32_t value;
    std::string reason;
  };
  const Case cases[] = {
      {12, 2, "manifest: version 2 needs a newer dqueue"},
      {16, 0, "manifest: index 0"},
      {40, 1000, "manifest: it ends within the configuration"},
      {40, UINT32_MAX, "manifest: it ends within the configuration"},
      {44, 2, "manifest: it ends within the files"},
      {44, UINT32_MAX, "manifest: it ends within the files"},
      {44, 0, "manifest: bytes after its end"},
      {48 + 7 + 12, 9, "manifest: it ends within a name"},
      {48 + 7 + 12, 7, "manifest: bytes after its end"},
      {48 + 7 + 16, 0x2f2f2f2f, "manifest: an invalid file name"},
  };
  for (const Case& c : cases) {
    std::string damaged = bytes;
    StoreU32(damaged.data() + c.at, c.value);
    StoreU32(damaged.data() + 8, Crc32c(std::string_view(damaged).substr(12)));
    EXPECT_EQ(DecodeManifest(damaged).status(), absl::DataLossError(c.reason));
  }
}

}  // namespace
}  // namespace dqueue::storage
