// Who holds which job: the only state beside the log that matters, and never truth. Lives on the
// leader, on monotonic time. Losing all of it may repeat work and can never lose or resurrect a
// job.
//
// A lease is LEASED, or ACKING while a command that ends it (complete, fail, expire) is in flight:
// an ACKING job is never leased again, even when its timer fires, until the command's outcome is
// known.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "queue/state_machine.h"
#include "raft/types.h"

namespace dqueue::queue {

struct LeaseInfo {
  JobRef job;
  LeaseToken token;
  std::string worker_id;
  raft::Time expires;
  bool acking = false;
};

class LeaseTable {
 public:
  LeaseTable();
  ~LeaseTable();

  // New leader, new term: forgets everything; tokens count from (term, 1).
  void Begin(raft::Term term);
  // The job must not be in the table. The token is greater than any of this term and of earlier
  // terms.
  LeaseToken Grant(JobRef job, const std::string& worker_id, raft::Time expires);
  // Takes over a lease of an earlier term with its token. The job must not be in the table.
  void Adopt(JobRef job, LeaseToken token, const std::string& worker_id, raft::Time expires);
  // Null if nobody holds the job. Valid until the next change.
  const LeaseInfo* Find(JobRef job) const;
  // The highest token that was granted in this term and given back unused, which a late command
  // must exceed; {0,0} if none is remembered.
  LeaseToken Fence(JobRef job) const;
  void Extend(JobRef job, raft::Time expires);
  void SetAcking(JobRef job, bool acking);
  // Ends it; `remember` keeps its token as Fence (a release).
  void Remove(JobRef job, bool remember);
  void ForgetFence(JobRef job);

  // When the next LEASED (not ACKING) lease ends; Time::max() if none.
  raft::Time NextExpiry() const;
  // Up to max leases that ended at or before now and are not ACKING, earliest first.
  std::vector<LeaseInfo> Expired(raft::Time now, size_t max) const;
  size_t size() const;
  void Clear();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dqueue::queue
