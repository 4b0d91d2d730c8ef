// The committed log of the whole cluster. The first node that applies an index records the entry
// and the resulting state digest here. Every later application of that index, by any node, must
// have the same entry and digest (state machine safety, Raft paper figure 3). New entries go to the
// job model.
#pragma once

#include <cstdint>
#include <vector>

#include "raft/raft.h"
#include "raft/types.h"
#include "sim/profile.h"

namespace dqueue::sim {

class SimNode;
class World;

class Ledger {
 public:
  explicit Ledger(World* world) : world_(world) {}

  void OnBoot(const SimNode& node);
  void AfterApply(const SimNode& node, const raft::Entry& entry, uint64_t digest);
  void AfterRestore(const SimNode& node, const raft::SnapshotMeta& meta, uint64_t digest);

  // The highest index that any node has applied.
  raft::Index last() const { return raft::Index(lines_.size()); }
  raft::Term TermAt(raft::Index index) const { return lines_.at(index.value() - 1).term; }
  // How many snapshots nodes installed from other nodes.
  uint64_t restores() const { return restores_; }
  // When the entry was first applied.
  Time TimeOf(raft::Index index) const { return lines_.at(index.value() - 1).at; }

 private:
  struct Line {
    raft::Term term;
    uint64_t hash = 0;  // over kind and payload
    uint64_t digest = 0;
    Time at{};
  };
  World* world_;
  std::vector<Line> lines_;
  uint64_t restores_ = 0;
  std::vector<raft::Index> applied_;  // by node, since its last boot
};

}  // namespace dqueue::sim
