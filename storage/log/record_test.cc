// Tests of the codecs of records and segment headers: valid bytes round-trip, all others are
// rejected.
#include "storage/log/record.h"

#include <gtest/gtest.h>

#include "storage/files/crc32c.h"
#include "storage/files/little_endian.h"
#include "storage/log/segment_header.h"

namespace dqueue::storage {
namespace {

RecordHeader SomeHeader() {
  RecordHeader header;
  header.payload_crc = 0x01020304;
  header.length = 77;
  header.type = static_cast<uint8_t>(RecordType::kEntry);
  header.lsn = 0x1122334455667788;
  header.durable_lsn = 0x1122334455660000;
  header.salt = 0xdeadbeef;
  header.previous_crc = 0xcafebabe;
  return header;
}

std::string Encoded(const RecordHeader& header) {
  std::string out(kRecordHeaderBytes, '\0');
  EncodeRecordHeader(header, out.data());
  return out;
}

TEST(RecordTest, HeaderRoundTrip) {
  const RecordHeader header = SomeHeader();
  EXPECT_EQ(DecodeRecordHeader(Encoded(header)), header);
}

// The layout must never change: existing files have it.
TEST(RecordTest, HeaderLayout) {
  const std::string bytes = Encoded(SomeHeader());
  ASSERT_EQ(bytes.size(), 40u);
  EXPECT_EQ(LoadU32(bytes.data()), Crc32c(std::string_view(bytes).substr(4)));
  EXPECT_EQ(LoadU32(bytes.data() + 4), 0x01020304u);
  EXPECT_EQ(LoadU32(bytes.data() + 8), 77u);
  EXPECT_EQ(bytes[12], 2);
  EXPECT_EQ(bytes[13], 0);
  EXPECT_EQ(LoadU64(bytes.data() + 16), 0x1122334455667788u);
  EXPECT_EQ(LoadU64(bytes.data() + 24), 0x1122334455660000u);
  EXPECT_EQ(LoadU32(bytes.data() + 32), 0xdeadbeefu);
  EXPECT_EQ(LoadU32(bytes.data() + 36), 0xcafebabeu);
}

TEST(RecordTest, FlippedHeaderBitsAreRejected) {
  const std::string bytes = Encoded(SomeHeader());
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    EXPECT_EQ(DecodeRecordHeader(damaged), std::nullopt) << bit;
  }
}

TEST(RecordTest, ShortHeadersAreRejected) {
  const std::string bytes = Encoded(SomeHeader());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(DecodeRecordHeader(std::string_view(bytes).substr(0, size)), std::nullopt);
  }
  EXPECT_EQ(DecodeRecordHeader(std::string(40, '\0')), std::nullopt);
  EXPECT_EQ(DecodeRecordHeader(std::string(40, '\xff')), std::nullopt);
}

TEST(RecordTest, SizesOnDisk) {
  EXPECT_EQ(RecordBytes(0), 40u);
  EXPECT_EQ(RecordBytes(1), 48u);
  EXPECT_EQ(RecordBytes(8), 48u);
  EXPECT_EQ(RecordBytes(9), 56u);
  EXPECT_EQ(RecordBytes(UINT32_MAX), (uint64_t{1} << 32) + 40);
}

TEST(RecordTest, PayloadsRoundTrip) {
  const raft::HardState hard_state{raft::Term(3), raft::NodeId(UINT64_MAX), raft::Index(9)};
  EXPECT_EQ(DecodeHardState(EncodeHardState(hard_state)), hard_state);
  const CompactMark mark{raft::Index(7), raft::Term(2)};
  EXPECT_EQ(DecodeCompactMark(EncodeCompactMark(mark)), mark);
  for (const std::string& config : {std::string(), std::string("members\0x", 9)}) {
    const raft::SnapshotMeta meta{raft::Index(7), raft::Term(2), config};
    EXPECT_EQ(DecodeSnapshotMeta(EncodeSnapshotMeta(meta)), meta);
  }
  for (const raft::EntryKind kind :
       {raft::EntryKind::kNoop, raft::EntryKind::kConfig, raft::EntryKind::kCommand}) {
    std::string payload(kEntryPrefixBytes, '\0');
    EncodeEntryPrefix({raft::Index(5), raft::Term(4), kind}, payload.data());
    payload += "data";
    const std::optional<raft::Entry> entry = DecodeEntry(payload);
    ASSERT_TRUE(entry.has_value());
    EXPECT_EQ(entry->index, raft::Index(5));
    EXPECT_EQ(entry->term, raft::Term(4));
    EXPECT_EQ(entry->kind, kind);
    EXPECT_EQ(*entry->payload, "data");
  }
}

