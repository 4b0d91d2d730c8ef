// Commitment: a leader commits by counting only entries of its own term (Raft paper 5.4.2), only
// what a quorum has promised to have on disk, its own copy only when it is durable; followers
// commit only what a leader has committed. And no node comes back from a crash with less than it
// had promised.
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

  // What leaders of terms before this one have committed: its leader must have it.
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
    Promise promise;   // newest term's
    raft::Index kept;  // committed, and promised to be on its disk
    raft::Incarnation incarnation;
  };
  World* world_;
  std::vector<NodeState> nodes_;  // by number
  // Highest success answered by a member (as this incarnation) to the leader of a term.
  using Follower = std::pair<raft::NodeId, raft::Incarnation>;
  std::map<std::pair<raft::Term, Follower>, raft::Index> matches_;
  // What leaders have committed: the highest index, and the terms of all entries up to there that
  // were looked at.
  raft::Index committed_;
  std::map<raft::Term, raft::Index> committed_in_;  // by the term of the leader
  std::map<raft::Index, raft::Term> committed_terms_;
};

}  // namespace dqueue::sim
