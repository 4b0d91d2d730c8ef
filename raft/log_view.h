// What the core knows of the log: the term of every entry (as runs), the configuration in force at
// each place, and the newest entries themselves. Older entries are read back from storage; whatever
// is not durable yet is always held here.
//
//   … compacted | first …… | cached …… | unsubmitted …… last |
//      gone       storage     memory      memory, not yet in an Output
//
// Not thread-safe; owned by the core.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "raft/config.h"
#include "raft/raft.h"
#include "raft/types.h"

namespace dqueue::raft {

class LogView {
 public:
  struct Place {
    Index index;
    Term term;
    friend bool operator==(const Place&, const Place&) = default;
  };

  // `reader` must outlive this.
  LogView(const Recovered& recovered, const LogReader* reader, uint64_t cache_bytes_max);

  Index first_index() const { return compacted_.index.Next(); }
  Index compacted_index() const { return compacted_.index; }
  Index last_index() const { return last_; }
  Term last_term() const { return runs_.empty() ? compacted_.term : runs_.back().term; }
  // 0 below the compaction point and above the end.
  Term TermAt(Index index) const;
  bool Matches(Index index, Term term) const;
  // The last place at or before `index` whose term is at most `term`; the compaction point if there
  // is none above it; `index` itself if that is compacted. Both sides of a refused append use it,
  // so that a conflict costs one round trip for each term instead of one for each entry (Raft
  // paper 5.3, end).
  Place LastAtMost(Index index, Term term) const;

  // `entry` follows the last one, in the same or a later term. A configuration takes effect (R6).
  void Append(Entry entry);
  // Forgets entries from `first` on, and the configurations among them (R6).
  void TruncateFrom(Index first);
  // An installed snapshot takes the place of the whole log.
  void Reset(const SnapshotMeta& meta);
  // Forgets entries up to and including `index`.
  void CompactTo(Index index);

  bool HasUnsubmitted() const { return unsubmitted_ <= last_; }
  // Entries to write, each once.
  std::vector<Entry> TakeUnsubmitted();
  // Entries first … at most last, at least one, at most max_entries and (but for the first)
  // max_bytes. Requires first_index() <= first <= last <= last_index().
  std::vector<Entry> Read(Index first, Index last, uint64_t max_entries, uint64_t max_bytes) const;
  // Drops cached entries that are durable while more than cache_bytes_max are held.
  void Evict(Index durable);

  // The newest configuration; empty before the first. Its entry's index (0: none).
  const Configuration& config() const { return configs_.back().config; }
  Index config_index() const { return configs_.back().index; }
  // In force at `index`; requires compacted_index() <= index <= last_index(), and that no snapshot
  // newer than `index` was recovered.
  const Configuration& ConfigAt(Index index) const;

  const std::vector<TermRun>& runs() const { return runs_; }
  uint64_t cached_bytes() const { return cached_bytes_; }
  Index cached_from() const { return Index(last_.value() + 1 - cache_.size()); }
  Index unsubmitted_from() const { return unsubmitted_; }

 private:
  struct ConfigMark {
    Index index;
    Configuration config;
  };
  void DropCachedFront();

  const LogReader* reader_;
  uint64_t cache_bytes_max_;
  Place compacted_;            // the entry before the first
  std::vector<TermRun> runs_;  // of first_index() … last_, rising in index and term
  Index last_;
  Index unsubmitted_;        // first entry that was in no Output yet; last_ + 1 if none
  std::deque<Entry> cache_;  // the newest entries, up to last_
  uint64_t cached_bytes_ = 0;
  std::vector<ConfigMark> configs_;  // rising; never empty
};

}  // namespace dqueue::raft
