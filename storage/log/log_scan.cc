#include "storage/log/log_scan.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "storage/log/record.h"
#include "storage/log/record_reader.h"
#include "storage/log/segment_chain.h"

namespace dqueue::storage {
namespace {

// Replay() applies records up to the first invalid one. From there on SearchAfterDamage() only
// looks for readable records.
class Scanner {
 public:
  Scanner(SegmentChain chain, uint64_t max_entry_bytes,
          const std::function<void(const std::string&)>& line)
      : chain_(std::move(chain)), max_entry_bytes_(max_entry_bytes), line_(line) {}

  absl::StatusOr<LogScan> Run() {
    scan_.identity = chain_.identity;
    scan_.next_sequence = chain_.next_sequence;
    scan_.leftover_paths = chain_.leftover_paths;
    for (const ChainLink& link : chain_.links) {
      if (!link.header) continue;
      // May be above the next segment's previous_end.
      scan_.durable_lsn = std::max(scan_.durable_lsn, link.header->named_end);
    }
    for (size_t i = 0; i < chain_.links.size(); ++i) {
      if (absl::Status s = ScanLink(i); !s.ok()) return s;
    }
    Finish();
    return std::move(scan_);
  }

 private:
  absl::Status ScanLink(size_t i) {
    const ChainLink& link = chain_.links[i];
    const bool last = i + 1 == chain_.links.size();
    const SegmentHeader* after =
        !last && chain_.links[i + 1].header ? &*chain_.links[i + 1].header : nullptr;
    if (link.header) {
      const SegmentHeader* next = link.missing_after ? nullptr : after;
      if (absl::Status s = ScanSegment(link, next, last); !s.ok()) return s;
    } else {
      Stop(link.path, link.problem_offset, link.problem, position_, link.inconsistent);
      SkipTo(after);
    }
    if (link.missing_after) {
      Stop(*link.missing_after, 0, "the segment is missing", position_, false);
      SkipTo(after);
    }
    return absl::OkStatus();
  }

  // Records the first invalid position.
  void Stop(const std::string& file, uint64_t offset, const std::string& reason, uint64_t lsn,
            bool inconsistent) {
    if (!stopped_) {
      stopped_ = true;
      stop_ = ScanStop{{file, offset, reason}, lsn, inconsistent};
    } else if (inconsistent && !stop_.inconsistent) {
      // An inconsistency takes precedence over damage: recovery must refuse.
      stop_ = ScanStop{{file, offset, reason}, stop_.lsn, true};
    }
  }

  // A whole segment is unreadable. It was named, so it was durable.
  void SkipTo(const SegmentHeader* after) {
    scan_.durable_lsn = std::max(scan_.durable_lsn, position_ + 1);
    const uint64_t end = after != nullptr ? after->previous_end : UINT64_MAX;
    position_ = std::max(position_, end);
  }

  void Print(const ChainLink& link, uint64_t offset, const std::string& what) {
    if (line_) line_(link.path + ":" + std::to_string(offset) + " " + what);
  }
  void Print(const ChainLink& link, uint64_t offset, const char* before, const RecordHeader& header,
             std::string_view payload) {
    if (!line_) return;
    Print(link, offset,
          before + ("lsn " + std::to_string(header.lsn)) + " durable " +
              std::to_string(header.durable_lsn) + " " + DescribeRecord(header, payload));
  }

  absl::Status ScanSegment(const ChainLink& link, const SegmentHeader* next, bool last) {
    const SegmentHeader& h = *link.header;
    ApplyHeader(link);
    position_ = std::max(position_, h.base_lsn);
    // The log continues in the next segment at `previous_end`; bytes after it are void.
    uint64_t limit = h.segment_bytes;
    if (next != nullptr) {
      if (next->previous_end < h.base_lsn + h.HeaderBytes() ||
          next->previous_end > h.base_lsn + h.segment_bytes) {
        Stop(link.path, 0, "the next segment names an end that is not in this one", h.base_lsn,
             true);
      } else {
        limit = next->previous_end - h.base_lsn;
      }
    }
    RecordReader reader(*link.segment->reader, h);
    uint64_t offset = h.HeaderBytes();
    bool stopped_here = false;
    if (!stopped_) {
      absl::StatusOr<uint64_t> reached = Replay(link, reader, limit);
      if (!reached.ok()) return reached.status();
      offset = *reached;
      stopped_here = stopped_ && !stop_.inconsistent;
      if (!stopped_ && !last) {
        position_ = h.base_lsn + limit;
        return absl::OkStatus();
      }
    }
    uint64_t nonzero_end = offset;
    if (absl::Status s = SearchAfterDamage(link, reader, offset, limit, &nonzero_end); !s.ok()) {
      return s;
    }
    position_ = h.base_lsn + limit;
    if (last) {
      scan_.torn_bytes = nonzero_end - offset;
      rest_is_zero_ = nonzero_end == offset;
    } else if (next == nullptr && stopped_here && nonzero_end == offset) {
      // This segment ends well as far as can be seen; the damage is in a later one.
      stopped_ = false;
    }
    return absl::OkStatus();
  }

