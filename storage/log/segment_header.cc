#include "storage/log/segment_header.h"

#include <cstdio>

#include "base/check.h"
#include "storage/files/crc32c.h"
#include "storage/files/little_endian.h"

namespace dqueue::storage {
namespace {

constexpr char kMagic[] = "dqueuewl";
constexpr uint64_t kMagicBytes = 8;
constexpr std::string_view kSegmentSuffix = ".wal";
constexpr std::string_view kFreeSuffix = ".free";
constexpr uint32_t kFlagRecovered = 1;

// Offsets in the fixed part.
enum : size_t {
  kAtCrc = 8,  // covers the fixed part after it
  kAtVersion = 12,
  kAtClusterHi = 16,
  kAtClusterLo = 24,
  kAtNode = 32,
  kAtIncarnation = 40,
  kAtSequence = 48,
  kAtSegmentBytes = 56,
  kAtBaseLsn = 64,
  kAtPreviousSequence = 72,
  kAtPreviousEnd = 80,
  kAtNamedEnd = 88,
  kAtSalt = 96,
  kAtPreviousCrc = 100,
  kAtTerm = 104,
  kAtVote = 112,
  kAtCommit = 120,
  kAtCompactedIndex = 128,
  kAtCompactedTerm = 136,
  kAtLastIndex = 144,
  kAtLastTerm = 152,
  kAtSnapshotIndex = 160,
  kAtSnapshotTerm = 168,
  kAtDamagedFrom = 176,
  kAtFlags = 184,
  kAtConfigBytes = 188,
  kAtConfigCrc = 192,
  kAtNameBytes = 196,
  kAtName = 200,
};
static_assert(kAtName + kMaxNodeNameBytes <= kHeaderFixedBytes);

uint64_t HeaderBytesFor(uint64_t config_bytes) {
  return (kHeaderFixedBytes + config_bytes + kHeaderAlignment - 1) / kHeaderAlignment *
         kHeaderAlignment;
}

std::string HexName(uint64_t number, std::string_view suffix) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(number));
  return std::string(digits) + std::string(suffix);
}

std::optional<uint64_t> ParseHexName(std::string_view name, std::string_view suffix) {
  if (name.size() != 16 + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
  uint64_t number = 0;
  for (char c : name.substr(0, 16)) {
    if (c >= '0' && c <= '9') {
      number = number << 4 | static_cast<uint64_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      number = number << 4 | static_cast<uint64_t>(c - 'a' + 10);
    } else {
      return std::nullopt;
    }
  }
  return number;
}

}  // namespace

uint64_t SegmentHeader::HeaderBytes() const { return HeaderBytesFor(marks.snapshot.config.size()); }

