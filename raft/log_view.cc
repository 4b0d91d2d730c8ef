#include "raft/log_view.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace dqueue::raft {
namespace {

Configuration DecodedOrDie(const std::string& bytes, Index index) {
  std::optional<Configuration> config = DecodeConfiguration(bytes);
  DQ_CHECK_MSG(config.has_value(),
               absl::StrCat("the configuration at index ", index.value(), " is malformed"));
  return *std::move(config);
}

}  // namespace

LogView::LogView(const Recovered& recovered, const LogReader* reader, uint64_t cache_bytes_max)
    : reader_(reader),
      cache_bytes_max_(cache_bytes_max),
      compacted_{recovered.compacted_index, recovered.compacted_term},
      runs_(recovered.runs),
      last_(recovered.last_index),
      unsubmitted_(recovered.last_index.Next()) {
  DQ_CHECK(reader != nullptr);
  DQ_CHECK_MSG(last_ >= compacted_.index, "the recovered log ends below its compaction point");
  DQ_CHECK_MSG(runs_.empty() == (last_ == compacted_.index),
               "the recovered term runs do not cover the log");
  EntryId before = compacted_;
  for (const TermRun& run : runs_) {
    const bool first = before.index == compacted_.index;
    DQ_CHECK(first ? run.first == first_index() : run.first > before.index);
    DQ_CHECK(first ? run.term >= before.term : run.term > before.term);
    DQ_CHECK(run.first <= last_);
    before = {run.first, run.term};
  }
  const SnapshotMeta& snapshot = recovered.snapshot;
  DQ_CHECK_MSG(snapshot.index >= compacted_.index && snapshot.index <= last_,
               "the newest snapshot is not within the log");
  if (snapshot.index == Index()) {
    configs_.push_back({});
  } else {
    DQ_CHECK_MSG(Matches(snapshot.index, snapshot.term),
                 "the snapshot's term differs from the log's");
    configs_.push_back({snapshot.index, DecodedOrDie(snapshot.config, snapshot.index)});
  }
  for (const Entry& entry : recovered.config_entries) {
    DQ_CHECK(entry.kind == EntryKind::kConfig && entry.payload != nullptr);
    DQ_CHECK(entry.index <= last_);
    // Skip configurations older than the snapshot's: ConfigAt() is not called for them.
    if (entry.index <= snapshot.index) continue;
    DQ_CHECK(entry.index > config_index());
    configs_.push_back({entry.index, DecodedOrDie(*entry.payload, entry.index)});
  }
}

Term LogView::TermAt(Index index) const {
  if (index == compacted_.index) return compacted_.term;
  if (index < compacted_.index || index > last_) return Term();
  // Backwards, because most lookups are for the newest runs.
  for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {
    if (run->first <= index) return run->term;
  }
  DQ_CHECK_MSG(false, absl::StrCat("no term run for index ", index.value()));
}

bool LogView::Matches(Index index, Term term) const {
  return index >= compacted_.index && index <= last_ && TermAt(index) == term;
}

LogView::EntryId LogView::FindConflictByTerm(Index index, Term term) const {
  if (index <= compacted_.index) return {index, TermAt(index)};
  Index end = std::min(index, last_);
  for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {
    if (run->first > end) continue;
    if (run->term <= term) return {end, run->term};
    end = run->first.Prev();
  }
  return compacted_;
}

void LogView::Append(Entry entry) {
  DQ_CHECK_MSG(entry.index == last_.Next(),
               absl::StrCat("appended ", entry.index.value(), " after ", last_.value()));
  DQ_CHECK(entry.term >= last_term());
  DQ_CHECK(entry.payload != nullptr);
  if (runs_.empty() || runs_.back().term != entry.term) runs_.push_back({entry.index, entry.term});
  if (entry.kind == EntryKind::kConfig) {
    configs_.push_back({entry.index, DecodedOrDie(*entry.payload, entry.index)});
  }
  last_ = entry.index;
  cached_bytes_ += entry.SizeBytes();
  cache_.push_back(std::move(entry));
}

void LogView::TruncateFrom(Index first) {
  DQ_CHECK(first > compacted_.index && first <= last_);
  while (!cache_.empty() && cache_.back().index >= first) {
    cached_bytes_ -= cache_.back().SizeBytes();
    cache_.pop_back();
  }
  while (!runs_.empty() && runs_.back().first >= first) runs_.pop_back();
  while (configs_.size() > 1 && configs_.back().index >= first) configs_.pop_back();
  DQ_CHECK(configs_.back().index < first);
  last_ = first.Prev();
  unsubmitted_ = std::min(unsubmitted_, first);
}

