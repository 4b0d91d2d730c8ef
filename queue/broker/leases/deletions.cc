#include "queue/broker/leases/deletions.h"

#include "base/check.h"
#include "queue/broker/leases/lease_waits.h"
#include "queue/broker/mutants.h"

namespace dqueue::queue {

void Deletions::Add(JobRef job, uint64_t job_sequence) {
  Deletion& deletion = deletions_[job_sequence];
  deletion.job = job;
  ++deletion.commands;
}

void Deletions::Settle(uint64_t job_sequence) {
  const auto it = deletions_.find(job_sequence);
  DQ_CHECK(it != deletions_.end() && it->second.commands > 0);
  if (--it->second.commands > 0) return;
  const Deletion deletion = it->second;
  deletions_.erase(it);
  if (deletion.kept_back) waits_.ReleaseJob(deletion.job);
}

bool Deletions::KeepBack(JobRef job) {
  if (deletions_.empty() || DQ_MUTANT(mutants::kDeletingNotGuarded)) return false;
  const auto it = deletions_.find(state_.Sequence(job));
  if (it == deletions_.end()) return false;
  it->second.kept_back = true;
  return true;
}

void Deletions::NoteHoldEnded(uint64_t job_sequence) {
  const auto it = deletions_.find(job_sequence);
  if (it != deletions_.end()) it->second.kept_back = false;
}

}  // namespace dqueue::queue
