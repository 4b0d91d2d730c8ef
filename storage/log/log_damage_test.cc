// Tests of damaged logs: flipped bits, truncated segments, and each kind of invalid file with its
// message. Either all acknowledged data is recovered, or Open() refuses. Data is never recovered as
// other data.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "storage/files/crc32c.h"
#include "storage/files/little_endian.h"
#include "storage/log/log.h"
#include "storage/log/record.h"
#include "storage/log/segment_header.h"
#include "storage/testing/fault_file_system.h"
#include "storage/testing/log_crash.h"
#include "storage/testing/log_model.h"

namespace dqueue::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kWal[] = "data/wal";
constexpr char kDamaged[] =
    "; acknowledged data is damaged; leave this node stopped, keep its directory as it is, and run "
    "the other members";
constexpr char kInconsistent[] =
    "; recovery cannot repair this; leave this node stopped, keep its directory as it is, and run "
    "the other members";

std::string PathOf(uint64_t sequence) { return JoinPath(kWal, SegmentName(sequence)); }

struct Placed {
  uint64_t offset;
  RecordHeader header;
};

// The records of an undamaged segment.
std::vector<Placed> RecordsOf(const std::string& segment) {
  std::vector<Placed> out;
  const std::string_view bytes = segment;
  uint64_t offset = *DecodeHeaderBytes(bytes.substr(0, kHeaderFixedBytes));
  while (auto header = DecodeRecordHeader(bytes.substr(offset))) {
    out.push_back({offset, *header});
    offset += RecordBytes(header->length);
  }
  return out;
}

// Replaces the payload of one record. Its checksums are valid.
void Forge(FaultFileSystem& fs, uint64_t sequence, uint64_t offset, RecordHeader header,
           const std::string& payload) {
  std::string bytes = fs.Bytes(PathOf(sequence));
  header.payload_crc = Crc32c(payload);
  header.length = static_cast<uint32_t>(payload.size());
  EncodeRecordHeader(header, bytes.data() + offset);
  bytes.replace(offset + kRecordHeaderBytes, payload.size(), payload);
  fs.PutFile(PathOf(sequence), bytes);
}

std::string EntryPayload(uint64_t index, uint64_t term, uint8_t kind, const std::string& data) {
  std::string out(kEntryPrefixBytes, '\0');
  EncodeEntryPrefix({raft::Index(index), raft::Term(term), raft::EntryKind::kCommand}, out.data());
  out[16] = static_cast<char>(kind);
  return out + data;
}

// A log of three segments with votes, overwritten entries, a snapshot and a compaction. `model_`
// holds its states. All records but those of the last batch are named durable by a later one.
class LogDamageTest : public testing::Test {
 protected:
  void SetUp() override { Build(false); }

  void Build(bool close) {
    fs_ = std::make_unique<FaultFileSystem>();
    const raft::HardState first{raft::Term(1), {}, {}};
    const std::vector<raft::Entry> entries = {MakeEntry(1, 1, "config", raft::EntryKind::kConfig)};
    model_ = LogModel(first, entries);
    ASSERT_TRUE(Log::Format(*fs_, kWal, CrashIdentity(), first, entries, CrashOptions()).ok());
    RecoveredLog recovered;
    auto log = Log::Open(*fs_, kWal, CrashOptions(), &recovered);
    ASSERT_TRUE(log.ok());
    const auto write = [&](LogWrite w) {
      acknowledged_but_last_ = model_.position();
      model_.Add(w);
      (*log)->Submit(std::move(w));
      ASSERT_TRUE((*log)->Poll().ok());
    };
    const auto hard_state = [](uint64_t term, uint64_t vote) {
      LogWrite w;
      w.hard_state = {raft::Term(term), raft::NodeId(vote), {}};
      return w;
    };
    const auto entry = [](uint64_t index, uint64_t term, size_t size) {
      LogWrite w;
      w.entries = {MakeEntry(index, term, std::string(size, 'x'))};
      return w;
    };
    write(hard_state(2, 5));
    write(entry(2, 2, 100));
    write(entry(3, 2, 30));
    for (uint64_t i = 4; i < 8; ++i) write(entry(i, 2, 16000));  // the last in the second segment
    write(hard_state(3, 6));
    write(entry(6, 3, 40));
    write(entry(7, 3, 0));
    LogWrite snapshot;
    snapshot.snapshot = raft::SnapshotMeta{raft::Index(3), raft::Term(2), "members"};
    write(snapshot);
    for (uint64_t i = 8; i < 11; ++i) write(entry(i, 3, 13000));
    write(entry(11, 3, 16000));  // in the third
    LogWrite compact;
    compact.compact_to = raft::Index(2);
    write(compact);
    write(hard_state(4, 7));
    write(entry(12, 4, 60));
    write(entry(13, 4, 200));
    if (close) {
      acknowledged_but_last_ = model_.position();
      ASSERT_TRUE((*log)->Close().ok());
    }
    ASSERT_EQ(fs_->Paths().size(), 3u);
  }

