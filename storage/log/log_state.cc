#include "storage/log/log_state.h"

#include <algorithm>

#include "base/check.h"

namespace dqueue::storage {
namespace {

std::string Text(uint64_t n) { return std::to_string(n); }

}  // namespace

LogState::LogState(Marks marks)
    : marks_(std::move(marks)), first_present_(marks_.last_index.Next()) {}

std::optional<raft::Term> LogState::TermAt(raft::Index index) const {
  if (index >= first_present_ && index <= marks_.last_index) {
    auto it =
        std::upper_bound(runs_.begin(), runs_.end(), index,
                         [](raft::Index i, const raft::TermRun& run) { return i < run.first; });
    DQ_CHECK(it != runs_.begin());
    return std::prev(it)->term;
  }
  if (index == marks_.last_index) return marks_.last_term;
  if (index == marks_.snapshot.index) return marks_.snapshot.term;
  if (index == marks_.compacted.index) return marks_.compacted.term;
  return std::nullopt;
}

std::string LogState::Apply(const raft::HardState& hard_state) {
  const raft::HardState& now = marks_.hard_state;
  if (hard_state.term < now.term) {
    return "term " + Text(hard_state.term.value()) + " after term " + Text(now.term.value());
  }
  if (hard_state.term == now.term && now.vote.value() != 0 && hard_state.vote != now.vote) {
    return "the vote in term " + Text(now.term.value()) + " changes from " +
           Text(now.vote.value()) + " to " + Text(hard_state.vote.value());
  }
  marks_.hard_state = hard_state;
  return {};
}

std::string LogState::ApplyEntry(raft::Index index, raft::Term term) {
  if (index > marks_.last_index.Next()) {
    return "entry " + Text(index.value()) + " after entry " + Text(marks_.last_index.value());
  }
  const raft::Index fixed = std::max(marks_.compacted.index, marks_.snapshot.index);
  if (index <= fixed) {
    return "entry " + Text(index.value()) + " replaces an entry of the snapshot at " +
           Text(fixed.value());
  }
  if (term.value() == 0) return "entry " + Text(index.value()) + " has term 0";
  if (term > marks_.hard_state.term) {
    return "entry " + Text(index.value()) + " of term " + Text(term.value()) + " in term " +
           Text(marks_.hard_state.term.value());
  }
  const std::optional<raft::Term> before = index.value() == 1 ? raft::Term() : TermAt(index.Prev());
  if (before.has_value() && term < *before) {
    return "entry " + Text(index.value()) + " of term " + Text(term.value()) + " after term " +
           Text(before->value());
  }
  if (index <= first_present_) {
    first_present_ = index;
    runs_.clear();
  }
  while (!runs_.empty() && runs_.back().first >= index) runs_.pop_back();
  if (runs_.empty() || runs_.back().term != term) runs_.push_back({index, term});
  marks_.last_index = index;
  marks_.last_term = term;
  DQ_CHECK(first_present_ <= index && !runs_.empty() && runs_.front().first == first_present_);
  return {};
}

std::string LogState::ApplySnapshot(const raft::SnapshotMeta& meta) {
  if (meta.index > marks_.last_index) {
    return "a snapshot at " + Text(meta.index.value()) + " of a log that ends at " +
           Text(marks_.last_index.value());
  }
  if (meta.index < marks_.snapshot.index || meta.index < marks_.compacted.index) {
    return "a snapshot at " + Text(meta.index.value()) + " after one at " +
           Text(std::max(marks_.snapshot.index, marks_.compacted.index).value());
  }
  const std::optional<raft::Term> term = TermAt(meta.index);
  if (term.has_value() && *term != meta.term) {
    return "a snapshot at " + Text(meta.index.value()) + " of term " + Text(meta.term.value()) +
           " of an entry of term " + Text(term->value());
  }
  marks_.snapshot = meta;
  return {};
}

std::string LogState::ApplyReset(const raft::SnapshotMeta& meta) {
  if (meta.index < marks_.snapshot.index || meta.index < marks_.compacted.index ||
      meta.index.value() == 0) {
    return "a reset to " + Text(meta.index.value()) + " after a snapshot at " +
           Text(std::max(marks_.snapshot.index, marks_.compacted.index).value());
  }
  if (meta.term > marks_.hard_state.term) {
    return "a reset to term " + Text(meta.term.value()) + " in term " +
           Text(marks_.hard_state.term.value());
  }
  marks_.snapshot = meta;
  marks_.compacted = {meta.index, meta.term};
  marks_.last_index = meta.index;
  marks_.last_term = meta.term;
  first_present_ = meta.index.Next();
  runs_.clear();
  return {};
}

std::string LogState::Apply(const CompactMark& mark) {
  if (mark.index <= marks_.compacted.index) {
    return "compaction to " + Text(mark.index.value()) + " after one to " +
           Text(marks_.compacted.index.value());
  }
  if (mark.index > marks_.snapshot.index) {
    return "compaction to " + Text(mark.index.value()) + " with a snapshot only at " +
           Text(marks_.snapshot.index.value());
  }
  const std::optional<raft::Term> term = TermAt(mark.index);
  if (term.has_value() && *term != mark.term) {
    return "compaction to " + Text(mark.index.value()) + " of term " + Text(mark.term.value()) +
           ", an entry of term " + Text(term->value());
  }
  marks_.compacted = mark;
  DropTo(mark.index);
  DQ_CHECK(marks_.compacted.index <= marks_.snapshot.index);
  DQ_CHECK(marks_.snapshot.index <= marks_.last_index);
  return {};
}

void LogState::DropTo(raft::Index index) {
  if (index < first_present_) return;
  DQ_CHECK(index <= marks_.last_index);
  first_present_ = index.Next();
  while (runs_.size() > 1 && runs_[1].first <= first_present_) runs_.pop_front();
  if (first_present_ > marks_.last_index) {
    runs_.clear();
  } else {
    runs_.front().first = first_present_;
  }
}

void LogState::Override(const Marks& marks) {
  DQ_CHECK(marks.last_index == marks_.last_index && marks.last_term == marks_.last_term);
  DQ_CHECK(marks.compacted.index <= marks.snapshot.index);
  DQ_CHECK(marks.snapshot.index <= marks.last_index);
  marks_ = marks;
  DropTo(marks.compacted.index);
}

}  // namespace dqueue::storage
