// The four roles. Each struct has only the state that its role needs: a follower has no progress, a
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

// Responses to one election. Only the first response of each member counts.
class Ballot {
 public:
  struct Vote {
    NodeId voter;
    Incarnation incarnation;
    bool granted;
  };
  void Record(NodeId voter, Incarnation incarnation, bool granted);
  bool Won(const Configuration& config) const;
  // True if the members that have not responded cannot make it win.
  bool Lost(const Configuration& config) const;
  const std::vector<Vote>& votes() const { return votes_; }

 private:
  const Vote* Find(NodeId voter) const;
  // R12: the vote's incarnation counts in the configuration.
  static bool Counts(const Configuration& config, const Vote& vote);
  std::vector<Vote> votes_;
};

struct Follower {
  NodeId leader;           // 0: unknown, or its connection broke
  Time leader_contact;     // time of the last request from `leader`
  Time election_deadline;  // when this node starts an election
  ReadId read_id;          // newest confirmation round of `leader` that this node answered
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
  // The disk stalls, so this node cannot help to commit: do not wait for proposals in flight.
  bool stalled = false;
  bool timeout_now_sent = false;
};

struct Leader {
  std::vector<Progress> peers;  // all other members, sorted by id
  Index noop;                   // index of the first entry of this term
  Time next_heartbeat;

  std::deque<PendingProposal> proposals;  // appended but not committed, by index
  uint64_t proposal_bytes = 0;            // sum over `proposals`

  // Confirmation rounds (thesis 6.4): at most one is running.
  ReadId read_id;     // of the newest round
  Index round_index;  // commit index at the start of the round
  std::vector<uint64_t>
      round_reads;  // ids of reads in the running round; empty: no round is running
  std::vector<uint64_t> waiting_reads;  // ids of reads for the next round

  std::optional<LeadershipTransfer> transfer;
  bool stall_transfer_tried = false;  // true after one attempt; reset when the stall ends
  // No attempt to leave a full disk before this time; reset when the shortage of space ends.
  Time full_transfer_retry_at;

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
