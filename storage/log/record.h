// A record of the log: a header of 40 bytes, a payload, and zeros up to a multiple of 8.
// docs/storage.md has the layout. The header has its own checksum, so no length is used before it
// is verified, and recovery can skip a damaged payload.
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
  kWhole = 7,  // ends Marks::damaged_from; read only
};
// "HARD_STATE", …; "type N" for an unknown type.
std::string RecordTypeName(uint8_t type);

inline constexpr uint64_t kRecordHeaderBytes = 40;
inline constexpr uint64_t kRecordAlignment = 8;
inline constexpr uint64_t kEntryPrefixBytes = 24;  // in an entry's payload, before its data

// Size on disk of a record whose payload has `length` bytes.
constexpr uint64_t RecordBytes(uint64_t length) {
  return (kRecordHeaderBytes + length + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
}

struct RecordHeader {
  uint32_t payload_crc = 0;  // CRC-32C of the payload without padding
  uint32_t length = 0;       // of the payload
  uint8_t type = 0;          // RecordType, or a number that only a newer writer uses
  uint8_t flags = 0;         // none are defined
  uint64_t lsn = 0;          // position in the log: base_lsn of the segment + offset in the file
  uint64_t durable_lsn =
      0;              // everything before this position was durable when the record was queued
  uint32_t salt = 0;  // of the segment
  uint32_t previous_crc = 0;  // payload_crc of the preceding record
  friend bool operator==(const RecordHeader&, const RecordHeader&) = default;
};
// Writes kRecordHeaderBytes to `out`.
void EncodeRecordHeader(const RecordHeader& header, char* out);
// nullopt if `bytes` is too short or the checksum does not match.
std::optional<RecordHeader> DecodeRecordHeader(std::string_view bytes);

// Payloads. Decoders return nullopt for bytes that are not a valid encoding.
std::string EncodeHardState(const raft::HardState& hard_state);
std::optional<raft::HardState> DecodeHardState(std::string_view payload);

struct CompactMark {
  raft::Index index;
  raft::Term term;
  friend bool operator==(const CompactMark&, const CompactMark&) = default;
};
std::string EncodeCompactMark(const CompactMark& mark);
std::optional<CompactMark> DecodeCompactMark(std::string_view payload);

// Payload of SNAPSHOT and RESET.
std::string EncodeSnapshotMeta(const raft::SnapshotMeta& meta);
std::optional<raft::SnapshotMeta> DecodeSnapshotMeta(std::string_view payload);

// The start of an entry's payload. The entry's data follows without a length.
struct EntryPrefix {
  raft::Index index;
  raft::Term term;
  raft::EntryKind kind = raft::EntryKind::kNoop;
};
// Writes kEntryPrefixBytes to `out`.
void EncodeEntryPrefix(const EntryPrefix& prefix, char* out);
std::optional<EntryPrefix> DecodeEntryPrefix(std::string_view payload);
// Copies the data.
std::optional<raft::Entry> DecodeEntry(std::string_view payload);

// One line for operators: "ENTRY 7^2 command 120 bytes". Contains no data.
std::string DescribeRecord(const RecordHeader& header, std::string_view payload);

}  // namespace dqueue::storage
