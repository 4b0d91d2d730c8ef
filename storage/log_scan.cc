#include "storage/log_scan.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "raft/check.h"
#include "storage/crc32c.h"
#include "storage/file_window.h"
#include "storage/little_endian.h"
#include "storage/record.h"

namespace dqueue::storage {
namespace {

// One .wal file, by its name.
struct Candidate {
  uint64_t sequence = 0;
  std::string path;
  uint64_t size = 0;
  std::shared_ptr<Segment> segment;     // nullptr: not a regular file
  std::optional<SegmentHeader> header;  // nullopt: `problem` says why
  std::string problem;
  bool impossible = false;  // of `problem`
  uint64_t problem_offset = 0;
};

// A stretch of the log that cannot be read, and in which a record that matters may have been.
struct Gap {
  uint64_t begin = 0;
  uint64_t end = 0;
};

bool AllZero(std::string_view bytes) {
  return bytes.empty() ||
         (bytes[0] == '\0' && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

class Scanner {
 public:
  Scanner(FileSystem& fs, const std::string& directory, uint64_t max_entry_bytes,
          const std::function<void(const std::string&)>& line)
      : fs_(fs), directory_(directory), max_entry_bytes_(max_entry_bytes), line_(line) {}

  absl::StatusOr<LogScan> Run() {
    if (absl::Status s = FindCandidates(); !s.ok()) return s;
    if (candidates_.empty()) return absl::NotFoundError("no log in " + directory_);
    for (Candidate& c : candidates_) {
      if (absl::Status s = ReadHeader(c); !s.ok()) return s;
    }
    CheckIdentities();
    BuildChain();
    for (const Candidate* c : chain_) {
      if (!c->header) continue;
      scan_.durable_lsn =
          std::max({scan_.durable_lsn, c->header->previous_end, c->header->named_end});
    }
    for (size_t i = 0; i < chain_.size(); ++i) {
      if (absl::Status s = ScanSegment(i); !s.ok()) return s;
    }
    Conclude();
    return std::move(scan_);
  }

 private:
  absl::Status FindCandidates() {
    absl::StatusOr<std::vector<DirectoryEntry>> list = fs_.List(directory_);
    if (!list.ok()) return list.status();
    for (const DirectoryEntry& entry : *list) {
      const std::string path = JoinPath(directory_, entry.name);
      if (const auto sequence = ParseSegmentName(entry.name)) {
        Candidate c;
        c.sequence = *sequence;
        c.path = path;
        c.size = entry.size;
        if (!entry.regular) {
          c.problem = "not a regular file";
          c.impossible = true;
        }
        candidates_.push_back(std::move(c));
      } else if (entry.regular && IsLeftoverName(entry.name)) {
        scan_.leftover_paths.push_back(path);
      }
    }
    return absl::OkStatus();  // the list, and so candidates_, is sorted by name
  }

  absl::Status ReadHeader(Candidate& c) {
    if (!c.problem.empty()) return absl::OkStatus();
    absl::StatusOr<std::unique_ptr<File>> file = fs_.OpenForRead(c.path);
    if (!file.ok()) return file.status();
    c.segment = std::make_shared<Segment>();
    c.segment->path = c.path;
    c.segment->sequence = c.sequence;
    c.segment->reader = *std::move(file);
    absl::StatusOr<SegmentHeader> header = ReadSegmentHeader(*c.segment->reader);
    if (absl::IsFailedPrecondition(header.status())) {
      return absl::FailedPreconditionError(c.path +
                                           ":0: " + std::string(header.status().message()));
    }
    if (absl::IsDataLoss(header.status())) {
      c.problem = std::string(header.status().message());
      return absl::OkStatus();
    }
    if (!header.ok()) return header.status();
    if (header->sequence != c.sequence) {
      c.problem =
          "the file holds segment " + SegmentName(header->sequence) + ": it was copied or renamed";
      c.impossible = true;
      return absl::OkStatus();
    }
    if (header->segment_bytes != c.size) {
      c.problem = "the file has " + std::to_string(c.size) + " bytes, a segment of this log has " +
                  std::to_string(header->segment_bytes) + ": it was cut or extended";
      c.problem_offset = std::min(c.size, header->segment_bytes);
      c.impossible = true;
      return absl::OkStatus();
    }
    c.segment->base_lsn = header->base_lsn;
    c.segment->salt = header->salt;
    c.header = *std::move(header);
    return absl::OkStatus();
  }

  void CheckIdentities() {
    const Candidate* first = nullptr;
    for (Candidate& c : candidates_) {
      if (!c.header) continue;
      if (first == nullptr) {
        first = &c;
      } else if (c.header->identity != first->header->identity) {
        c.problem = "the segment belongs to another log than " + first->path + " (node \"" +
                    c.header->identity.node_name + "\", not \"" +
                    first->header->identity.node_name + "\", or another cluster or incarnation)";
        c.impossible = true;
        c.header.reset();
      }
    }
    if (first != nullptr) scan_.identity = first->header->identity;
  }

  // From the newest segment back along previous_sequence. What a header steps over is void.
  void BuildChain() {
    size_t i = candidates_.size();
    uint64_t wanted = candidates_.back().sequence;
    while (i > 0) {
      const Candidate& c = candidates_[i - 1];
      if (c.sequence > wanted) {
        scan_.void_paths.push_back(c.path);
        --i;
        continue;
      }
      if (c.sequence < wanted) {
        // Segments are removed oldest first, so one that is missing above another was lost.
        missing_[c.sequence] = JoinPath(directory_, SegmentName(wanted));
      }
      chain_.push_back(&c);
      --i;
      wanted = c.header ? c.header->previous_sequence : c.sequence - 1;
    }
    std::reverse(chain_.begin(), chain_.end());
    scan_.next_sequence = candidates_.back().sequence + 1;
  }

  absl::Status ScanSegment(size_t i) {
    const Candidate& c = *chain_[i];
    const bool last = i + 1 == chain_.size();
    const SegmentHeader* after = !last && chain_[i + 1]->header ? &*chain_[i + 1]->header : nullptr;
    const auto missing = missing_.find(c.sequence);
    if (c.header) {
      const SegmentHeader* next = missing == missing_.end() ? after : nullptr;
      if (absl::Status s = ScanRecords(c, next, last); !s.ok()) return s;
    } else {
      Stop(c.path, c.problem_offset, c.problem, position_, c.impossible);
      SkipTo(after);
    }
    if (missing != missing_.end()) {
      Stop(missing->second, 0, "the segment is missing", position_, false);
      SkipTo(after);
    }
    return absl::OkStatus();
  }

  // A whole segment cannot be read. It had a name, so it was durable once.
  void SkipTo(const SegmentHeader* after) {
    scan_.durable_lsn = std::max(scan_.durable_lsn, position_ + 1);
    const uint64_t end = after != nullptr ? after->previous_end : UINT64_MAX;
    AddGap(position_, end);
    position_ = std::max(position_, end);
  }

  void Stop(const std::string& file, uint64_t offset, const std::string& reason, uint64_t lsn,
            bool impossible) {
    if (!scan_.stop) {
      scan_.stop = ScanStop{{file, offset, reason}, lsn, impossible};
    } else if (impossible) {
      // Whatever else is wrong, this is not for recovery to mend.
      scan_.stop->impossible = true;
    }
  }

  void AddGap(uint64_t begin, uint64_t end) {
    if (begin < end) gaps_.push_back({begin, end});
  }

  void Say(const Candidate& c, uint64_t offset, const std::string& what) {
    if (line_) line_(c.path + ":" + std::to_string(offset) + " " + what);
  }

  // The header of a segment against what came before it. Sets the state if it is to be believed.
  void TakeHeader(const Candidate& c) {
    const SegmentHeader& h = *c.header;
    if (line_) {
      Say(c, 0,
          "SEGMENT lsn " + std::to_string(h.base_lsn) + " term " +
              std::to_string(h.marks.hard_state.term.value()) + " vote " +
              std::to_string(h.marks.hard_state.vote.value()) + " last " +
              std::to_string(h.marks.last_index.value()) + " compacted " +
              std::to_string(h.marks.compacted.index.value()) + " snapshot " +
              std::to_string(h.marks.snapshot.index.value()) + (h.recovered ? " recovered" : ""));
    }
    if (!scan_.stop) {
      if (scan_.end.segment == nullptr || h.previous_sequence == 0) {
        scan_.state = LogState(h.marks);
        scan_.entries.Clear(h.marks.last_index.Next());
        scan_.config_entries.clear();
      } else {
        JoinHeader(c);
      }
    }
    if (!scan_.stop) {
      scan_.segments.push_back(c.segment);
      scan_.end = {h, c.segment, h.HeaderBytes(), h.previous_crc};
    }
    hard_state_lsn_ = h.base_lsn;
    scan_.newest_hard_state = h.marks.hard_state;
    scan_.newest_snapshot = h.marks.snapshot;
    scan_.newest_compacted = h.marks.compacted;
  }

  void JoinHeader(const Candidate& c) {
    const SegmentHeader& h = *c.header;
    const SegmentHeader& before = scan_.end.header;
    const uint64_t before_end = before.base_lsn + before.segment_bytes;
    const auto broken = [&](const std::string& reason) {
      Stop(c.path, 0, "the segment does not continue the one before it: " + reason, h.base_lsn,
           true);
    };
    if (h.previous_sequence != before.sequence || h.previous_crc != scan_.end.crc ||
        h.previous_end != before.base_lsn + scan_.end.offset) {
      return broken("that one ends differently");
    }
    if (h.recovered ? h.base_lsn < before_end : h.base_lsn != before_end) {
      return broken("its position is wrong");
    }
    if (!h.recovered) {
      if (h.marks != scan_.state.marks()) broken("its header repeats another state");
      return;
    }
    // What --recover=peers decided: the entries stay if they reach where the header says.
    const Marks& old = scan_.state.marks();
    if (h.marks.last_index != old.last_index || h.marks.last_term != old.last_term) {
      return broken("it was made by a recovery that kept other entries");
    }
    scan_.state.Override(h.marks);
    scan_.entries.DropTo(h.marks.compacted.index);
  }

  absl::Status ScanRecords(const Candidate& c, const SegmentHeader* next, bool last) {
    const SegmentHeader& h = *c.header;
    const bool alive_before = !scan_.stop;
    TakeHeader(c);
    if (alive_before && scan_.stop) AddGap(h.base_lsn, h.base_lsn + 1);
    if (position_ < h.base_lsn) position_ = h.base_lsn;
    // Behind the end that the next header names there is nothing.
    uint64_t limit = h.segment_bytes;
    if (next != nullptr) {
      if (next->previous_end < h.base_lsn + h.HeaderBytes() ||
          next->previous_end > h.base_lsn + h.segment_bytes) {
        Stop(c.path, 0, "the next segment says that this one ends elsewhere", h.base_lsn, true);
      } else {
        limit = next->previous_end - h.base_lsn;
      }
    }
    if (last) scan_.next_base_lsn = h.base_lsn + h.segment_bytes;

    FileWindow window(*c.segment->reader, c.size);
    uint64_t offset = h.HeaderBytes();
    bool stopped_here = false;
    if (!scan_.stop) {
      absl::StatusOr<uint64_t> stopped = Replay(c, window, offset, limit);
      if (!stopped.ok()) return stopped.status();
      offset = *stopped;
      stopped_here = scan_.stop.has_value() && !scan_.stop->impossible;
      if (!scan_.stop && offset == limit && !last) {
        position_ = h.base_lsn + limit;
        return absl::OkStatus();
      }
    }
    absl::StatusOr<bool> rest_is_zero = Harvest(c, window, offset, limit, last);
    if (!rest_is_zero.ok()) return rest_is_zero.status();
    if (last) {
      rest_is_zero_ = *rest_is_zero;
    } else if (next == nullptr && stopped_here && *rest_is_zero) {
      scan_.stop.reset();  // as far as can be seen it ends well: what is wrong comes after it
    }
    return absl::OkStatus();
  }

  // What is wrong with the bytes at `offset`; empty: a whole record, which is in *header and
  // *payload. `header_ok`: at least its header is what was written here.
  absl::StatusOr<std::string> ReadRecord(const Candidate& c, FileWindow& window, uint64_t offset,
                                         uint64_t limit, RecordHeader* header,
                                         std::string_view* payload, bool* header_ok) {
    *header_ok = false;
    if (limit - offset < kRecordHeaderBytes) return std::string("the segment ends");
    absl::StatusOr<std::string_view> bytes = window.Get(offset, kRecordHeaderBytes);
    if (!bytes.ok()) return bytes.status();
    const std::optional<RecordHeader> decoded = DecodeRecordHeader(*bytes);
    if (!decoded) {
      return std::string(AllZero(*bytes) ? "no record where one was written"
                                         : "record header checksum mismatch");
    }
    const SegmentHeader& h = *c.header;
    if (decoded->lsn != h.base_lsn + offset || decoded->salt != h.salt) {
      return std::string("the record belongs elsewhere");
    }
    if (RecordBytes(decoded->length) > limit - offset) {
      return std::string("the record runs past the end of the segment");
    }
    *header = *decoded;
    *header_ok = true;
    bytes = window.Get(offset + kRecordHeaderBytes, decoded->length);
    if (!bytes.ok()) return bytes.status();
    if (bytes->size() != decoded->length || Crc32c(*bytes) != decoded->payload_crc) {
      return "payload checksum mismatch in a record of type " + RecordTypeName(decoded->type);
    }
    *payload = *bytes;
    return std::string();
  }

  // Takes in records up to the first that cannot be; answers where that is.
  absl::StatusOr<uint64_t> Replay(const Candidate& c, FileWindow& window, uint64_t offset,
                                  uint64_t limit) {
    const SegmentHeader& h = *c.header;
    while (offset < limit) {
      RecordHeader header;
      std::string_view payload;
      bool header_ok = false;
      absl::StatusOr<std::string> problem =
          ReadRecord(c, window, offset, limit, &header, &payload, &header_ok);
      if (!problem.ok()) return problem.status();
      if (problem->empty() && header.previous_crc != scan_.end.crc) {
        *problem = "the record does not follow the one before it";
      }
      if (!problem->empty()) {
        Stop(c.path, offset, *problem, h.base_lsn + offset, false);
        return offset;
      }
      if (line_)
        Say(c, offset,
            "lsn " + std::to_string(header.lsn) + " durable " + std::to_string(header.durable_lsn) +
                " " + DescribeRecord(header, payload));
      const std::string impossible = Apply(c, offset, header, payload);
      if (!impossible.empty()) {
        Stop(c.path, offset, impossible, h.base_lsn + offset, true);
        return offset;
      }
      Note(header, payload);
      ++scan_.records;
      offset += RecordBytes(header.length);
      scan_.end.offset = offset;
      scan_.end.crc = header.payload_crc;
      scan_.clean_shutdown = header.type == static_cast<uint8_t>(RecordType::kCleanShutdown);
    }
    return offset;
  }

  // Takes one whole record into the state. Answers why it cannot be.
  std::string Apply(const Candidate& c, uint64_t offset, const RecordHeader& header,
                    std::string_view payload) {
    const std::string malformed =
        "a record of type " + RecordTypeName(header.type) + " with a malformed payload";
    if (header.flags != 0) return "a record with flags that this dqueue does not know";
    if (header.durable_lsn > header.lsn) return "a record that vouches for what is behind it";
    switch (static_cast<RecordType>(header.type)) {
      case RecordType::kHardState: {
        const auto hard_state = DecodeHardState(payload);
        return hard_state ? scan_.state.Apply(*hard_state) : malformed;
      }
      case RecordType::kEntry:
        return ApplyEntry(c, offset, payload);
      case RecordType::kCompact: {
        const auto mark = DecodeCompactMark(payload);
        if (!mark) return malformed;
        std::string problem = scan_.state.Apply(*mark);
        if (problem.empty()) scan_.entries.DropTo(mark->index);
        return problem;
      }
      case RecordType::kSnapshot: {
        const auto meta = DecodeSnapshotMeta(payload);
        return meta ? scan_.state.ApplySnapshot(*meta) : malformed;
      }
      case RecordType::kReset: {
        const auto meta = DecodeSnapshotMeta(payload);
        if (!meta) return malformed;
        std::string problem = scan_.state.ApplyReset(*meta);
        if (problem.empty()) {
          scan_.entries.Clear(meta->index.Next());
          scan_.config_entries.clear();
        }
        return problem;
      }
      case RecordType::kCleanShutdown:
        return payload.empty() ? "" : malformed;
      case RecordType::kWhole:
        if (!payload.empty()) return malformed;
        scan_.state.ApplyWhole();
        return "";
    }
    return "a record of unknown " + RecordTypeName(header.type) + ": it needs a newer dqueue";
  }

  std::string ApplyEntry(const Candidate& c, uint64_t offset, std::string_view payload) {
    const auto prefix = DecodeEntryPrefix(payload);
    if (!prefix) return "a record of type ENTRY with a malformed payload";
    if (payload.size() - kEntryPrefixBytes > max_entry_bytes_) {
      return "entry " + std::to_string(prefix->index.value()) + " has " +
             std::to_string(payload.size() - kEntryPrefixBytes) +
             " bytes, more than the limit of " + std::to_string(max_entry_bytes_);
    }
    std::string problem = scan_.state.ApplyEntry(prefix->index, prefix->term);
    if (!problem.empty()) return problem;
    scan_.entries.Append(prefix->index, c.segment,
                         {static_cast<uint32_t>(offset), static_cast<uint32_t>(payload.size())});
    auto& configs = scan_.config_entries;
    configs.erase(configs.lower_bound(prefix->index), configs.end());
    if (prefix->kind == raft::EntryKind::kConfig) {
      configs.emplace(prefix->index, *DecodeEntry(payload));
    }
    return {};
  }

  // What a whole record tells wherever it stands.
  void Note(const RecordHeader& header, std::string_view payload) {
    scan_.durable_lsn = std::max(scan_.durable_lsn, header.durable_lsn);
    switch (static_cast<RecordType>(header.type)) {
      case RecordType::kHardState:
        if (const auto hard_state = DecodeHardState(payload)) {
          scan_.newest_hard_state = *hard_state;
          hard_state_lsn_ = header.lsn;
        }
        return;
      case RecordType::kSnapshot:
      case RecordType::kReset:
        if (const auto meta = DecodeSnapshotMeta(payload)) {
          scan_.newest_snapshot = *meta;
          if (header.type == static_cast<uint8_t>(RecordType::kReset)) {
            scan_.newest_compacted = {meta->index, meta->term};
          }
        }
        return;
      case RecordType::kCompact:
        if (const auto mark = DecodeCompactMark(payload)) scan_.newest_compacted = *mark;
        return;
      default:
        return;
    }
  }

  // Looks for whole records behind the first bad byte: on multiples of 8, headers of which
  // checksum, salt and position all hold. They tell how far the log was durable, and for
  // --recover=peers the newest marks. True: there are only zeros.
  absl::StatusOr<bool> Harvest(const Candidate& c, FileWindow& window, uint64_t offset,
                               uint64_t limit, bool last) {
    const SegmentHeader& h = *c.header;
    const uint64_t begin = offset;
    uint64_t readable_to = offset;  // end of the last whole record
    uint64_t nonzero_to = offset;
    while (offset < limit) {
      const uint64_t piece = std::min<uint64_t>(kHeaderAlignment, limit - offset);
      absl::StatusOr<std::string_view> bytes = window.Get(offset, piece);
      if (!bytes.ok()) return bytes.status();
      if (AllZero(*bytes)) {
        offset += piece;
        continue;
      }
      const size_t used = bytes->find_first_not_of('\0');
      if (used >= kRecordHeaderBytes) {
        offset += (used - kRecordHeaderBytes) / kRecordAlignment * kRecordAlignment + 8;
        continue;
      }
      nonzero_to = std::max(nonzero_to, offset + bytes->find_last_not_of('\0') + 1);
      RecordHeader header;
      std::string_view payload;
      bool header_ok = false;
      if (bytes->size() >= kRecordHeaderBytes &&
          LoadU64(bytes->data() + 16) == h.base_lsn + offset) {
        absl::StatusOr<std::string> problem =
            ReadRecord(c, window, offset, limit, &header, &payload, &header_ok);
        if (!problem.ok()) return problem.status();
        if (header_ok) {
          AddGap(h.base_lsn + readable_to, h.base_lsn + offset);
          TakeBehind(c, offset, header, *problem, payload);
          offset += RecordBytes(header.length);
          readable_to = offset;
          nonzero_to = std::max(nonzero_to, std::min(limit, offset));
          continue;
        }
      }
      offset += kRecordAlignment;
    }
    AddGap(h.base_lsn + readable_to, h.base_lsn + limit);
    position_ = h.base_lsn + limit;
    if (last) scan_.torn_bytes = nonzero_to - begin;
    return nonzero_to == begin;
  }

  // A record behind the first bad byte. Its header holds; `problem` is about its payload.
  void TakeBehind(const Candidate& c, uint64_t offset, const RecordHeader& header,
                  const std::string& problem, std::string_view payload) {
    scan_.durable_lsn = std::max(scan_.durable_lsn, header.durable_lsn);
    if (problem.empty()) {
      if (line_)
        Say(c, offset,
            "behind the damage: lsn " + std::to_string(header.lsn) + " durable " +
                std::to_string(header.durable_lsn) + " " + DescribeRecord(header, payload));
      Note(header, payload);
      return;
    }
    if (line_) Say(c, offset, "behind the damage: " + problem);
    switch (static_cast<RecordType>(header.type)) {
      case RecordType::kEntry:
      case RecordType::kCompact:
      case RecordType::kCleanShutdown:
        return;  // what is lost is known, and is no vote
      default:
        AddGap(header.lsn, header.lsn + RecordBytes(header.length));
    }
  }

  void Conclude() {
    std::optional<ScanStop>& stop = scan_.stop;
    const auto at_the_tail = [&] {
      return stop && !stop->impossible && stop->lsn >= scan_.durable_lsn && StoppedInLastSegment();
    };
    // Where nothing but zeros follow is the end of the log, unless a header says that there was
    // more.
    if (at_the_tail() && rest_is_zero_) stop.reset();
    if ((!stop || at_the_tail()) && !scan_.state.Complete()) {
      const raft::Index first = scan_.state.marks().compacted.index.Next();
      const raft::Index last = scan_.state.first_present().Prev();
      stop = ScanStop{
          {chain_.front()->path, 0,
           "the entries " + std::to_string(first.value()) + " to " + std::to_string(last.value()) +
               " are missing: a segment before this one is gone"},
          0,
          false};
    }
    scan_.hard_state_certain = true;
    for (const Gap& gap : gaps_) {
      if (gap.begin < scan_.durable_lsn && gap.end > hard_state_lsn_) {
        scan_.hard_state_certain = false;
      }
    }
  }

  bool StoppedInLastSegment() const {
    return scan_.end.segment != nullptr && scan_.end.segment == chain_.back()->segment;
  }

  FileSystem& fs_;
  const std::string directory_;
  const uint64_t max_entry_bytes_;
  const std::function<void(const std::string&)>& line_;

  std::vector<Candidate> candidates_;  // by sequence
  std::vector<const Candidate*> chain_;
  std::map<uint64_t, std::string> missing_;  // path of a segment that should follow the key
  std::vector<Gap> gaps_;
  uint64_t position_ = 0;        // scanned so far
  uint64_t hard_state_lsn_ = 0;  // of newest_hard_state
  bool rest_is_zero_ = false;    // behind the last record of the last segment
  LogScan scan_;
};

}  // namespace

absl::StatusOr<SegmentHeader> ReadSegmentHeader(const File& file) {
  absl::StatusOr<uint64_t> size = file.Size();
  if (!size.ok()) return size.status();
  FileWindow window(file, std::min<uint64_t>(*size, kHeaderFixedBytes));
  absl::StatusOr<std::string_view> fixed = window.Get(0, kHeaderFixedBytes);
  if (!fixed.ok()) return fixed.status();
  absl::StatusOr<HeaderExtent> extent = DecodeHeaderExtent(*fixed);
  if (!extent.ok()) return extent.status();
  FileWindow all(file, std::min(*size, extent->header_bytes));
  absl::StatusOr<std::string_view> bytes = all.Get(0, extent->header_bytes);
  if (!bytes.ok()) return bytes.status();
  return DecodeSegmentHeader(*bytes);
}

absl::StatusOr<LogScan> ScanLog(FileSystem& fs, const std::string& directory,
                                uint64_t max_entry_bytes,
                                const std::function<void(const std::string&)>& line) {
  return Scanner(fs, directory, max_entry_bytes, line).Run();
}

}  // namespace dqueue::storage