  // Checks a segment header against the records before it, and applies it.
  void ApplyHeader(const ChainLink& link) {
    const SegmentHeader& h = *link.header;
    const Marks& marks = h.marks;
    if (line_) {
      Print(link, 0,
            "SEGMENT lsn " + std::to_string(h.base_lsn) + " term " +
                std::to_string(marks.hard_state.term.value()) + " vote " +
                std::to_string(marks.hard_state.vote.value()) + " last " +
                std::to_string(marks.last_index.value()) + " compacted " +
                std::to_string(marks.compacted.index.value()) + " snapshot " +
                std::to_string(marks.snapshot.index.value()) + (h.recovered ? " recovered" : ""));
    }
    if (!stopped_) {
      if (scan_.end.segment == nullptr) {
        scan_.state = LogState(marks);
        scan_.entries.Clear(marks.last_index.Next());
      } else {
        CheckContinues(link);
      }
    }
    if (!stopped_) {
      scan_.segments.push_back(link.segment);
      scan_.end = {h, link.segment, h.HeaderBytes(), h.previous_crc};
    }
  }

  void CheckContinues(const ChainLink& link) {
    const SegmentHeader& h = *link.header;
    const SegmentHeader& before = scan_.end.header;
    const uint64_t before_end = before.base_lsn + before.segment_bytes;
    const auto broken = [&](const char* reason) {
      Stop(link.path, 0, std::string("the segment does not continue the one before it: ") + reason,
           h.base_lsn, true);
    };
    if (h.previous_sequence != before.sequence || h.previous_crc != scan_.end.crc ||
        h.previous_end != before.base_lsn + scan_.end.offset) {
      return broken("the end of that segment is different");
    }
    if (h.recovered ? h.base_lsn < before_end : h.base_lsn != before_end) {
      return broken("its position is wrong");
    }
    const Marks& marks = scan_.state.marks();
    if (!h.recovered) {
      if (h.marks != marks) broken("its header repeats another state");
      return;
    }
    // An earlier version kept a part of a damaged log here (segment_header.h).
    if (h.marks.last_index != marks.last_index || h.marks.last_term != marks.last_term) {
      return broken("it was written by a recovery that kept other entries");
    }
    scan_.state.Override(h.marks);
    scan_.entries.DropTo(h.marks.compacted.index);
  }

  // Applies records up to the first invalid one. Returns the offset of the end.
  absl::StatusOr<uint64_t> Replay(const ChainLink& link, RecordReader& reader, uint64_t limit) {
    const SegmentHeader& h = *link.header;
    uint64_t offset = h.HeaderBytes();
    while (offset < limit) {
      absl::StatusOr<RecordView> view = reader.Read(offset, limit);
      if (!view.ok()) return view.status();
      if (view->problem.empty() && view->header->previous_crc != scan_.end.crc) {
        view->problem = "the record does not follow the one before it";
      }
      if (!view->problem.empty()) {
        Stop(link.path, offset, view->problem, h.base_lsn + offset, false);
        return offset;
      }
      const RecordHeader& header = *view->header;
      Print(link, offset, "", header, view->payload);
      const std::string inconsistent = Apply(link, offset, header, view->payload);
      if (!inconsistent.empty()) {
        Stop(link.path, offset, inconsistent, h.base_lsn + offset, true);
        return offset;
      }
      scan_.durable_lsn = std::max(scan_.durable_lsn, header.durable_lsn);
      ++scan_.records;
      offset += RecordBytes(header.length);
      scan_.end.offset = offset;
      scan_.end.crc = header.payload_crc;
      scan_.clean_shutdown = header.type == static_cast<uint8_t>(RecordType::kCleanShutdown);
    }
    return offset;
  }

  // Applies a valid record to the state. Returns the reason if the record is inconsistent.
  std::string Apply(const ChainLink& link, uint64_t offset, const RecordHeader& header,
                    std::string_view payload) {
    const auto malformed = [&header] {
      return "a record of type " + RecordTypeName(header.type) + " with a malformed payload";
    };
    if (header.flags != 0) return "a record with flags: it needs a newer dqueue";
    if (header.durable_lsn > header.lsn)
      return "a record that names a durable position after itself";
    switch (static_cast<RecordType>(header.type)) {
      case RecordType::kHardState: {
        const auto hard_state = DecodeHardState(payload);
        return hard_state ? scan_.state.Apply(*hard_state) : malformed();
      }
      case RecordType::kEntry:
        return ApplyEntry(link, offset, payload);
      case RecordType::kCompact: {
        const auto mark = DecodeCompactMark(payload);
        if (!mark) return malformed();
        std::string problem = scan_.state.Apply(*mark);
        if (problem.empty()) scan_.entries.DropTo(mark->index);
        return problem;
      }
      case RecordType::kSnapshot: {
        const auto meta = DecodeSnapshotMeta(payload);
        return meta ? scan_.state.ApplySnapshot(*meta) : malformed();
      }
      case RecordType::kReset: {
        const auto meta = DecodeSnapshotMeta(payload);
        if (!meta) return malformed();
        std::string problem = scan_.state.ApplyReset(*meta);
        if (problem.empty()) {
          scan_.entries.Clear(meta->index.Next());
          scan_.config_entries.clear();
        }
        return problem;
      }
      case RecordType::kCleanShutdown:
        return payload.empty() ? "" : malformed();
      case RecordType::kWhole:
        if (!payload.empty()) return malformed();
        scan_.state.ApplyWhole();
        return "";
    }
    return "a record of unknown " + RecordTypeName(header.type) + ": it needs a newer dqueue";
  }

