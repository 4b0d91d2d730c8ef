// Elections: at most one leader in a term, at most one vote of a member in a term (over crashes
// too), every leader chosen by a quorum of members that may vote, and every leader's log holding
// all that was ever committed (Raft paper figure 3: election safety, leader completeness).
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

class ElectionChecker {
 public:
  explicit ElectionChecker(World* world) : world_(world) {}

  void OnBoot(const SimNode& node);
  void AfterStep(const SimNode& node, const raft::Raft& raft);
  void BeforeSend(const SimNode& node, const raft::Message& message);

  // 0 if nobody led it.
  int LeaderOf(raft::Term term) const;
  raft::Term newest_term() const { return newest_term_; }
  uint64_t elections() const { return leaders_.size(); }

 private:
  void CheckNewLeader(const SimNode& node, const raft::Raft& raft, raft::Term term);

  World* world_;
  struct Leader {
    int node = 0;
    uint64_t boot = 0;
  };
  std::map<raft::Term, Leader> leaders_;
  raft::Term newest_term_;
  // Whom a member (as this incarnation) chose in a term.
  using Voter = std::pair<raft::NodeId, raft::Incarnation>;
  std::map<std::pair<raft::Term, Voter>, raft::NodeId> votes_;
  std::vector<raft::Status> last_status_;  // by node
  std::vector<raft::Term> highest_sent_;   // by node: the term of its newest message
};

}  // namespace dqueue::sim
