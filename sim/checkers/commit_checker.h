// Checks commitment. A leader commits by counting only entries of its own term (Raft paper 5.4.2),
// only entries that a quorum has acknowledged, and counts its own copy only when it is durable. A
// follower commits only what a leader has committed. After a crash a node has all that it had
// acknowledged.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "raft/raft.h"
#include "raft/types.h"

namespace dqueue::sim {

class SimNode;
class World;

class CommitChecker {
 public:
  explicit CommitChecker(World* world) : world_(world) {}

  void OnBoot(const SimNode& node);
  void AfterStep(const SimNode& node, const raft::Raft& raft);
  void BeforeSend(const SimNode& node, const raft::Message& message);

  // The highest index that leaders of earlier terms have committed.
  raft::Index CommittedBefore(raft::Term term) const;

 private:
  void CheckLeaderCommit(const SimNode& node, const raft::Raft& raft, const raft::View& view);

  struct Promise {
    raft::Term term;
    raft::Index match;
  };
  struct NodeState {
    raft::Index commit;
    raft::Index applied;
    raft::Term term;
    Promise promise;   // in the newest term
    raft::Index kept;  // committed, and acknowledged as on its disk
    raft::Incarnation incarnation;
  };
  World* world_;
  std::vector<NodeState> nodes_;  // by number
  // The highest index that an incarnation of a member acknowledged to the leader of a term.
  using Follower = std::pair<raft::NodeId, raft::Incarnation>;
  std::map<std::pair<raft::Term, Follower>, raft::Index> matches_;
  // The highest index that any leader has committed, and the terms of the entries up to it.
  raft::Index committed_;
  std::map<raft::Term, raft::Index> committed_in_;  // by the term of the leader
  std::map<raft::Index, raft::Term> committed_terms_;
};

}  // namespace dqueue::sim
