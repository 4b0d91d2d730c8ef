// What a log means, without its bytes: the rules by which one record may follow another. Recovery
// replays records through it and the writer asserts by it, so that nothing is written that would
// not be read back. No I/O.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "raft/raft.h"
#include "raft/types.h"
#include "storage/log/record.h"

namespace dqueue::storage {

// What must outlive the segments in which it was recorded; each segment's header repeats it as it
// was where the segment begins.
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
  // As at the beginning of a segment: entries up to marks.last_index are in earlier segments.
  explicit LogState(Marks marks);

  // Each takes one record in; or answers why it cannot follow what is there, without effect.
  std::string Apply(const raft::HardState& hard_state);
  std::string Apply(const CompactMark& mark);
  std::string ApplyEntry(raft::Index index, raft::Term term);
  std::string ApplySnapshot(const raft::SnapshotMeta& meta);
  std::string ApplyReset(const raft::SnapshotMeta& meta);
  void ApplyWhole() { marks_.damaged_from = raft::Index(); }

  // What --recover=peers decided: `marks` hold from now on. They end where this ends.
  void Override(const Marks& marks);

  const Marks& marks() const { return marks_; }
  // The entries first_present() … marks().last_index are here.
  raft::Index first_present() const { return first_present_; }
  // Everything after the compaction mark is here.
  bool Complete() const { return first_present_ <= marks_.compacted.index.Next(); }
  // Of an entry that is here, or of the compaction mark, snapshot or last entry.
  std::optional<raft::Term> TermAt(raft::Index index) const;
  // Of the entries that are here.
  std::vector<raft::TermRun> Runs() const { return {runs_.begin(), runs_.end()}; }

 private:
  void DropTo(raft::Index index);

  Marks marks_;
  raft::Index first_present_ = raft::Index(1);
  std::deque<raft::TermRun> runs_;
};

}  // namespace dqueue::storage
