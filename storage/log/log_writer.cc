#include "storage/log/log_writer.h"

#include <utility>

#include "base/check.h"
#include "storage/files/crc32c.h"
#include "storage/log/mutants.h"

namespace dqueue::storage {
namespace {

// A larger batch is written in several pieces, to bound the buffer.
constexpr size_t kFlushBytes = 1 << 20;
constexpr size_t kMaxKeptBufferBytes = 8 << 20;

// Recovery would refuse such a record, so it must not be written: the caller violated Raft's rules.
void MustApply(const std::string& problem) {
  DQ_CHECK_MSG(problem.empty(), "a write that the log cannot hold: " + problem);
}

}  // namespace

LogWriter::LogWriter(FileSystem& fs, std::string directory, const LogOptions& options,
                     SegmentPool* pool)
    : fs_(fs), directory_(std::move(directory)), options_(options), pool_(pool) {}

absl::Status LogWriter::Continue(const LogEnd& end, std::unique_ptr<File> file,
                                 const LogState& state) {
  DQ_CHECK(segment_ == nullptr && end.segment != nullptr);
  DQ_CHECK(end.offset >= end.header.HeaderBytes() && end.offset <= end.header.segment_bytes);
  DQ_CHECK(end.offset % kRecordAlignment == 0);
  state_ = state;
  header_ = end.header;
  segment_ = end.segment;
  file_ = std::move(file);
  file_->WriteDirectly();
  offset_ = written_ = end.offset;
  durable_lsn_ = header_.base_lsn + offset_;
  previous_crc_ = end.crc;
  // The last block is written again together with the next records.
  const size_t in_block = offset_ % kDirectAlignment;
  if (in_block == 0) return absl::OkStatus();
  buffer_.AppendZeros(in_block);
  const absl::StatusOr<size_t> got =
      segment_->reader->ReadAt(offset_ - in_block, {buffer_.data(), in_block});
  if (!got.ok()) return got.status();
  DQ_CHECK(*got == in_block);
  return absl::OkStatus();
}

absl::Status LogWriter::StartSegment(const NewSegment& new_segment, const LogState& state) {
  DQ_CHECK(written_ == offset_ && unnamed_.empty());
  absl::StatusOr<FreeFile> free = pool_->Take();
  if (!free.ok()) return free.status();
  Marks marks = state.marks();
  if (DQ_MUTANT(mutants::kHardStateNotCarried) && segment_ != nullptr) {
    marks.hard_state = header_.marks.hard_state;
  }
  state_ = state;
  header_ = SegmentHeader{};
  header_.identity = new_segment.identity;
  header_.sequence = new_segment.sequence;
  header_.segment_bytes = options_.segment_bytes;
  header_.base_lsn = new_segment.base_lsn;
  header_.previous_sequence = new_segment.previous_sequence;
  header_.previous_end = new_segment.previous_end;
  header_.previous_crc = new_segment.previous_crc;
  header_.salt = SegmentSalt(new_segment.identity, new_segment.sequence, new_segment.base_lsn,
                             new_segment.previous_crc);
  header_.marks = std::move(marks);

  segment_ = std::make_shared<Segment>();
  segment_->path = JoinPath(directory_, SegmentName(header_.sequence));
  segment_->sequence = header_.sequence;
  segment_->base_lsn = header_.base_lsn;
  segment_->salt = header_.salt;
  unnamed_ = free->path;
  file_ = std::move(free->file);
  offset_ = written_ = header_.HeaderBytes();
  buffer_.Truncate(0);
  durable_lsn_ = header_.previous_end;
  previous_crc_ = header_.previous_crc;
  dirty_ = true;
  return absl::OkStatus();
}

absl::Status LogWriter::NextSegment() {
  if (absl::Status s = Flush(Extent::kAll); !s.ok()) return s;
  if (absl::Status s = SyncCurrent(); !s.ok()) return s;
  NewSegment next;
  next.identity = header_.identity;
  next.sequence = header_.sequence + 1;
  next.base_lsn = header_.base_lsn + header_.segment_bytes;
  next.previous_sequence = header_.sequence;
  next.previous_end = header_.base_lsn + offset_;
  next.previous_crc = previous_crc_;
  return StartSegment(next, LogState(state_));
}

absl::Status LogWriter::AddRecord(RecordType type, std::string_view prefix, std::string_view data) {
  const uint64_t length = prefix.size() + data.size();
  const uint64_t bytes = RecordBytes(length);
  DQ_CHECK_MSG(bytes <= options_.segment_bytes - header_.HeaderBytes(),
               "a record of " + std::to_string(bytes) + " bytes");
  if (bytes > header_.segment_bytes - offset_) {
    if (absl::Status s = NextSegment(); !s.ok()) return s;
  }
  if (buffer_.size() >= kFlushBytes) {
    if (absl::Status s = Flush(Extent::kWholeBlocks); !s.ok()) return s;
  }
  const size_t at = buffer_.size();
  DQ_CHECK(at >= offset_ - written_ && (offset_ - at) % kDirectAlignment == 0);
  buffer_.AppendZeros(kRecordHeaderBytes);
  buffer_.Append(prefix);
  buffer_.Append(data);
  RecordHeader header;
  header.payload_crc = Crc32c(buffer_.view().substr(at + kRecordHeaderBytes));
  header.length = static_cast<uint32_t>(length);
  header.type = static_cast<uint8_t>(type);
  header.lsn = header_.base_lsn + offset_;
  header.durable_lsn = durable_lsn_;
  header.salt = header_.salt;
  header.previous_crc = previous_crc_;
  DQ_CHECK(header.lsn % kRecordAlignment == 0 && header.durable_lsn <= header.lsn);
  EncodeRecordHeader(header, buffer_.data() + at);
  buffer_.AppendZeros(at + bytes - buffer_.size());
  offset_ += bytes;
  previous_crc_ = header.payload_crc;
  dirty_ = true;
  return absl::OkStatus();
}

absl::Status LogWriter::AddEntry(const raft::Entry& entry) {
  DQ_CHECK_MSG(entry.payload != nullptr && entry.payload->size() <= options_.max_entry_bytes,
               "entry " + std::to_string(entry.index.value()) + " is too large for the log");
  char prefix[kEntryPrefixBytes];
  EncodeEntryPrefix({entry.index, entry.term, entry.kind}, prefix);
  const absl::Status s =
      AddRecord(RecordType::kEntry, std::string_view(prefix, sizeof prefix), *entry.payload);
  if (!s.ok()) return s;
  // After AddRecord(): if that started a segment, its header carries the state before this entry.
  MustApply(state_.ApplyEntry(entry.index, entry.term));
  const uint64_t length = kEntryPrefixBytes + entry.payload->size();
  const EntryIndex::Location location = {static_cast<uint32_t>(offset_ - RecordBytes(length)),
                                         static_cast<uint32_t>(length)};
  changes_.push_back({Change::kEntry, entry.index, segment_, location});
  return absl::OkStatus();
}

absl::Status LogWriter::Add(const LogWrite& write) {
  const auto check_config = [this](const raft::SnapshotMeta& meta) {
    DQ_CHECK_MSG(meta.config.size() <= MaxConfigBytes(options_.segment_bytes),
                 "a configuration of " + std::to_string(meta.config.size()) + " bytes");
  };
  if (write.hard_state && *write.hard_state != state_.marks().hard_state) {
    const std::string payload = EncodeHardState(*write.hard_state);
    if (absl::Status s = AddRecord(RecordType::kHardState, payload, {}); !s.ok()) return s;
    MustApply(state_.Apply(*write.hard_state));
  }
  // A reset implies the snapshot mark.
  if (write.snapshot && !write.reset && write.snapshot->index > state_.marks().snapshot.index) {
    check_config(*write.snapshot);
    const std::string payload = EncodeSnapshotMeta(*write.snapshot);
    if (absl::Status s = AddRecord(RecordType::kSnapshot, payload, {}); !s.ok()) return s;
    MustApply(state_.ApplySnapshot(*write.snapshot));
  }
  if (write.reset) {
    check_config(*write.reset);
    const std::string payload = EncodeSnapshotMeta(*write.reset);
    if (absl::Status s = AddRecord(RecordType::kReset, payload, {}); !s.ok()) return s;
    MustApply(state_.ApplyReset(*write.reset));
    changes_.push_back({Change::kReset, write.reset->index, nullptr, {}});
  }
  for (const raft::Entry& entry : write.entries) {
    if (absl::Status s = AddEntry(entry); !s.ok()) return s;
  }
  if (write.compact_to && *write.compact_to > state_.marks().compacted.index) {
    const std::optional<raft::Term> term = state_.TermAt(*write.compact_to);
    DQ_CHECK_MSG(term.has_value(), "compaction to " + std::to_string(write.compact_to->value()) +
                                       ", which the log does not hold");
    const CompactMark mark = {*write.compact_to, *term};
    const std::string payload = EncodeCompactMark(mark);
    if (absl::Status s = AddRecord(RecordType::kCompact, payload, {}); !s.ok()) return s;
    MustApply(state_.Apply(mark));
    changes_.push_back({Change::kCompact, mark.index, nullptr, {}});
  }
  return absl::OkStatus();
}

absl::Status LogWriter::AddCleanShutdown() {
  DQ_CHECK_MSG(!dirty_, "the clean-shutdown mark says that everything before it is durable");
  return AddRecord(RecordType::kCleanShutdown, {}, {});
}

absl::Status LogWriter::Flush(Extent extent) {
  if (written_ == offset_) return absl::OkStatus();
  const size_t added = buffer_.size();
  const size_t in_block = added % kDirectAlignment;
  if (extent == Extent::kAll && in_block > 0) buffer_.AppendZeros(kDirectAlignment - in_block);
  const size_t bytes = buffer_.size() / kDirectAlignment * kDirectAlignment;
  if (bytes == 0) return absl::OkStatus();
  // A batch that is written with one call is synced by the same call.
  const bool at_once =
      extent == Extent::kAll && !unsynced_ && unnamed_.empty() && !DQ_MUTANT(mutants::kSyncSkipped);
  const std::span<const char> data = buffer_.first(bytes);
  const absl::Status s =
      at_once ? file_->WriteAndSync(offset_ - added, data) : file_->WriteAt(offset_ - added, data);
  if (!s.ok()) return s;
  unsynced_ = !at_once;
  const uint64_t end = extent == Extent::kAll ? offset_ : offset_ - in_block;
  written_bytes_ += end - written_;
  written_ = end;
  buffer_.Truncate(added);
  buffer_.KeepLast(in_block, kMaxKeptBufferBytes);
  return absl::OkStatus();
}

absl::Status LogWriter::SyncCurrent() {
  DQ_CHECK(written_ == offset_);
  if (!dirty_) return absl::OkStatus();
  if (!unnamed_.empty()) {
    header_.named_end = header_.base_lsn + offset_;
    AlignedBuffer bytes;
    bytes.Append(EncodeSegmentHeader(header_));
    if (absl::Status s = file_->WriteAt(0, bytes.first(bytes.size())); !s.ok()) return s;
    written_bytes_ += bytes.size();
    unsynced_ = true;
  }
  if (unsynced_ && !DQ_MUTANT(mutants::kSyncSkipped)) {
    if (absl::Status s = file_->Sync(); !s.ok()) return s;
  }
  unsynced_ = false;
  ++syncs_;
  if (!unnamed_.empty()) {
    if (absl::Status s = NameCurrent(); !s.ok()) return s;
  }
  durable_lsn_ = header_.base_lsn + offset_;
  dirty_ = false;
  return absl::OkStatus();
}

absl::Status LogWriter::NameCurrent() {
  if (absl::Status s = fs_.Rename(unnamed_, segment_->path); !s.ok()) return s;
  if (!DQ_MUTANT(mutants::kDirectoryNotSynced)) {
    if (absl::Status s = fs_.SyncDirectory(directory_); !s.ok()) return s;
  }
  unnamed_.clear();
  absl::StatusOr<std::unique_ptr<File>> reader = fs_.OpenForRead(segment_->path);
  if (!reader.ok()) return reader.status();
  segment_->reader = *std::move(reader);
  new_segments_.push_back(segment_);
  return absl::OkStatus();
}

absl::Status LogWriter::Commit() {
  if (absl::Status s = Flush(Extent::kAll); !s.ok()) return s;
  return SyncCurrent();
}

std::vector<LogWriter::Change> LogWriter::TakeChanges() {
  DQ_CHECK(!dirty_);
  return std::exchange(changes_, {});
}

std::vector<std::shared_ptr<Segment>> LogWriter::TakeSegments() {
  return std::exchange(new_segments_, {});
}

}  // namespace dqueue::storage