  std::string ApplyEntry(const ChainLink& link, uint64_t offset, std::string_view payload) {
    const auto prefix = DecodeEntryPrefix(payload);
    if (!prefix) return "a record of type ENTRY with a malformed payload";
    if (payload.size() - kEntryPrefixBytes > max_entry_bytes_) {
      return "entry " + std::to_string(prefix->index.value()) + " has " +
             std::to_string(payload.size() - kEntryPrefixBytes) +
             " bytes, more than the limit of " + std::to_string(max_entry_bytes_);
    }
    std::string problem = scan_.state.ApplyEntry(prefix->index, prefix->term);
    if (!problem.empty()) return problem;
    scan_.entries.Append(prefix->index, link.segment,
                         {static_cast<uint32_t>(offset), static_cast<uint32_t>(payload.size())});
    auto& configs = scan_.config_entries;
    configs.erase(configs.lower_bound(prefix->index), configs.end());
    if (prefix->kind == raft::EntryKind::kConfig) {
      configs.emplace(prefix->index, *DecodeEntry(payload));
    }
    return {};
  }

  // Searches for valid record headers after the first invalid byte, at multiples of 8: checksum,
  // salt and position must match. They show how far the log was durable.
  absl::Status SearchAfterDamage(const ChainLink& link, RecordReader& reader, uint64_t offset,
                                 uint64_t limit, uint64_t* nonzero_end) {
    for (;;) {
      absl::StatusOr<uint64_t> found = reader.FindCandidate(offset, limit, nonzero_end);
      if (!found.ok()) return found.status();
      offset = *found;
      if (offset >= limit) break;
      absl::StatusOr<RecordView> view = reader.Read(offset, limit);
      if (!view.ok()) return view.status();
      if (!view->header) {
        offset += kRecordAlignment;
        continue;
      }
      TakeAfterDamage(link, offset, *view);
      offset += RecordBytes(view->header->length);
      *nonzero_end = std::max(*nonzero_end, offset);
    }
    return absl::OkStatus();
  }

  // A record after the first invalid byte. Its header is valid.
  void TakeAfterDamage(const ChainLink& link, uint64_t offset, const RecordView& view) {
    const RecordHeader& header = *view.header;
    scan_.durable_lsn = std::max(scan_.durable_lsn, header.durable_lsn);
    if (view.problem.empty()) {
      Print(link, offset, "after the first bad byte: ", header, view.payload);
    } else {
      Print(link, offset, "after the first bad byte: " + view.problem);
    }
  }

  bool StoppedAtTail() const {
    return stopped_ && !stop_.inconsistent && stop_.lsn >= scan_.durable_lsn &&
           scan_.end.segment != nullptr && scan_.end.segment == chain_.links.back().segment;
  }

  void Finish() {
    // If only zeros follow and no header names a later position as durable, this is the end of the
    // log.
    if (StoppedAtTail() && rest_is_zero_) stopped_ = false;
    if ((!stopped_ || StoppedAtTail()) && !scan_.state.Complete()) {
      const raft::Index first = scan_.state.marks().compacted.index.Next();
      const raft::Index last = scan_.state.first_present().Prev();
      stopped_ = false;
      Stop(chain_.links.front().path, 0,
           "the entries " + std::to_string(first.value()) + " to " + std::to_string(last.value()) +
               " are missing: a segment before this one is gone",
           0, false);
    }
    if (stopped_) scan_.stop = stop_;
  }

  const SegmentChain chain_;
  const uint64_t max_entry_bytes_;
  const std::function<void(const std::string&)>& line_;

  bool stopped_ = false;
  ScanStop stop_;              // valid if stopped_
  uint64_t position_ = 0;      // end of the part scanned so far
  bool rest_is_zero_ = false;  // only zeros follow the last record of the last segment
  LogScan scan_;
};

}  // namespace

absl::StatusOr<LogScan> ScanLog(FileSystem& fs, const std::string& directory,
                                uint64_t max_entry_bytes,
                                const std::function<void(const std::string&)>& line) {
  absl::StatusOr<SegmentChain> chain = ReadSegmentChain(fs, directory);
  if (!chain.ok()) return chain.status();
  return Scanner(*std::move(chain), max_entry_bytes, line).Run();
}

}  // namespace dqueue::storage