std::string EncodeSegmentHeader(const SegmentHeader& header) {
  const Identity& id = header.identity;
  const Marks& marks = header.marks;
  const std::string& config = marks.snapshot.config;
  DQ_CHECK(id.node_name.size() <= kMaxNodeNameBytes);
  DQ_CHECK(config.size() <= MaxConfigBytes(header.segment_bytes));
  DQ_CHECK(header.HeaderBytes() < header.segment_bytes);

  std::string out(header.HeaderBytes(), '\0');
  char* p = out.data();
  std::memcpy(p, kMagic, kMagicBytes);
  StoreU32(p + kAtVersion, kFormatVersion);
  StoreU64(p + kAtClusterHi, id.cluster.hi);
  StoreU64(p + kAtClusterLo, id.cluster.lo);
  StoreU64(p + kAtNode, id.node.value());
  StoreU64(p + kAtIncarnation, id.incarnation.value());
  StoreU64(p + kAtSequence, header.sequence);
  StoreU64(p + kAtSegmentBytes, header.segment_bytes);
  StoreU64(p + kAtBaseLsn, header.base_lsn);
  StoreU64(p + kAtPreviousSequence, header.previous_sequence);
  StoreU64(p + kAtPreviousEnd, header.previous_end);
  StoreU64(p + kAtNamedEnd, header.named_end);
  StoreU32(p + kAtSalt, header.salt);
  StoreU32(p + kAtPreviousCrc, header.previous_crc);
  StoreU64(p + kAtTerm, marks.hard_state.term.value());
  StoreU64(p + kAtVote, marks.hard_state.vote.value());
  StoreU64(p + kAtCommit, marks.hard_state.commit.value());
  StoreU64(p + kAtCompactedIndex, marks.compacted.index.value());
  StoreU64(p + kAtCompactedTerm, marks.compacted.term.value());
  StoreU64(p + kAtLastIndex, marks.last_index.value());
  StoreU64(p + kAtLastTerm, marks.last_term.value());
  StoreU64(p + kAtSnapshotIndex, marks.snapshot.index.value());
  StoreU64(p + kAtSnapshotTerm, marks.snapshot.term.value());
  StoreU64(p + kAtDamagedFrom, marks.damaged_from.value());
  StoreU32(p + kAtFlags, header.recovered ? kFlagRecovered : 0);
  StoreU32(p + kAtConfigBytes, static_cast<uint32_t>(config.size()));
  StoreU32(p + kAtConfigCrc, Crc32c(config));
  StoreU32(p + kAtNameBytes, static_cast<uint32_t>(id.node_name.size()));
  std::memcpy(p + kAtName, id.node_name.data(), id.node_name.size());
  StoreU32(p + kAtCrc, Crc32c(std::string_view(p + kAtVersion, kHeaderFixedBytes - kAtVersion)));
  std::memcpy(p + kHeaderFixedBytes, config.data(), config.size());
  return out;
}

absl::StatusOr<uint64_t> DecodeHeaderBytes(std::string_view fixed) {
  if (fixed.empty()) return absl::DataLossError("the file is empty");
  if (fixed.size() < kHeaderFixedBytes) {
    return absl::DataLossError("the file ends within the segment header");
  }
  const char* p = fixed.data();
  if (std::memcmp(p, kMagic, kMagicBytes) != 0) {
    return absl::DataLossError("not a segment of a dqueue log (wrong magic)");
  }
  if (LoadU32(p + kAtCrc) != Crc32c(fixed.substr(kAtVersion, kHeaderFixedBytes - kAtVersion))) {
    return absl::DataLossError("segment header checksum mismatch");
  }
  // Magic, checksum and version are at the same offsets in every format.
  const uint32_t version = LoadU32(p + kAtVersion);
  if (version != kFormatVersion || (LoadU32(p + kAtFlags) & ~kFlagRecovered) != 0) {
    return absl::FailedPreconditionError("log format " + std::to_string(version) +
                                         " needs a newer dqueue (this one knows format " +
                                         std::to_string(kFormatVersion) + ")");
  }
  const uint64_t config_bytes = LoadU32(p + kAtConfigBytes);
  const uint64_t segment_bytes = LoadU64(p + kAtSegmentBytes);
  if (segment_bytes < kMinSegmentBytes || segment_bytes > kMaxSegmentBytes ||
      segment_bytes % kHeaderAlignment != 0 || config_bytes > MaxConfigBytes(segment_bytes) ||
      LoadU32(p + kAtNameBytes) > kMaxNodeNameBytes) {
    return absl::DataLossError("segment header with impossible sizes");
  }
  return HeaderBytesFor(config_bytes);
}

