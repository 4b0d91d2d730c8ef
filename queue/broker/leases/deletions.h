// Deletions in flight. A job is not leased while a command that deletes it is in flight: the
// deletion would take it from its worker. If the job is taken from the ready order meanwhile, it is
// kept back, held by the state machine, until the last such command is decided. Used on the loop's
// thread.
#pragma once

#include <cstdint>

#include "absl/container/btree_map.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

class LeaseWaits;

class Deletions {
 public:
  Deletions(const StateMachine& state, LeaseWaits& waits) : state_(state), waits_(waits) {}

  // A command that deletes the job is in flight. Several may be.
  void Add(JobRef job, uint64_t job_sequence);
  // The command is decided.
  void Settle(uint64_t job_sequence);
  bool Contains(uint64_t job_sequence) const { return deletions_.contains(job_sequence); }
  // True if the job, just taken from the ready order, is being deleted; then it is kept back.
  bool KeepBack(JobRef job);
  // The log ended the hold of the job.
  void OnHoldEnded(uint64_t job_sequence) {
    if (!deletions_.empty()) NoteHoldEnded(job_sequence);
  }
  void Clear() { deletions_.clear(); }

 private:
  struct Deletion {
    JobRef job;
    uint32_t commands = 0;
    bool kept_back = false;
  };

  void NoteHoldEnded(uint64_t job_sequence);

  const StateMachine& state_;
  LeaseWaits& waits_;
  absl::btree_map<uint64_t, Deletion> deletions_;  // by the job's sequence
};

}  // namespace dqueue::queue
