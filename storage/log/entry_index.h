// The location on disk of each log entry, at 8 bytes an entry. Not thread-safe; the log's mutex
// guards it.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "raft/types.h"
#include "storage/files/file_system.h"

namespace dqueue::storage {

// An open segment file. Shared, so that a segment can be removed while a reader uses it.
struct Segment {
  std::string path;
  uint64_t sequence = 0;
  uint64_t base_lsn = 0;
  uint32_t salt = 0;
  mutable std::mutex mu;  // guards reader
  std::unique_ptr<File> reader;
};

class EntryIndex {
 public:
  struct Location {
    uint32_t offset = 0;  // of the record in its segment
    uint32_t length = 0;  // of the record's payload
  };
  // Locations of consecutive entries in one segment.
  struct Range {
    std::shared_ptr<Segment> segment;
    raft::Index first;
    std::vector<Location> locations;
  };

  // Removes all entries. The next Append() may use `next`.
  void Clear(raft::Index next);
  // Requires index <= last() + 1. Replaces the entry at `index` and removes all entries after it.
  void Append(raft::Index index, const std::shared_ptr<Segment>& segment, Location location);
  // Removes entries up to and including `index`.
  void DropTo(raft::Index index);

  bool empty() const { return locations_.empty(); }
  size_t size() const { return locations_.size(); }
  raft::Index first() const { return first_; }
  raft::Index last() const { return raft::Index(first_.value() + locations_.size() - 1); }
  uint64_t record_bytes() const { return record_bytes_; }
  // The segment of the first entry; nullptr if there are no entries.
  const Segment* OldestSegment() const {
    return runs_.empty() ? nullptr : runs_.front().segment.get();
  }
  // Locations of entries from `first` to at most `last`: at least one, then as many as fit
  // max_bytes (Entry::SizeBytes). Requires this->first() <= first <= last <= this->last().
  std::vector<Range> Find(raft::Index first, raft::Index last, uint64_t max_bytes) const;

 private:
  struct Run {
    raft::Index first;
    std::shared_ptr<Segment> segment;
  };
  raft::Index first_ = raft::Index(1);
  std::deque<Location> locations_;
  std::deque<Run> runs_;  // by first entry; also by age of the segment
  uint64_t record_bytes_ = 0;
};

}  // namespace dqueue::storage