  absl::StatusOr<ModelState> Open(FaultFileSystem& fs) {
    recovered_ = RecoveredLog();
    auto log = Log::Open(fs, kWal, CrashOptions(), &recovered_);
    if (!log.ok()) return log.status();
    return StateOf(recovered_, **log);
  }
  std::string Refusal(FaultFileSystem& fs) {
    const absl::StatusOr<ModelState> state = Open(fs);
    if (state.ok()) return "opened";
    EXPECT_EQ(state.status().code(), absl::StatusCode::kDataLoss);
    return std::string(state.status().message());
  }

  std::unique_ptr<FaultFileSystem> fs_;
  LogModel model_;
  size_t acknowledged_but_last_ = 0;
  RecoveredLog recovered_;
};

// All bits of headers and used bytes, and some bits of payloads and zeros.
std::vector<uint64_t> BitsToFlip(const std::string& bytes, uint64_t sequence) {
  std::vector<uint64_t> bits;
  for (uint64_t byte = 0; byte < bytes.size(); ++byte) {
    const bool header = byte < kHeaderFixedBytes;
    const bool payload = byte > 0 && bytes[byte] == 'x' && bytes[byte - 1] == 'x';
    const bool zero = bytes[byte] == 0 && byte >= 8 && LoadU64(bytes.data() + byte - 7) == 0;
    if (header || (!payload && !zero)) {
      for (uint64_t bit = 0; bit < 8; ++bit) bits.push_back(byte * 8 + bit);
    } else if (byte % 61 == sequence) {
      bits.push_back(byte * 8 + byte % 8);
    }
  }
  return bits;
}

TEST_F(LogDamageTest, FlippedBits) {
  for (const bool closed : {false, true}) {
    Build(closed);
    uint64_t refused = 0;
    uint64_t shorter = 0;
    for (uint64_t sequence = 1; sequence <= 3; ++sequence) {
      const std::string bytes = fs_->Bytes(PathOf(sequence));
      for (const uint64_t bit : BitsToFlip(bytes, sequence)) {
        std::unique_ptr<FaultFileSystem> fs = fs_->Clone();
        fs->FlipBit(PathOf(sequence), bit);
        const std::string what =
            "segment " + std::to_string(sequence) + " byte " + std::to_string(bit / 8);
        const absl::StatusOr<ModelState> state = Open(*fs);
        if (state.ok()) {
          const ptrdiff_t position = model_.Find(*state, acknowledged_but_last_);
          ASSERT_GE(position, 0) << what << ": " << Describe(*state);
          if (static_cast<size_t>(position) < model_.position()) ++shorter;
          continue;
        }
        ++refused;
        ASSERT_THAT(std::string(state.status().message()), HasSubstr(PathOf(sequence))) << what;
        if (absl::IsFailedPrecondition(state.status())) continue;
        ASSERT_EQ(state.status().code(), absl::StatusCode::kDataLoss) << what;
        if (HasFatalFailure()) return;
      }
    }
    EXPECT_GT(refused, 8000u);
    // Damage in the last batch looks like a torn write, unless something was written after it: a
    // clean shutdown record is enough.
    EXPECT_EQ(shorter == 0, closed) << shorter;
  }
}

TEST_F(LogDamageTest, TruncatedSegments) {
  for (uint64_t sequence = 1; sequence <= 3; ++sequence) {
    const std::string bytes = fs_->Bytes(PathOf(sequence));
    std::unique_ptr<FaultFileSystem> fs = fs_->Clone();
    for (uint64_t size = 0; size < bytes.size(); size += size < 600 ? 1 : 509) {
      fs->PutFile(PathOf(sequence), bytes.substr(0, size));
      const absl::StatusOr<ModelState> state = Open(*fs);
      ASSERT_EQ(state.status().code(), absl::StatusCode::kDataLoss) << sequence << ", " << size;
      ASSERT_THAT(std::string(state.status().message()), HasSubstr(PathOf(sequence)));
    }
  }
}

