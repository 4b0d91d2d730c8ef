#include "storage/log/entry_index.h"

#include <algorithm>

#include "base/check.h"
#include "storage/log/record.h"

namespace dqueue::storage {

void EntryIndex::Clear(raft::Index next) {
  first_ = next;
  locations_.clear();
  runs_.clear();
  record_bytes_ = 0;
}

void EntryIndex::Append(raft::Index index, const std::shared_ptr<Segment>& segment,
                        Location location) {
  if (index < first_) Clear(index);
  DQ_CHECK_MSG(index.value() <= first_.value() + locations_.size(),
               "entry " + std::to_string(index.value()) + " leaves a gap");
  while (first_.value() + locations_.size() > index.value()) {
    record_bytes_ -= RecordBytes(locations_.back().length);
    locations_.pop_back();
  }
  while (!runs_.empty() && runs_.back().first >= index) runs_.pop_back();
  DQ_CHECK(runs_.empty() || runs_.back().segment->sequence <= segment->sequence);
  if (runs_.empty() || runs_.back().segment != segment) runs_.push_back({index, segment});
  locations_.push_back(location);
  record_bytes_ += RecordBytes(location.length);
}

void EntryIndex::DropTo(raft::Index index) {
  if (index < first_) return;
  if (locations_.empty() || index >= last()) {
    Clear(std::max(index.Next(), first_));
    return;
  }
  while (first_ <= index) {
    record_bytes_ -= RecordBytes(locations_.front().length);
    locations_.pop_front();
    first_ = first_.Next();
  }
  while (runs_.size() > 1 && runs_[1].first <= first_) runs_.pop_front();
  runs_.front().first = first_;
}

std::vector<EntryIndex::Range> EntryIndex::Find(raft::Index first, raft::Index last,
                                                uint64_t max_bytes) const {
  DQ_CHECK_MSG(!locations_.empty() && first >= first_ && first <= last && last <= this->last(),
               "entries " + std::to_string(first.value()) + ".." + std::to_string(last.value()) +
                   " of " + std::to_string(first_.value()) + ".." +
                   std::to_string(this->last().value()));
  std::vector<Range> out;
  auto run = std::prev(std::upper_bound(runs_.begin(), runs_.end(), first,
                                        [](raft::Index i, const Run& r) { return i < r.first; }));
  uint64_t bytes = 0;
  for (raft::Index i = first; i <= last; i = i.Next()) {
    const Location location = locations_[i.value() - first_.value()];
    DQ_CHECK(location.length >= kEntryPrefixBytes);
    const uint64_t size = raft::Entry{}.SizeBytes() + location.length - kEntryPrefixBytes;
    if (i > first && bytes + size > max_bytes) break;
    bytes += size;
    const bool next_run = std::next(run) != runs_.end() && std::next(run)->first <= i;
    if (next_run) ++run;
    if (out.empty() || next_run) out.push_back({run->segment, i, {}});
    out.back().locations.push_back(location);
  }
  return out;
}

}  // namespace dqueue::storage
