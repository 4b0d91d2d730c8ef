// Checks elections (Raft paper figure 3: election safety, leader completeness). A term has at most
// one leader. A member grants at most one vote in a term, also across crashes. A leader has the
// votes of a quorum of voters. A leader's log has all committed entries.
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

  // The number of the node that led this term, or 0 if no node did.
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
  // The candidate that an incarnation of a member voted for in a term.
  using Voter = std::pair<raft::NodeId, raft::Incarnation>;
  std::map<std::pair<raft::Term, Voter>, raft::NodeId> votes_;
  std::vector<raft::Status> last_status_;  // by node
  std::vector<raft::Term> highest_sent_;   // by node: the highest term that it sent
};

}  // namespace dqueue::sim