// Any subset of the last batch's sectors is on the disk: a prefix of the batch is recovered.
TEST_F(LogDamageTest, TornLastBatch) {
  RecoveredLog recovered;
  auto log = Log::Open(*fs_, kWal, CrashOptions(), &recovered);
  ASSERT_TRUE(log.ok());
  const size_t acknowledged = model_.position();
  LogWrite batch;
  batch.hard_state = {raft::Term(5), raft::NodeId(1), {}};
  for (uint64_t i = 14; i < 20; ++i)
    batch.entries.push_back(MakeEntry(i, 5, std::string(700, 'y')));
  model_.Add(batch);
  fs_->StopAfter(1);  // the write, not the sync
  (*log)->Submit(batch);
  EXPECT_FALSE((*log)->Poll().ok());
  std::set<size_t> found;
  for (uint64_t seed = 0; seed < 600; ++seed) {
    std::unique_ptr<FaultFileSystem> fs = fs_->Clone();
    fs->Crash(seed);
    const absl::StatusOr<ModelState> state = Open(*fs);
    ASSERT_TRUE(state.ok()) << seed << ": " << state.status();
    const ptrdiff_t position = model_.Find(*state, acknowledged);
    ASSERT_GE(position, 0) << seed;
    found.insert(static_cast<size_t>(position));
  }
  EXPECT_EQ(found.size(), 8u) << "every prefix should come up";
}

TEST_F(LogDamageTest, TornTailIsRemoved) {
  const std::vector<Placed> records = RecordsOf(fs_->Bytes(PathOf(3)));
  const Placed last = records.back();
  fs_->FlipBit(PathOf(3), (last.offset + kRecordHeaderBytes + 30) * 8);
  absl::StatusOr<LogReport> report = InspectLog(*fs_, kWal, nullptr);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->torn_bytes, RecordBytes(last.header.length));
  EXPECT_FALSE(report->damage.has_value());
  ASSERT_TRUE(Open(*fs_).ok());
  EXPECT_EQ(recovered_.torn_bytes, RecordBytes(last.header.length));
  EXPECT_EQ(recovered_.raft.last_index, raft::Index(12));
  const std::string bytes = fs_->Bytes(PathOf(3));
  EXPECT_EQ(bytes.find_first_not_of('\0', last.offset), std::string::npos);
  ASSERT_TRUE(Open(*fs_).ok());
  EXPECT_EQ(recovered_.torn_bytes, 0u);
}

// A segment is named when its first records are durable, so they cannot be torn, although no other
// record names them durable.
TEST_F(LogDamageTest, FirstBatchOfSegmentIsNeverTorn) {
  FaultFileSystem fs;
  ASSERT_TRUE(Log::Format(fs, kWal, CrashIdentity(), {raft::Term(1), {}, {}},
                          {MakeEntry(1, 1, "config")}, CrashOptions())
                  .ok());
  for (const Placed& record : RecordsOf(fs.Bytes(PathOf(1)))) {
    fs.FlipBit(PathOf(1), (record.offset + kRecordHeaderBytes) * 8);
    EXPECT_THAT(Refusal(fs), HasSubstr(kDamaged));
    fs.FlipBit(PathOf(1), (record.offset + kRecordHeaderBytes) * 8);
  }
  EXPECT_TRUE(Open(fs).ok());
}

// Two damaged records at the end. The header of the second names the first durable.
TEST_F(LogDamageTest, HeaderOfDamagedRecordNamesDurablePosition) {
  const std::vector<Placed> records = RecordsOf(fs_->Bytes(PathOf(3)));
  const Placed& first = records[records.size() - 2];
  const Placed& second = records.back();
  ASSERT_EQ(second.header.durable_lsn, second.header.lsn);
  fs_->FlipBit(PathOf(3), (first.offset + kRecordHeaderBytes + 30) * 8);
  fs_->FlipBit(PathOf(3), (second.offset + kRecordHeaderBytes + 30) * 8);
  EXPECT_EQ(Refusal(*fs_), PathOf(3) + ":" + std::to_string(first.offset) +
                               ": payload checksum mismatch in a record of type ENTRY" + kDamaged);
}

