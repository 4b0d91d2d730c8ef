// Where each entry of the log is on disk: 8 bytes an entry. Not thread-safe; the log guards it.
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

// A segment as readers use it. Shared, so that one may be removed while it is being read.
struct Segment {
  std::string path;
  uint64_t sequence = 0;
  uint64_t base_lsn = 0;
  uint32_t salt = 0;
  mutable std::mutex mu;  // of reader
  std::unique_ptr<File> reader;
};

class EntryIndex {
 public:
  struct Place {
    uint32_t offset = 0;  // of the record in its segment
    uint32_t length = 0;  // of the record's payload
  };
  // Consecutive entries in one segment.
  struct Stretch {
    std::shared_ptr<Segment> segment;
    raft::Index first;
    std::vector<Place> places;
  };

  // The next entry will be `next`; nothing is here.
  void Clear(raft::Index next);
  // At most one above the last; supersedes it and all after.
  void Append(raft::Index index, const std::shared_ptr<Segment>& segment, Place place);
  // Forgets the entries up to and including `index`.
  void DropTo(raft::Index index);

  bool empty() const { return places_.empty(); }
  size_t size() const { return places_.size(); }
  raft::Index first() const { return first_; }
  raft::Index last() const { return raft::Index(first_.value() + places_.size() - 1); }
  uint64_t record_bytes() const { return record_bytes_; }
  // The oldest segment that an entry is in; nullptr if there is none.
  const Segment* OldestSegment() const {
    return runs_.empty() ? nullptr : runs_.front().segment.get();
  }
  // Entries first … at most last, at least one, stopping before max_bytes (Entry::SizeBytes) is
  // passed. Requires this->first() <= first <= last <= this->last().
  std::vector<Stretch> Find(raft::Index first, raft::Index last, uint64_t max_bytes) const;

 private:
  struct Run {
    raft::Index first;
    std::shared_ptr<Segment> segment;
  };
  raft::Index first_ = raft::Index(1);
  std::deque<Place> places_;
  std::deque<Run> runs_;  // by first; segments in order of age
  uint64_t record_bytes_ = 0;
};

}  // namespace dqueue::storage
