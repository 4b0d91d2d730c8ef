#include "raft/testing/fake_disk.h"

#include <utility>

#include "base/check.h"

namespace dqueue::raft::test {

Incarnation FirstIncarnation(NodeId id) { return Incarnation(100 + id.value()); }

Configuration MakeConfiguration(int n, bool bound) {
  Configuration config;
  for (int i = 1; i <= n; ++i) {
    const NodeId id(i);
    config.voters.push_back({.id = id,
                             .name = "n" + std::to_string(i),
                             .address = "host" + std::to_string(i) + ":7000",
                             .incarnation = bound ? FirstIncarnation(id) : Incarnation()});
  }
  return config;
}

Payload Text(const std::string& text) { return std::make_shared<const std::string>(text); }

FakeDisk::FakeDisk(NodeId self, Incarnation incarnation) : self_(self), incarnation_(incarnation) {}

void FakeDisk::Format(const Configuration& config) {
  DQ_CHECK(entries_.empty());
  Write(HardState{.term = Term(1), .vote = NodeId(), .commit = Index()}, std::nullopt,
        {BootstrapEntry(config)});
  hard_state_.commit = Index(1);
}

void FakeDisk::Write(const std::optional<HardState>& hard_state,
                     const std::optional<SnapshotMeta>& install, const std::vector<Entry>& append) {
  if (hard_state) {
    DQ_CHECK(hard_state->term >= hard_state_.term && hard_state->commit >= hard_state_.commit);
    DQ_CHECK(hard_state->commit <= last_index());
    hard_state_ = *hard_state;
  }
  if (install) {
    DQ_CHECK(install->index > snapshot_.index);
    snapshot_ = *install;
    compacted_ = install->index;
    compacted_term_ = install->term;
    entries_.clear();
  }
  for (const Entry& entry : append) {
    DQ_CHECK(entry.index > compacted_ && entry.index <= last_index().Next());
    DQ_CHECK(entry.term <= hard_state_.term);
    entries_.resize(entry.index.value() - compacted_.value() - 1);
    entries_.push_back(entry);
  }
}

void FakeDisk::AddSnapshot(const SnapshotMeta& meta, Index compact_to) {
  DQ_CHECK(meta.index <= last_index() && compact_to <= meta.index);
  if (meta.index > snapshot_.index) snapshot_ = meta;
  if (compact_to <= compacted_) return;
  compacted_term_ = Find(compact_to)->term;
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<ptrdiff_t>(compact_to.value() -
                                                                             compacted_.value()));
  compacted_ = compact_to;
}

Recovered FakeDisk::Recover() const {
  Recovered recovered;
  recovered.cluster = kCluster;
  recovered.self = self_;
  recovered.incarnation = incarnation_;
  recovered.hard_state = hard_state_;
  recovered.compacted_index = compacted_;
  recovered.compacted_term = compacted_term_;
  recovered.last_index = last_index();
  recovered.snapshot = snapshot_;
  for (const Entry& entry : entries_) {
    if (recovered.runs.empty() || recovered.runs.back().term != entry.term) {
      recovered.runs.push_back({entry.index, entry.term});
    }
    if (entry.kind == EntryKind::kConfig) recovered.config_entries.push_back(entry);
  }
  return recovered;
}

std::vector<Entry> FakeDisk::ReadEntries(Index first, Index last, uint64_t max_bytes) const {
  ++reads_;
  std::vector<Entry> entries;
  uint64_t bytes = 0;
  for (Index index = first; index <= last; index = index.Next()) {
    const Entry* entry = Find(index);
    DQ_CHECK_MSG(entry != nullptr, "read of an entry that is not durable");
    bytes += entry->SizeBytes();
    if (!entries.empty() && bytes > max_bytes) break;
    entries.push_back(*entry);
  }
  return entries;
}

const Entry* FakeDisk::Find(Index index) const {
  if (index <= compacted_ || index > last_index()) return nullptr;
  return &entries_[index.value() - compacted_.value() - 1];
}

}  // namespace dqueue::raft::test