// The message of each kind of damage, as the operator sees it.
class LogRefusalTest : public LogDamageTest {
 protected:
  struct Case {
    std::string name;
    std::function<void(FaultFileSystem&)> damage;
    std::string message;
  };

  void SetUp() override {
    LogDamageTest::SetUp();
    first_ = fs_->Bytes(PathOf(1));
    third_ = fs_->Bytes(PathOf(3));
    records_ = RecordsOf(first_);
    last_ = RecordsOf(third_).back();
    at_last_ = PathOf(3) + ":" + std::to_string(last_.offset) + ": ";
  }

  static std::function<void(FaultFileSystem&)> Put(uint64_t sequence, std::string bytes) {
    return [=](FaultFileSystem& fs) { fs.PutFile(PathOf(sequence), bytes); };
  }
  // Replaces the header of the last segment.
  std::function<void(FaultFileSystem&)> WithHeader(const SegmentHeader& header) const {
    return Put(3, EncodeSegmentHeader(header) + third_.substr(kHeaderAlignment));
  }
  // Replaces the last record.
  std::function<void(FaultFileSystem&)> ForgeLast(RecordHeader header, std::string payload) const {
    return
        [=, offset = last_.offset](FaultFileSystem& fs) { Forge(fs, 3, offset, header, payload); };
  }
  RecordHeader LastOfType(uint8_t type) const {
    RecordHeader header = last_.header;
    header.type = type;
    return header;
  }

  void ExpectRefusals(const std::vector<Case>& cases) {
    for (const Case& c : cases) {
      std::unique_ptr<FaultFileSystem> fs = fs_->Clone();
      c.damage(*fs);
      const FaultFileSystem::Counts before = fs->counts();
      EXPECT_EQ(Refusal(*fs), c.message) << c.name;
      EXPECT_EQ(fs->counts().mutations, before.mutations)
          << c.name << ": a refusal changes nothing";
      absl::StatusOr<LogReport> report = InspectLog(*fs, kWal, nullptr);
      ASSERT_TRUE(report.ok()) << c.name;
      // InspectLog() has no limit on the size of entries.
      if (c.name == "large entry") continue;
      ASSERT_TRUE(report->damage.has_value()) << c.name;
      EXPECT_EQ(
          c.message.rfind(report->damage->file + ":" + std::to_string(report->damage->offset) +
                              ": " + report->damage->reason,
                          0),
          0u)
          << c.name;
    }
  }

  std::string first_;  // bytes of the first segment
  std::string third_;
  std::vector<Placed> records_;  // of the first segment
  Placed last_;                  // the last record of the last segment
  std::string at_last_;          // "FILE:OFFSET: " of `last_`
};

TEST_F(LogRefusalTest, SegmentFiles) {
  ExpectRefusals({
      {"empty last", Put(3, ""), PathOf(3) + ":0: the file is empty" + kDamaged},
      {"empty first", Put(1, ""), PathOf(1) + ":0: the file is empty" + kDamaged},
      {"truncated in header", Put(3, third_.substr(0, 100)),
       PathOf(3) + ":0: the file ends within the segment header" + kDamaged},
      {"truncated after header", Put(3, third_.substr(0, 4096)),
       PathOf(3) +
           ":4096: the file has 4096 bytes, its header says 65536: it was truncated or extended" +
           kInconsistent},
      {"extended", Put(3, third_ + "x"),
       PathOf(3) +
           ":65536: the file has 65537 bytes, its header says 65536: it was truncated or extended" +
           kInconsistent},
      {"zeros", Put(3, std::string(65536, '\0')),
       PathOf(3) + ":0: not a segment of a dqueue log (wrong magic)" + kDamaged},
      {"missing in the middle", [](FaultFileSystem& fs) { ASSERT_TRUE(fs.Remove(PathOf(2)).ok()); },
       PathOf(2) + ":0: the segment is missing" + kDamaged},
      {"missing at the beginning",
       [](FaultFileSystem& fs) { ASSERT_TRUE(fs.Remove(PathOf(1)).ok()); },
       PathOf(2) + ":0: the entries 3 to 5 are missing: a segment before this one is gone" +
           kDamaged},
      {"renamed", [](FaultFileSystem& fs) { ASSERT_TRUE(fs.Rename(PathOf(3), PathOf(5)).ok()); },
       PathOf(5) + ":0: the file holds segment 0000000000000003.wal: it was copied or renamed" +
           kInconsistent},
      {"copied", Put(4, third_),
       PathOf(4) + ":0: the file holds segment 0000000000000003.wal: it was copied or renamed" +
           kInconsistent},
      {"overwritten by another", Put(2, third_),
       PathOf(2) + ":0: the file holds segment 0000000000000003.wal: it was copied or renamed" +
           kInconsistent},
      {"not a regular file", [](FaultFileSystem& fs) { fs.PutSpecial(PathOf(3)); },
       PathOf(3) + ":0: not a regular file" + kInconsistent},
      {"a directory", [](FaultFileSystem& fs) { ASSERT_TRUE(fs.CreateDirectory(PathOf(4)).ok()); },
       PathOf(4) + ":0: not a regular file" + kInconsistent},
  });
}

