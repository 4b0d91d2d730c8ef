// The four roles, each with exactly what it alone needs: a follower has no progress to misuse, a
// leader no election timer.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <variant>
#include <vector>

#include "raft/config.h"
#include "raft/progress.h"
#include "raft/types.h"

namespace dqueue::raft {

// Who has answered an election, and how. The first answer of each member counts.
class Ballot {
 public:
  struct Vote {
    NodeId voter;
    Incarnation incarnation;
    bool granted;
  };
  void Record(NodeId voter, Incarnation incarnation, bool granted);
  bool Won(const Configuration& config) const;
  // No further answers can win it.
  bool Lost(const Configuration& config) const;
  const std::vector<Vote>& votes() const { return votes_; }

 private:
  const Vote* Find(NodeId voter) const;
  std::vector<Vote> votes_;
};

struct Follower {
  NodeId leader;           // 0: not known, or its connection broke
  Time leader_contact;     // with `leader`
  Time election_deadline;  // when to ask for an election
  ReadId read_id;          // newest confirmation round of `leader` that was answered
};

struct PreCandidate {
  Ballot ballot;
  Time started;
  Time election_deadline;
};

struct Candidate {
  Ballot ballot;
  Time election_deadline;
};

struct PendingProposal {
  uint64_t id;
  Index index;
  uint64_t bytes;
};

struct LeadershipTransfer {
  NodeId target;
  Time deadline;
  // The disk stalls: this node cannot help to commit, so do not wait for what is in flight.
  bool stalled = false;
  bool told = false;  // TimeoutNow has been sent
};

struct Leader {
  std::vector<Progress> peers;  // all other members, by id
  Index noop;                   // the first entry of this term
  Time next_heartbeat;

  std::deque<PendingProposal> proposals;  // appended, not committed; by index
  uint64_t proposal_bytes = 0;            // of `proposals`

  // Confirmation rounds (thesis 6.4): at most one under way.
  ReadId read_id;                       // of the newest round
  Index round_index;                    // commit index when it began
  std::vector<uint64_t> round_reads;    // waiting for it; empty: none under way
  std::vector<uint64_t> waiting_reads;  // for the next one

  std::optional<LeadershipTransfer> transfer;
  // Tried once for each stall, and once for each time the disk runs full.
  bool stall_transfer_tried = false;
  bool full_transfer_tried = false;

  Progress* Find(NodeId id) {
    for (Progress& peer : peers) {
      if (peer.id() == id) return &peer;
    }
    return nullptr;
  }
  const Progress* Find(NodeId id) const { return const_cast<Leader*>(this)->Find(id); }
};

using RoleState = std::variant<Follower, PreCandidate, Candidate, Leader>;

}  // namespace dqueue::raft