TEST(RecordTest, InvalidPayloadsAreRejected) {
  for (size_t size = 0; size < 60; ++size) {
    const std::string zeros(size, '\0');
    EXPECT_EQ(DecodeHardState(zeros).has_value(), size == 24) << size;
    EXPECT_EQ(DecodeCompactMark(zeros).has_value(), size == 16) << size;
    EXPECT_EQ(DecodeSnapshotMeta(zeros).has_value(), size >= 16) << size;
    EXPECT_FALSE(DecodeEntry(zeros).has_value()) << size;  // kind 0
  }
  std::string payload(kEntryPrefixBytes, '\0');
  for (int kind = 0; kind < 256; ++kind) {
    payload[16] = static_cast<char>(kind);
    EXPECT_EQ(DecodeEntry(payload).has_value(), kind >= 1 && kind <= 3) << kind;
  }
  payload[16] = 1;
  for (size_t at = 17; at < 24; ++at) {
    std::string padded = payload;
    padded[at] = 1;
    EXPECT_FALSE(DecodeEntry(padded).has_value()) << at;
  }
}

TEST(RecordTest, DescriptionContainsNoData) {
  const auto describe = [](RecordType type, const std::string& payload) {
    RecordHeader header;
    header.type = static_cast<uint8_t>(type);
    header.length = static_cast<uint32_t>(payload.size());
    return DescribeRecord(header, payload);
  };
  std::string entry(kEntryPrefixBytes, '\0');
  EncodeEntryPrefix({raft::Index(5), raft::Term(4), raft::EntryKind::kCommand}, entry.data());
  EXPECT_EQ(describe(RecordType::kEntry, entry + "secret"), "ENTRY 5^4 command 6 bytes");
  EXPECT_EQ(describe(RecordType::kEntry, "secret"), "ENTRY with a malformed payload of 6 bytes");
  EXPECT_EQ(describe(RecordType::kHardState,
                     EncodeHardState({raft::Term(2), raft::NodeId(3), raft::Index(4)})),
            "HARD_STATE term 2 vote 3 commit 4");
  EXPECT_EQ(describe(RecordType::kCompact, EncodeCompactMark({raft::Index(5), raft::Term(4)})),
            "COMPACT to 5^4");
  const std::string meta = EncodeSnapshotMeta({raft::Index(5), raft::Term(4), "secret"});
  EXPECT_EQ(describe(RecordType::kSnapshot, meta), "SNAPSHOT at 5^4");
  EXPECT_EQ(describe(RecordType::kReset, meta), "RESET at 5^4");
  EXPECT_EQ(describe(RecordType::kCleanShutdown, ""), "CLEAN_SHUTDOWN");
  EXPECT_EQ(describe(RecordType::kWhole, ""), "WHOLE");
  EXPECT_EQ(describe(static_cast<RecordType>(200), "secret"), "type 200 6 bytes");
}

SegmentHeader SomeSegment() {
  SegmentHeader h;
  h.identity = {{1, 2}, raft::NodeId(3), raft::Incarnation(4), "alpha"};
  h.sequence = 9;
  h.segment_bytes = 1 << 20;
  h.base_lsn = 8 << 20;
  h.previous_sequence = 8;
  h.previous_end = (8 << 20) - 800;
  h.named_end = (8 << 20) + 9000;
  h.salt = 77;
  h.previous_crc = 78;
  h.recovered = true;
  h.marks.hard_state = {raft::Term(6), raft::NodeId(3), raft::Index(50)};
  h.marks.compacted = {raft::Index(40), raft::Term(4)};
  h.marks.last_index = raft::Index(60);
  h.marks.last_term = raft::Term(6);
  h.marks.snapshot = {raft::Index(45), raft::Term(5), std::string(5000, 'c')};
  h.marks.damaged_from = raft::Index(61);
  return h;
}

TEST(SegmentHeaderTest, RoundTrip) {
  const SegmentHeader h = SomeSegment();
  const std::string bytes = EncodeSegmentHeader(h);
  EXPECT_EQ(bytes.size(), 8192u);
  EXPECT_EQ(bytes.size(), h.HeaderBytes());
  EXPECT_EQ(*DecodeHeaderBytes(bytes.substr(0, kHeaderFixedBytes)), 8192u);
  const absl::StatusOr<SegmentHeader> back = DecodeSegmentHeader(bytes);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->identity, h.identity);
  EXPECT_EQ(back->sequence, h.sequence);
  EXPECT_EQ(back->segment_bytes, h.segment_bytes);
  EXPECT_EQ(back->base_lsn, h.base_lsn);
  EXPECT_EQ(back->previous_sequence, h.previous_sequence);
  EXPECT_EQ(back->previous_end, h.previous_end);
  EXPECT_EQ(back->named_end, h.named_end);
  EXPECT_EQ(back->salt, h.salt);
  EXPECT_EQ(back->previous_crc, h.previous_crc);
  EXPECT_EQ(back->recovered, h.recovered);
  EXPECT_EQ(back->marks, h.marks);
}

