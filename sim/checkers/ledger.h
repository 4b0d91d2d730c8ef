// The committed log as the whole cluster has seen it: the first node to apply an index writes it
// down, and every other application, by any node in any life, must be of the same entry and lead to
// the same state (state machine safety, Raft paper figure 3). New commands go on to the job model.
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
  // Snapshots that were installed from other nodes.
  uint64_t restores() const { return restores_; }
  // When it was first applied.
  Time TimeOf(raft::Index index) const { return lines_.at(index.value() - 1).at; }

 private:
  struct Line {
    raft::Term term;
    uint64_t hash = 0;  // of kind and payload
    uint64_t digest = 0;
    Time at{};
  };
  World* world_;
  std::vector<Line> lines_;
  uint64_t restores_ = 0;
  std::vector<raft::Index> applied_;  // by node, in its present life
};

}  // namespace dqueue::sim
