// Checks facts about one core that must hold after every step. Tests and the simulator call Check()
// after each Step() and each TakeOutput(). A broken fact fails a DQ_CHECK.
#pragma once

#include <memory>

#include "raft/raft.h"

namespace dqueue::raft {

struct Leader;

class Invariants {
 public:
  Invariants();
  ~Invariants();
  // Checks the state (0 <= match < next, applied <= commit <= last, windows within bounds, rising
  // terms, a leader voted for itself, …) and the change since the last call (term, commit and
  // applied do not decrease; the vote does not change within a term; a leader never truncates; one
  // leader per term).
  void Check(const Raft& raft);

 private:
  struct Previous;
  static void CheckState(const RaftImpl& r);
  static void CheckLeader(const RaftImpl& r, const Leader& leader);
  void CheckTransition(const RaftImpl& r) const;
  void Remember(const RaftImpl& r);

  std::unique_ptr<Previous> previous_;
};

}  // namespace dqueue::raft