void LogView::Reset(const SnapshotMeta& meta) {
  DQ_CHECK(meta.index > compacted_.index);
  compacted_ = {meta.index, meta.term};
  runs_.clear();
  last_ = meta.index;
  unsubmitted_ = meta.index.Next();
  cache_.clear();
  cached_bytes_ = 0;
  configs_.assign(1, ConfigMark{meta.index, DecodedOrDie(meta.config, meta.index)});
}

void LogView::CompactTo(Index index) {
  if (index <= compacted_.index) return;
  DQ_CHECK(index < unsubmitted_);
  compacted_ = {index, TermAt(index)};
  while (!cache_.empty() && cache_.front().index <= index) DropCachedFront();
  const auto kept = std::find_if(runs_.rbegin(), runs_.rend(),
                                 [&](const TermRun& run) { return run.first <= index.Next(); });
  if (index == last_) {
    runs_.clear();
  } else {
    DQ_CHECK(kept != runs_.rend());
    runs_.erase(runs_.begin(), std::prev(kept.base()));
    runs_.front().first = index.Next();
  }
  while (configs_.size() > 1 && configs_[1].index <= index) configs_.erase(configs_.begin());
}

std::vector<Entry> LogView::TakeUnsubmitted() {
  std::vector<Entry> entries;
  if (!HasUnsubmitted()) return entries;
  DQ_CHECK(unsubmitted_ >= cached_from());
  entries.assign(
      cache_.begin() + static_cast<ptrdiff_t>(unsubmitted_.value() - cached_from().value()),
      cache_.end());
  unsubmitted_ = last_.Next();
  return entries;
}

std::vector<Entry> LogView::Read(Index first, Index last, uint64_t max_entries,
                                 uint64_t max_bytes) const {
  DQ_CHECK_MSG(first >= first_index() && first <= last && last <= last_,
               absl::StrCat("read of ", first.value(), "..", last.value(), " from a log of ",
                            first_index().value(), "..", last_.value()));
  DQ_CHECK(max_entries > 0);
  const uint64_t count = std::min(last.value() - first.value() + 1, max_entries);
  if (first >= cached_from()) {
    std::vector<Entry> entries;
    uint64_t bytes = 0;
    for (auto entry =
             cache_.begin() + static_cast<ptrdiff_t>(first.value() - cached_from().value());
         entries.size() < count; ++entry) {
      bytes += entry->SizeBytes();
      if (!entries.empty() && bytes > max_bytes) break;
      entries.push_back(*entry);
    }
    return entries;
  }
  const Index stored_last = std::min(first + (count - 1), cached_from().Prev());
  std::vector<Entry> entries = reader_->ReadEntries(first, stored_last, max_bytes);
  DQ_CHECK_MSG(!entries.empty() && entries.size() <= count,
               absl::StrCat("storage returned ", entries.size(), " entries from ", first.value()));
  // The same facts that Append() checked before these entries were written.
  Index expected = first;
  for (const Entry& entry : entries) {
    DQ_CHECK_MSG(entry.index == expected && entry.term == TermAt(expected),
                 absl::StrCat("storage returned ", entry.index.value(), "^", entry.term.value(),
                              " for ", expected.value(), "^", TermAt(expected).value()));
    DQ_CHECK(entry.payload != nullptr);
    expected = expected.Next();
  }
  return entries;
}

void LogView::DropCachedFront() {
  cached_bytes_ -= cache_.front().SizeBytes();
  cache_.pop_front();
}

void LogView::Evict(Index durable) {
  while (cached_bytes_ > cache_bytes_max_ && !cache_.empty() && cache_.front().index <= durable) {
    DQ_CHECK(cache_.front().index < unsubmitted_);
    DropCachedFront();
  }
}

const Configuration& LogView::ConfigAt(Index index) const {
  DQ_CHECK(index >= compacted_.index && index <= last_);
  for (auto mark = configs_.rbegin(); mark != configs_.rend(); ++mark) {
    if (mark->index <= index) return mark->config;
  }
  DQ_CHECK_MSG(false, absl::StrCat("the configuration at index ", index.value(),
                                   " is older than the snapshot that was recovered"));
}

}  // namespace dqueue::raft
