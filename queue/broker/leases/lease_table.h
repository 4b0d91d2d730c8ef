// The leases of one leadership, by job. Lives on the leader, on monotonic time, and is not
// replicated: losing all of it may repeat work, and cannot lose or resurrect a job.
//
// A lease is LEASED, or ACKING while a command that ends it (complete, fail, expire) is in flight:
// an ACKING job is never leased again, even when its timer fires, until the command's outcome is
// known. Commands are counted, because a worker may repeat its request.
//
// Costs: Find O(1); everything else O(log n) for n leases. No table is rehashed as a whole. Used by
// the broker only, on the loop's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "queue/state/state_machine.h"
#include "raft/types.h"

namespace dqueue::queue {

// The holder of a lease, for reports.
struct LeaseOwner {
  uint32_t worker = 0;  // WorkerRegistry's number
  uint32_t queue = 0;   // JobTimes' number
  // When this leader granted it; min(): another leader did.
  Time granted = Time::min();
};

struct LeaseInfo {
  JobRef job;
  LeaseToken token;
  LeaseOwner owner;
  Time expires;
  // The state machine holds the job for this lease. False: the job waits for a retry, or the lease
  // has ended in the log, while a late command for it is in flight.
  bool held = true;
  // LeaseRequests' number of the call that it was granted to; 0: the call had no lease_request_id.
  uint32_t request = 0;
  // How many answers have carried the lease. 0: another leader granted it.
  uint32_t delivery = 0;
  // The holder used its token (it extended the lease, or this leader adopted it): it has an answer.
  bool used = false;
  uint32_t commands = 0;  // that end a lease of the job and are in flight
  uint64_t number = 0;    // of this entry: never 0, never used again; kept by TakeOver
  bool acking() const { return commands > 0; }
};

class LeaseTable {
 public:
  LeaseTable();
  ~LeaseTable();

  // New leader, new term: forgets everything; tokens count from (term, 1).
  void Begin(raft::Term term);
  // The job must not be in the table. The token is greater than any of this term and of earlier
  // terms. The lease has been delivered once. The result is valid until the next change.
  const LeaseInfo& Grant(JobRef job, const LeaseOwner& owner, Time expires, uint32_t request = 0);
  // Takes over, with its token, a lease that this leader did not grant or has already ended. The
  // job must not be in the table.
  void Adopt(JobRef job, LeaseToken token, const LeaseOwner& owner, Time expires, bool held);
  // Replaces the job's lease by one with a greater token, of an earlier leader. Hold and commands
  // in flight are kept.
  void TakeOver(JobRef job, LeaseToken token, const LeaseOwner& owner, Time expires);
  // Null: the job is not leased. Valid until the next change.
  const LeaseInfo* Find(JobRef job) const;
  // The highest token whose lease ended in this term without being written to the log (released, or
  // its job was cancelled). A late command must have a greater one. {0,0}: none is remembered.
  LeaseToken Fence(JobRef job) const;
  void Extend(JobRef job, Time expires);
  // One more answer carries the lease.
  void Redeliver(JobRef job);
  // The holder used its token.
  void SetUsed(JobRef job);
  // ACKING from the first command in flight until the last is decided.
  void AddCommand(JobRef job);
  void RemoveCommand(JobRef job);
  // Whether the state machine holds the job.
  void SetHeld(JobRef job, bool held = true);
  // Ends the lease. `remember` keeps its token as Fence.
  void Remove(JobRef job, bool remember);
  void ForgetFence(JobRef job);

  // When the next LEASED (not ACKING) lease ends; Time::max() if none.
  Time NextExpiry() const;
  // Up to max leases that ended at or before now and are not ACKING, earliest first.
  std::vector<LeaseInfo> Expired(Time now, size_t max) const;
  size_t size() const;
  // Forgets all leases and fences. The result is what there was: very many leases take long to
  // free.
  [[nodiscard]] std::shared_ptr<void> TakeAll();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dqueue::queue