absl::StatusOr<SegmentHeader> DecodeSegmentHeader(std::string_view bytes) {
  absl::StatusOr<uint64_t> header_bytes = DecodeHeaderBytes(bytes.substr(0, kHeaderFixedBytes));
  if (!header_bytes.ok()) return header_bytes.status();
  if (bytes.size() < *header_bytes) {
    return absl::DataLossError("the file ends within the segment header");
  }
  const char* p = bytes.data();
  const std::string_view config = bytes.substr(kHeaderFixedBytes, LoadU32(p + kAtConfigBytes));
  if (LoadU32(p + kAtConfigCrc) != Crc32c(config)) {
    return absl::DataLossError("checksum mismatch of the configuration in the segment header");
  }
  SegmentHeader h;
  h.identity.cluster = {LoadU64(p + kAtClusterHi), LoadU64(p + kAtClusterLo)};
  h.identity.node = raft::NodeId(LoadU64(p + kAtNode));
  h.identity.incarnation = raft::Incarnation(LoadU64(p + kAtIncarnation));
  h.identity.node_name = std::string(bytes.substr(kAtName, LoadU32(p + kAtNameBytes)));
  h.sequence = LoadU64(p + kAtSequence);
  h.segment_bytes = LoadU64(p + kAtSegmentBytes);
  h.base_lsn = LoadU64(p + kAtBaseLsn);
  h.previous_sequence = LoadU64(p + kAtPreviousSequence);
  h.previous_end = LoadU64(p + kAtPreviousEnd);
  h.named_end = LoadU64(p + kAtNamedEnd);
  h.salt = LoadU32(p + kAtSalt);
  h.previous_crc = LoadU32(p + kAtPreviousCrc);
  h.recovered = (LoadU32(p + kAtFlags) & kFlagRecovered) != 0;
  h.marks.hard_state = {raft::Term(LoadU64(p + kAtTerm)), raft::NodeId(LoadU64(p + kAtVote)),
                        raft::Index(LoadU64(p + kAtCommit))};
  h.marks.compacted = {raft::Index(LoadU64(p + kAtCompactedIndex)),
                       raft::Term(LoadU64(p + kAtCompactedTerm))};
  h.marks.last_index = raft::Index(LoadU64(p + kAtLastIndex));
  h.marks.last_term = raft::Term(LoadU64(p + kAtLastTerm));
  h.marks.snapshot = {raft::Index(LoadU64(p + kAtSnapshotIndex)),
                      raft::Term(LoadU64(p + kAtSnapshotTerm)), std::string(config)};
  h.marks.damaged_from = raft::Index(LoadU64(p + kAtDamagedFrom));
  const Marks& m = h.marks;
  if (h.sequence == 0 || h.previous_sequence >= h.sequence || h.previous_end > h.base_lsn ||
      h.named_end < h.base_lsn + h.HeaderBytes() || h.named_end > h.base_lsn + h.segment_bytes ||
      m.compacted.index > m.snapshot.index || m.snapshot.index > m.last_index ||
      m.last_term > m.hard_state.term) {
    return absl::DataLossError("segment header with impossible values");
  }
  return h;
}

uint32_t SegmentSalt(const Identity& identity, uint64_t sequence, uint64_t base_lsn,
                     uint32_t previous_crc) {
  char bytes[56];
  StoreU64(bytes, identity.cluster.hi);
  StoreU64(bytes + 8, identity.cluster.lo);
  StoreU64(bytes + 16, identity.node.value());
  StoreU64(bytes + 24, identity.incarnation.value());
  StoreU64(bytes + 32, sequence);
  StoreU64(bytes + 40, base_lsn);
  StoreU64(bytes + 48, previous_crc);
  return Crc32c(std::string_view(bytes, sizeof bytes));
}

std::string SegmentName(uint64_t sequence) { return HexName(sequence, kSegmentSuffix); }
std::optional<uint64_t> ParseSegmentName(std::string_view name) {
  return ParseHexName(name, kSegmentSuffix);
}
std::string FreeName(uint64_t number) { return HexName(number, kFreeSuffix); }
bool IsLeftoverName(std::string_view name) {
  return ParseHexName(name, kFreeSuffix).has_value() || name.ends_with(".tmp");
}
std::string JoinPath(const std::string& directory, const std::string& name) {
  return directory.empty() || directory.back() == '/' ? directory + name : directory + "/" + name;
}

}  // namespace dqueue::storage
