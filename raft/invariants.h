// Facts about one core that must hold after every step, and between two steps. Tests and the
// simulator call Check() after each Step() and each TakeOutput(); it ends the process through
// DQ_CHECK when one is broken.
#pragma once

#include <memory>

#include "raft/raft.h"

namespace dqueue::raft {

class Invariants {
 public:
  Invariants();
  ~Invariants();
  // State alone (0 <= match < next, applied <= commit <= last, windows within bounds, terms of runs
  // rising, a leader voted for itself, …) and against the state at the last call (term, commit,
  // applied do not go back; the vote does not change within a term; a leader never truncates; one
  // leader per term).
  void Check(const Raft& raft);

 private:
  struct Previous;
  std::unique_ptr<Previous> previous_;
};

}  // namespace dqueue::raft