TEST_F(LogRefusalTest, SegmentHeaders) {
  std::string wrong_magic = third_;
  wrong_magic[0] = 'D';
  std::string flipped_header = third_;
  flipped_header[300] ^= 1;
  const SegmentHeader header = *DecodeSegmentHeader(third_);
  SegmentHeader of_other_log = header;
  of_other_log.identity.node_name = "beta";
  SegmentHeader of_other_state = header;
  of_other_state.marks.hard_state.vote = raft::NodeId(1);
  SegmentHeader of_other_predecessor = header;
  of_other_predecessor.previous_crc ^= 1;
  SegmentHeader of_other_position = header;
  of_other_position.base_lsn += 65536;
  of_other_position.named_end += 65536;
  SegmentHeader invalid = header;
  invalid.named_end = invalid.base_lsn;
  ExpectRefusals({
      {"wrong magic", Put(3, wrong_magic),
       PathOf(3) + ":0: not a segment of a dqueue log (wrong magic)" + kDamaged},
      {"flipped bit in header", Put(3, flipped_header),
       PathOf(3) + ":0: segment header checksum mismatch" + kDamaged},
      {"invalid values in header", WithHeader(invalid),
       PathOf(3) + ":0: segment header with impossible values" + kDamaged},
      {"another log", WithHeader(of_other_log),
       PathOf(3) + ":0: the segment belongs to another log than " + PathOf(1) +
           " (node \"beta\", not \"alpha\", or another cluster or incarnation)" + kInconsistent},
      {"header of another state", WithHeader(of_other_state),
       PathOf(3) +
           ":0: the segment does not continue the one before it: its header repeats another "
           "state" +
           kInconsistent},
      {"header of another predecessor", WithHeader(of_other_predecessor),
       PathOf(3) +
           ":0: the segment does not continue the one before it: the end of that segment is "
           "different" +
           kInconsistent},
      {"header of another position", WithHeader(of_other_position),
       PathOf(3) + ":0: the segment does not continue the one before it: its position is wrong" +
           kInconsistent},
  });
}

