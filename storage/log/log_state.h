// The meaning of a log without its bytes, and the rules for which record may follow. Recovery
// applies every record that it reads; the writer applies every record that it writes. So the log
// never contains a record that recovery would refuse. No I/O.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "raft/raft.h"
#include "raft/types.h"
#include "storage/log/record.h"

namespace dqueue::storage {

// State that must outlive the segments in which it was recorded. Each segment header repeats the
// marks as they were at the start of the segment.
struct Marks {
  raft::HardState hard_state;
  CompactMark compacted;  // entries up to here may be gone
  raft::Index last_index;
  raft::Term last_term;
  raft::SnapshotMeta snapshot;
  raft::Index damaged_from;  // 0: nothing is missing (RecoveredLog::damaged_from)
  friend bool operator==(const Marks&, const Marks&) = default;
};

class LogState {
 public:
  LogState() = default;
  // The state at the start of a segment: entries up to marks.last_index are in earlier segments.
  explicit LogState(Marks marks);

  // Each applies one record. Returns an empty string, or the reason why the record cannot follow;
  // then the state is unchanged.
  std::string Apply(const raft::HardState& hard_state);
  std::string Apply(const CompactMark& mark);
  std::string ApplyEntry(raft::Index index, raft::Term term);
  std::string ApplySnapshot(const raft::SnapshotMeta& meta);
  std::string ApplyReset(const raft::SnapshotMeta& meta);
  void ApplyWhole() { marks_.damaged_from = raft::Index(); }

  // Replaces the marks by those of a header with SegmentHeader::recovered. Requires the same last
  // entry.
  void Override(const Marks& marks);

  const Marks& marks() const { return marks_; }
  // The entries first_present() to marks().last_index are in the segments applied so far.
  raft::Index first_present() const { return first_present_; }
  // True if all entries after the compaction mark are present.
  bool Complete() const { return first_present_ <= marks_.compacted.index.Next(); }
  // The term at `index`, if it is a present entry, the compaction mark, the snapshot or the last
  // entry.
  std::optional<raft::Term> TermAt(raft::Index index) const;
  // Term runs of the present entries.
  std::vector<raft::TermRun> Runs() const { return {runs_.begin(), runs_.end()}; }

 private:
  void DropTo(raft::Index index);

  Marks marks_;
  raft::Index first_present_ = raft::Index(1);
  std::deque<raft::TermRun> runs_;
};

}  // namespace dqueue::storage