TEST(SegmentHeaderTest, FlippedBitIsRejectedOrWithoutEffect) {
  const std::string bytes = EncodeSegmentHeader(SomeSegment());
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    const absl::StatusOr<SegmentHeader> back = DecodeSegmentHeader(damaged);
    const bool padding = bit / 8 >= kHeaderFixedBytes + 5000;
    ASSERT_EQ(back.ok(), padding) << bit;
    if (back.ok()) {
      ASSERT_EQ(EncodeSegmentHeader(*back), bytes) << bit;
    }
  }
}

TEST(SegmentHeaderTest, ShortHeaderIsRejected) {
  const std::string bytes = EncodeSegmentHeader(SomeSegment());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(DecodeSegmentHeader(std::string_view(bytes).substr(0, size)).status().code(),
              absl::StatusCode::kDataLoss);
  }
}

TEST(SegmentHeaderTest, InvalidValuesAreRejected) {
  const std::function<void(SegmentHeader&)> cases[] = {
      [](SegmentHeader& h) { h.sequence = 0; },
      [](SegmentHeader& h) { h.previous_sequence = 9; },
      [](SegmentHeader& h) { h.previous_end = h.base_lsn + 1; },
      [](SegmentHeader& h) { h.named_end = h.base_lsn + 8191; },
      [](SegmentHeader& h) { h.named_end = h.base_lsn + h.segment_bytes + 1; },
      [](SegmentHeader& h) { h.marks.compacted.index = raft::Index(46); },
      [](SegmentHeader& h) { h.marks.snapshot.index = raft::Index(61); },
      [](SegmentHeader& h) { h.marks.last_term = raft::Term(7); },
  };
  for (const auto& damage : cases) {
    SegmentHeader h = SomeSegment();
    damage(h);
    EXPECT_EQ(DecodeSegmentHeader(EncodeSegmentHeader(h)).status(),
              absl::DataLossError("segment header with impossible values"));
  }
}

// A length is checked even if its checksum matches.
TEST(SegmentHeaderTest, InvalidSizesAreRejected) {
  const std::pair<size_t, uint64_t> cases[] = {
      {56, 0},         {56, 65536 - 4096}, {56, (uint64_t{1} << 30) + 4096},
      {56, 65536 + 1}, {188, UINT32_MAX},  {188, (1 << 18) + 1},
      {196, 129},
  };
  for (const auto& [at, value] : cases) {
    std::string bytes = EncodeSegmentHeader(SomeSegment());
    if (at == 56) {
      StoreU64(bytes.data() + at, value);
    } else {
      StoreU32(bytes.data() + at, static_cast<uint32_t>(value));
    }
    StoreU32(bytes.data() + 8, Crc32c(std::string_view(bytes).substr(12, 500)));
    EXPECT_EQ(DecodeSegmentHeader(bytes).status(),
              absl::DataLossError("segment header with impossible sizes"))
        << at;
  }
}

TEST(SegmentHeaderTest, SaltsDiffer) {
  const Identity id = SomeSegment().identity;
  Identity other = id;
  other.incarnation = raft::Incarnation(5);
  const uint32_t salt = SegmentSalt(id, 1, 0, 0);
  EXPECT_EQ(salt, SegmentSalt(id, 1, 0, 0));
  EXPECT_NE(salt, SegmentSalt(id, 2, 0, 0));
  EXPECT_NE(salt, SegmentSalt(id, 1, 65536, 0));
  EXPECT_NE(salt, SegmentSalt(id, 1, 0, 1));
  EXPECT_NE(salt, SegmentSalt(other, 1, 0, 0));
}

TEST(SegmentHeaderTest, Names) {
  EXPECT_EQ(SegmentName(0x1a), "000000000000001a.wal");
  EXPECT_EQ(ParseSegmentName("000000000000001a.wal"), 0x1au);
  EXPECT_EQ(ParseSegmentName("ffffffffffffffff.wal"), UINT64_MAX);
  for (const char* name : {"", ".wal", "1a.wal", "000000000000001A.wal", "000000000000001g.wal",
                           "000000000000001a.wal.tmp", "000000000000001a.free",
                           "0000000000000001a.wal", "-00000000000001a.wal"}) {
    EXPECT_EQ(ParseSegmentName(name), std::nullopt) << name;
  }
  EXPECT_TRUE(IsLeftoverName(FreeName(3)));
  EXPECT_TRUE(IsLeftoverName("x.tmp"));
  EXPECT_FALSE(IsLeftoverName("notes.free"));
  EXPECT_FALSE(IsLeftoverName(SegmentName(3)));
  EXPECT_EQ(JoinPath("a/b", "c"), "a/b/c");
  EXPECT_EQ(JoinPath("/", "c"), "/c");
}

}  // namespace
}  // namespace dqueue::storage