TEST_F(LogRefusalTest, InconsistentRecords) {
  RecordHeader flagged = last_.header;
  flagged.flags = 1;
  RecordHeader durable_after_itself = last_.header;
  durable_after_itself.durable_lsn = durable_after_itself.lsn + 8;
  ExpectRefusals({
      {"unknown type", ForgeLast(LastOfType(99), "?"),
       at_last_ + "a record of unknown type 99: it needs a newer dqueue" + kInconsistent},
      {"unknown flag", ForgeLast(flagged, EntryPayload(13, 4, 3, "")),
       at_last_ + "a record with flags: it needs a newer dqueue" + kInconsistent},
      {"durable position after itself", ForgeLast(durable_after_itself, EntryPayload(13, 4, 3, "")),
       at_last_ + "a record that names a durable position after itself" + kInconsistent},
      {"index gap", ForgeLast(last_.header, EntryPayload(14, 4, 3, "")),
       at_last_ + "entry 14 after entry 12" + kInconsistent},
      {"decreasing term", ForgeLast(last_.header, EntryPayload(13, 3, 3, "")),
       at_last_ + "entry 13 of term 3 after term 4" + kInconsistent},
      {"term above hard state", ForgeLast(last_.header, EntryPayload(13, 5, 3, "")),
       at_last_ + "entry 13 of term 5 in term 4" + kInconsistent},
      {"entry of a snapshot replaced", ForgeLast(last_.header, EntryPayload(3, 4, 3, "")),
       at_last_ + "entry 3 replaces an entry of the snapshot at 3" + kInconsistent},
      {"unknown entry kind", ForgeLast(last_.header, EntryPayload(13, 4, 4, "")),
       at_last_ + "a record of type ENTRY with a malformed payload" + kInconsistent},
      {"short entry", ForgeLast(last_.header, "short"),
       at_last_ + "a record of type ENTRY with a malformed payload" + kInconsistent},
      {"large entry",
       ForgeLast(last_.header, EntryPayload(13, 4, 3, std::string((16 << 10) + 1, 'l'))),
       at_last_ + "entry 13 has 16385 bytes, more than the limit of 16384" + kInconsistent},
      {"short vote", ForgeLast(LastOfType(1), "short"),
       at_last_ + "a record of type HARD_STATE with a malformed payload" + kInconsistent},
      {"changed vote",
       ForgeLast(LastOfType(1), EncodeHardState({raft::Term(4), raft::NodeId(1), raft::Index(0)})),
       at_last_ + "the vote in term 4 changes from 7 to 1" + kInconsistent},
      {"short compaction mark", ForgeLast(LastOfType(3), "short"),
       at_last_ + "a record of type COMPACT with a malformed payload" + kInconsistent},
      {"compaction above snapshot",
       ForgeLast(LastOfType(3), EncodeCompactMark({raft::Index(9), raft::Term(3)})),
       at_last_ + "compaction to 9 with a snapshot only at 3" + kInconsistent},
      {"snapshot above last entry",
       ForgeLast(LastOfType(4), EncodeSnapshotMeta({raft::Index(99), raft::Term(4), ""})),
       at_last_ + "a snapshot at 99 of a log that ends at 12" + kInconsistent},
      {"reset below snapshot",
       ForgeLast(LastOfType(5), EncodeSnapshotMeta({raft::Index(2), raft::Term(2), ""})),
       at_last_ + "a reset to 2 after a snapshot at 3" + kInconsistent},
      {"shutdown with payload", ForgeLast(LastOfType(6), "?"),
       at_last_ + "a record of type CLEAN_SHUTDOWN with a malformed payload" + kInconsistent},
      {"whole with payload", ForgeLast(LastOfType(7), "?"),
       at_last_ + "a record of type WHOLE with a malformed payload" + kInconsistent},
  });
}

TEST_F(LogRefusalTest, DamagedRecords) {
  ExpectRefusals({
      {"damaged payload",
       [&](FaultFileSystem& fs) { fs.FlipBit(PathOf(1), (records_[2].offset + 50) * 8); },
       PathOf(1) + ":" + std::to_string(records_[2].offset) +
           ": payload checksum mismatch in a record of type HARD_STATE" + kDamaged},
      {"damaged header",
       [&](FaultFileSystem& fs) { fs.FlipBit(PathOf(1), (records_[2].offset + 10) * 8); },
       PathOf(1) + ":" + std::to_string(records_[2].offset) + ": record header checksum mismatch" +
           kDamaged},
      {"zeroed record",
       [&](FaultFileSystem& fs) {
         std::string bytes = first_;
         bytes.replace(records_[1].offset, 40, 40, '\0');
         fs.PutFile(PathOf(1), bytes);
       },
       PathOf(1) + ":" + std::to_string(records_[1].offset) + ": zeros where a record was written" +
           kDamaged},
      {"record of another position",
       [&](FaultFileSystem& fs) {
         std::string bytes = first_;
         bytes.replace(records_[2].offset, 64, first_.substr(records_[0].offset, 64));
         fs.PutFile(PathOf(1), bytes);
       },
       PathOf(1) + ":" + std::to_string(records_[2].offset) +
           ": the record is of another position or segment" + kDamaged},
      {"record of another predecessor",
       [&](FaultFileSystem& fs) {
         RecordHeader header = records_[2].header;
         header.previous_crc ^= 1;
         Forge(fs, 1, records_[2].offset, header,
               first_.substr(records_[2].offset + 40, header.length));
       },
       PathOf(1) + ":" + std::to_string(records_[2].offset) +
           ": the record does not follow the one before it" + kDamaged},
  });
}

TEST_F(LogDamageTest, NewerFormatIsNotDamage) {
  std::string bytes = fs_->Bytes(PathOf(3));
  StoreU32(bytes.data() + 12, 2);
  StoreU32(bytes.data() + 8, Crc32c(std::string_view(bytes).substr(12, 500)));
  fs_->PutFile(PathOf(3), bytes);
  const absl::Status newer = absl::FailedPreconditionError(
      PathOf(3) + ":0: log format 2 needs a newer dqueue (this one knows format 1)");
  EXPECT_EQ(Open(*fs_).status(), newer);
  EXPECT_EQ(InspectLog(*fs_, kWal, nullptr).status(), newer);
  EXPECT_EQ(Log::ReadIdentity(*fs_, kWal).value(), CrashIdentity());
}

