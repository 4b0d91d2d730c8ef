#include "storage/log/record.h"

#include <memory>

#include "base/check.h"
#include "storage/files/crc32c.h"
#include "storage/files/little_endian.h"

namespace dqueue::storage {
namespace {

constexpr size_t kHardStateBytes = 24;
constexpr size_t kCompactBytes = 16;
constexpr size_t kSnapshotPrefixBytes = 16;

bool AllZero(std::string_view bytes) {
  return bytes.find_first_not_of('\0') == std::string_view::npos;
}

const char* KindName(raft::EntryKind kind) {
  switch (kind) {
    case raft::EntryKind::kNoop:
      return "noop";
    case raft::EntryKind::kConfig:
      return "config";
    case raft::EntryKind::kCommand:
      return "command";
  }
  return "?";
}

std::string AtTerm(raft::Index index, raft::Term term) {
  return std::to_string(index.value()) + "^" + std::to_string(term.value());
}

}  // namespace

std::string RecordTypeName(uint8_t type) {
  switch (static_cast<RecordType>(type)) {
    case RecordType::kHardState:
      return "HARD_STATE";
    case RecordType::kEntry:
      return "ENTRY";
    case RecordType::kCompact:
      return "COMPACT";
    case RecordType::kSnapshot:
      return "SNAPSHOT";
    case RecordType::kReset:
      return "RESET";
    case RecordType::kCleanShutdown:
      return "CLEAN_SHUTDOWN";
    case RecordType::kWhole:
      return "WHOLE";
  }
  return "type " + std::to_string(type);
}

void EncodeRecordHeader(const RecordHeader& header, char* out) {
  StoreU32(out + 4, header.payload_crc);
  StoreU32(out + 8, header.length);
  out[12] = static_cast<char>(header.type);
  out[13] = static_cast<char>(header.flags);
  out[14] = out[15] = 0;
  StoreU64(out + 16, header.lsn);
  StoreU64(out + 24, header.durable_lsn);
  StoreU32(out + 32, header.salt);
  StoreU32(out + 36, header.previous_crc);
  StoreU32(out, Crc32c(std::string_view(out + 4, kRecordHeaderBytes - 4)));
}

std::optional<RecordHeader> DecodeRecordHeader(std::string_view bytes) {
  if (bytes.size() < kRecordHeaderBytes) return std::nullopt;
  const char* p = bytes.data();
  if (LoadU32(p) != Crc32c(bytes.substr(4, kRecordHeaderBytes - 4))) return std::nullopt;
  RecordHeader header;
  header.payload_crc = LoadU32(p + 4);
  header.length = LoadU32(p + 8);
  header.type = static_cast<uint8_t>(p[12]);
  header.flags = static_cast<uint8_t>(p[13]);
  header.lsn = LoadU64(p + 16);
  header.durable_lsn = LoadU64(p + 24);
  header.salt = LoadU32(p + 32);
  header.previous_crc = LoadU32(p + 36);
  return header;
}

std::string EncodeHardState(const raft::HardState& hard_state) {
  std::string out(kHardStateBytes, '\0');
  StoreU64(out.data(), hard_state.term.value());
  StoreU64(out.data() + 8, hard_state.vote.value());
  StoreU64(out.data() + 16, hard_state.commit.value());
  return out;
}

std::optional<raft::HardState> DecodeHardState(std::string_view payload) {
  if (payload.size() != kHardStateBytes) return std::nullopt;
  return raft::HardState{raft::Term(LoadU64(payload.data())),
                         raft::NodeId(LoadU64(payload.data() + 8)),
                         raft::Index(LoadU64(payload.data() + 16))};
}

std::string EncodeCompactMark(const CompactMark& mark) {
  std::string out(kCompactBytes, '\0');
  StoreU64(out.data(), mark.index.value());
  StoreU64(out.data() + 8, mark.term.value());
  return out;
}

std::optional<CompactMark> DecodeCompactMark(std::string_view payload) {
  if (payload.size() != kCompactBytes) return std::nullopt;
  return CompactMark{raft::Index(LoadU64(payload.data())), raft::Term(LoadU64(payload.data() + 8))};
}

std::string EncodeSnapshotMeta(const raft::SnapshotMeta& meta) {
  std::string out(kSnapshotPrefixBytes, '\0');
  StoreU64(out.data(), meta.index.value());
  StoreU64(out.data() + 8, meta.term.value());
  return out + meta.config;
}

std::optional<raft::SnapshotMeta> DecodeSnapshotMeta(std::string_view payload) {
  if (payload.size() < kSnapshotPrefixBytes) return std::nullopt;
  return raft::SnapshotMeta{raft::Index(LoadU64(payload.data())),
                            raft::Term(LoadU64(payload.data() + 8)),
                            std::string(payload.substr(kSnapshotPrefixBytes))};
}

void EncodeEntryPrefix(const EntryPrefix& prefix, char* out) {
  StoreU64(out, prefix.index.value());
  StoreU64(out + 8, prefix.term.value());
  StoreU64(out + 16, static_cast<uint64_t>(prefix.kind));
}

std::optional<EntryPrefix> DecodeEntryPrefix(std::string_view payload) {
  if (payload.size() < kEntryPrefixBytes) return std::nullopt;
  const auto kind = static_cast<uint8_t>(payload[16]);
  if (kind < static_cast<uint8_t>(raft::EntryKind::kNoop) ||
      kind > static_cast<uint8_t>(raft::EntryKind::kCommand) || !AllZero(payload.substr(17, 7))) {
    return std::nullopt;
  }
  return EntryPrefix{raft::Index(LoadU64(payload.data())), raft::Term(LoadU64(payload.data() + 8)),
                     static_cast<raft::EntryKind>(kind)};
}

std::optional<raft::Entry> DecodeEntry(std::string_view payload) {
  const std::optional<EntryPrefix> prefix = DecodeEntryPrefix(payload);
  if (!prefix) return std::nullopt;
  return raft::Entry{prefix->index, prefix->term, prefix->kind,
                     std::make_shared<const std::string>(payload.substr(kEntryPrefixBytes))};
}

std::string DescribeRecord(const RecordHeader& header, std::string_view payload) {
  DQ_CHECK(payload.size() == header.length);
  const std::string name = RecordTypeName(header.type);
  const std::string odd =
      name + " with a malformed payload of " + std::to_string(payload.size()) + " bytes";
  switch (static_cast<RecordType>(header.type)) {
    case RecordType::kHardState: {
      const auto h = DecodeHardState(payload);
      if (!h) return odd;
      return name + " term " + std::to_string(h->term.value()) + " vote " +
             std::to_string(h->vote.value()) + " commit " + std::to_string(h->commit.value());
    }
    case RecordType::kEntry: {
      const auto e = DecodeEntryPrefix(payload);
      if (!e) return odd;
      return name + " " + AtTerm(e->index, e->term) + " " + KindName(e->kind) + " " +
             std::to_string(payload.size() - kEntryPrefixBytes) + " bytes";
    }
    case RecordType::kCompact: {
      const auto m = DecodeCompactMark(payload);
      return m ? name + " to " + AtTerm(m->index, m->term) : odd;
    }
    case RecordType::kSnapshot:
    case RecordType::kReset: {
      const auto m = DecodeSnapshotMeta(payload);
      return m ? name + " at " + AtTerm(m->index, m->term) : odd;
    }
    case RecordType::kCleanShutdown:
    case RecordType::kWhole:
      return payload.empty() ? name : odd;
  }
  return name + " " + std::to_string(payload.size()) + " bytes";
}

}  // namespace dqueue::storage
