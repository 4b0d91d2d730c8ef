// The log and hard state of one node in memory. A completed Write() survives a crash; nothing else
// does. Used by the tests of raft/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "raft/raft.h"

namespace dqueue::raft::test {

inline constexpr ClusterId kCluster{0xc1, 0x05};

// Members 1 … n with the names "n1" …, all voters. If `bound`, their incarnations are 100 + id.
Configuration MakeConfiguration(int n, bool bound = false);
Incarnation FirstIncarnation(NodeId id);
Payload Text(const std::string& text);

class FakeDisk : public LogReader {
 public:
  FakeDisk(NodeId self, Incarnation incarnation);

  // Stores the first entry and hard state of a new cluster's member.
  void Format(const Configuration& config);
  // Stores the writes of one Output atomically.
  void Write(const std::optional<HardState>& hard_state, const std::optional<SnapshotMeta>& install,
             const std::vector<Entry>& append);
  void AddSnapshot(const SnapshotMeta& meta, Index compact_to);
  Recovered Recover() const;

  std::vector<Entry> ReadEntries(Index first, Index last, uint64_t max_bytes) const override;

  const HardState& hard_state() const { return hard_state_; }
  Index last_index() const { return Index(compacted_.value() + entries_.size()); }
  Index compacted_index() const { return compacted_; }
  Incarnation incarnation() const { return incarnation_; }
  const SnapshotMeta& snapshot() const { return snapshot_; }
  // nullptr if `index` is compacted or above the end.
  const Entry* Find(Index index) const;
  int reads() const { return reads_; }

 private:
  NodeId self_;
  Incarnation incarnation_;
  HardState hard_state_;
  Index compacted_;
  Term compacted_term_;
  SnapshotMeta snapshot_;
  std::vector<Entry> entries_;  // from compacted_ + 1
  mutable int reads_ = 0;
};

}  // namespace dqueue::raft::test
