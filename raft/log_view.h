// The core's view of the log: the term of every entry (as runs), the configuration in force at each
// index, and the newest entries. Older entries are read back from storage. Entries that are not
// durable are always in memory.
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
  struct EntryId {
    Index index;
    Term term;
    friend bool operator==(const EntryId&, const EntryId&) = default;
  };

  // `reader` must outlive this.
  LogView(const Recovered& recovered, const LogReader* reader, uint64_t cache_bytes_max);

  Index first_index() const { return compacted_.index.Next(); }
  Index compacted_index() const { return compacted_.index; }
  Index last_index() const { return last_; }
  Term last_term() const { return runs_.empty() ? compacted_.term : runs_.back().term; }
  // 0 below the compaction point and above the end of the log.
  Term TermAt(Index index) const;
  bool Matches(Index index, Term term) const;
  // The last entry at or before `index` whose term is at most `term`: where this log may match
  // another log that has (index, term). If no entry qualifies, the compaction point; if `index` is
  // compacted, `index` itself. Leader and follower use it after a rejected append, so that a
  // conflict costs one round trip for each term, not for each entry (Raft paper, end of 5.3).
  EntryId FindConflictByTerm(Index index, Term term) const;

  // Requires entry.index == last_index() + 1 and entry.term >= last_term(). A configuration takes
  // effect (R6).
  void Append(Entry entry);
  // Removes the entries from `first` on, and undoes the configurations among them (R6).
  void TruncateFrom(Index first);
  // Replaces the whole log by an installed snapshot.
  void Reset(const SnapshotMeta& meta);
  // Discards entries up to and including `index`.
  void CompactTo(Index index);

  bool HasUnsubmitted() const { return unsubmitted_ <= last_; }
  // Returns the entries that were in no Output yet.
  std::vector<Entry> TakeUnsubmitted();
  // Returns entries from `first` to at most `last`: at least one, at most max_entries; all after
  // the first fit max_bytes. Requires first_index() <= first <= last <= last_index().
  std::vector<Entry> Read(Index first, Index last, uint64_t max_entries, uint64_t max_bytes) const;
  // Drops durable entries from the cache while it holds more than cache_bytes_max.
  void Evict(Index durable);

  // The newest configuration and the index of its entry. Empty and 0 if the log has none.
  const Configuration& config() const { return configs_.back().config; }
  Index config_index() const { return configs_.back().index; }
  // The configuration in force at `index`. Requires compacted_index() <= index <= last_index() and
  // index >= the index of the recovered snapshot.
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
  EntryId compacted_;          // the last compacted entry
  std::vector<TermRun> runs_;  // cover first_index() to last_; index and term rise
  Index last_;
  Index unsubmitted_;        // first entry that was in no Output yet; last_ + 1 if none
  std::deque<Entry> cache_;  // the newest entries, up to last_
  uint64_t cached_bytes_ = 0;
  std::vector<ConfigMark> configs_;  // index rises; never empty
};

}  // namespace dqueue::raft