// ---- Logs of versions that had --recover=peers

// Names a segment after the log as those versions did: it continues the log before its last
// record, and its header has damaged_from.
void AddRecoveredSegment(FaultFileSystem& fs, const std::vector<Placed>& kept, Marks marks) {
  const absl::StatusOr<SegmentHeader> last = DecodeSegmentHeader(fs.Bytes(PathOf(3)));
  ASSERT_TRUE(last.ok()) << last.status();
  SegmentHeader header;
  header.identity = CrashIdentity();
  header.sequence = 4;
  header.segment_bytes = last->segment_bytes;
  header.base_lsn = last->base_lsn + last->segment_bytes;
  header.previous_sequence = 3;
  header.previous_end =
      last->base_lsn + kept.back().offset + RecordBytes(kept.back().header.length);
  header.previous_crc = kept.back().header.payload_crc;
  header.salt = SegmentSalt(header.identity, header.sequence, header.base_lsn, header.previous_crc);
  header.recovered = true;
  header.marks = std::move(marks);
  header.named_end = header.base_lsn + header.HeaderBytes();
  std::string bytes = EncodeSegmentHeader(header);
  bytes.resize(header.segment_bytes, '\0');
  fs.PutFile(PathOf(4), bytes);
}

TEST_F(LogDamageTest, LogThatAnEarlierVersionCutIsReadAndReported) {
  ASSERT_TRUE(Open(*fs_).ok());
  Marks marks;
  marks.hard_state = recovered_.raft.hard_state;
  marks.compacted = {recovered_.raft.compacted_index, recovered_.raft.compacted_term};
  marks.snapshot = recovered_.raft.snapshot;
  marks.last_index = raft::Index(12);
  marks.last_term = raft::Term(4);
  marks.damaged_from = raft::Index(13);
  std::vector<Placed> kept = RecordsOf(fs_->Bytes(PathOf(3)));
  kept.pop_back();  // entry 13
  AddRecoveredSegment(*fs_, kept, marks);
  for (int i = 0; i < 2; ++i) {
    const absl::StatusOr<ModelState> state = Open(*fs_);
    ASSERT_TRUE(state.ok()) << state.status();
    EXPECT_EQ(recovered_.damaged_from, raft::Index(13));
    EXPECT_EQ(recovered_.raft.last_index, raft::Index(12));
    EXPECT_EQ(recovered_.raft.hard_state.vote, raft::NodeId(7));
  }
}

// ---- InspectLog

TEST_F(LogDamageTest, InspectListsEveryRecord) {
  std::vector<std::string> lines;
  const absl::StatusOr<LogReport> report =
      InspectLog(*fs_, kWal, [&lines](const std::string& line) { lines.push_back(line); });
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->identity, CrashIdentity());
  EXPECT_EQ(report->raft.last_index, raft::Index(13));
  EXPECT_THAT(report->segments, ElementsAre(PathOf(1), PathOf(2), PathOf(3)));
  EXPECT_EQ(lines.size(), report->records + 3);
  EXPECT_EQ(lines[0], PathOf(1) + ":0 SEGMENT lsn 0 term 0 vote 0 last 0 compacted 0 snapshot 0");
  EXPECT_EQ(lines[1], PathOf(1) + ":4096 lsn 4096 durable 0 HARD_STATE term 1 vote 0 commit 0");
  EXPECT_EQ(lines[2], PathOf(1) + ":4160 lsn 4160 durable 0 ENTRY 1^1 config 6 bytes");
  EXPECT_EQ(lines[3], PathOf(1) + ":4232 lsn 4232 durable 4232 HARD_STATE term 2 vote 5 commit 0");
  EXPECT_FALSE(report->clean_shutdown);
  EXPECT_EQ(InspectLog(*fs_, "nowhere", nullptr).status().code(), absl::StatusCode::kNotFound);
  Build(true);
  EXPECT_TRUE(InspectLog(*fs_, kWal, nullptr)->clean_shutdown);
}

}  // namespace
}  // namespace dqueue::storage
