// One record of the log: a header of 40 bytes, a payload, zeros up to a multiple of 8. The header
// has a checksum of its own, so that nothing is believed, and nothing allocated, from a length that
// is not what was written, and so that recovery can step over a damaged payload. docs/storage.md
// has the layout.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "raft/types.h"

namespace dqueue::storage {

enum class RecordType : uint8_t {
  kHardState = 1,
  kEntry = 2,
  kCompact = 3,
  kSnapshot = 4,
  kReset = 5,
  kCleanShutdown = 6,
  kWhole = 7,  // what --recover=peers had lost is back
};
// "HARD_STATE", …; "type N" for a number that is none of them.
std::string RecordTypeName(uint8_t type);

inline constexpr uint64_t kRecordHeaderBytes = 40;
inline constexpr uint64_t kRecordAlignment = 8;
inline constexpr uint64_t kEntryPrefixBytes = 24;  // of an entry's payload, before its data

// Bytes on disk of a record whose payload has `length` bytes.
constexpr uint64_t RecordBytes(uint64_t length) {
  return (kRecordHeaderBytes + length + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
}

struct RecordHeader {
  uint32_t payload_crc = 0;   // CRC-32C of the payload, without the padding
  uint32_t length = 0;        // of the payload
  uint8_t type = 0;           // a RecordType if the writer was no newer than this program
  uint8_t flags = 0;          // none are defined
  uint64_t lsn = 0;           // position in the log: base of the segment + offset in the file
  uint64_t durable_lsn = 0;   // everything before this position was durable when it was queued
  uint32_t salt = 0;          // of the segment
  uint32_t previous_crc = 0;  // payload_crc of the record before
  friend bool operator==(const RecordHeader&, const RecordHeader&) = default;
};
// `out` has kRecordHeaderBytes.
void EncodeRecordHeader(const RecordHeader& header, char* out);
// nullopt if `bytes` is too short or the checksum does not hold.
std::optional<RecordHeader> DecodeRecordHeader(std::string_view bytes);

// Payloads. A decoder answers nullopt for bytes that its encoder could not have made.
std::string EncodeHardState(const raft::HardState& hard_state);
std::optional<raft::HardState> DecodeHardState(std::string_view payload);

struct CompactMark {
  raft::Index index;
  raft::Term term;
  friend bool operator==(const CompactMark&, const CompactMark&) = default;
};
std::string EncodeCompactMark(const CompactMark& mark);
std::optional<CompactMark> DecodeCompactMark(std::string_view payload);

// Of SNAPSHOT and RESET.
std::string EncodeSnapshotMeta(const raft::SnapshotMeta& meta);
std::optional<raft::SnapshotMeta> DecodeSnapshotMeta(std::string_view payload);

// What stands before an entry's data; the data follows without a length.
struct EntryPrefix {
  raft::Index index;
  raft::Term term;
  raft::EntryKind kind = raft::EntryKind::kNoop;
};
// `out` has kEntryPrefixBytes.
void EncodeEntryPrefix(const EntryPrefix& prefix, char* out);
std::optional<EntryPrefix> DecodeEntryPrefix(std::string_view payload);
// With a copy of the data.
std::optional<raft::Entry> DecodeEntry(std::string_view payload);

// For people: "ENTRY 7^2 command 120 bytes". Never shows data.
std::string DescribeRecord(const RecordHeader& header, std::string_view payload);

}  // namespace dqueue::storage
