// Grants are the leases of this leadership: which tokens are valid for which jobs, and what ends
// them.
//
// A worker proves that it holds a job by the token of its lease. A token in the lease table is
// valid until its lease ends. A token of an earlier leader, which this leader does not know, is
// adopted if no newer lease of the job is known: here, among the fences, or in the log. A token of
// this term that is not in the table is stale.
//
// An answer that carries leases may be lost, and its caller may repeat the call and get the same
// leases again. Whoever gets the last answer holds them. So taking back an answer names its
// delivery and loses to a later one.
//
// A lease ends when it is released, when the log ends it (complete, fail, expire, cancel, delete),
// or when the log refuses its token. While a command that ends a lease is in flight the job is not
// leased again, whatever the timer says.
//
// Owns the lease table. Nothing here is replicated: losing all of it may repeat work, and cannot
// lose a job. Used on the loop's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "dqueue/v1/command.pb.h"
#include "dqueue/v1/job.pb.h"
#include "queue/api/error.h"
#include "queue/api/key.h"
#include "queue/broker/command.h"
#include "queue/broker/elsewhere.h"
#include "queue/broker/leases/deletions.h"
#include "queue/broker/leases/lease_requests.h"
#include "queue/broker/leases/lease_table.h"
#include "queue/broker/leases/lease_waits.h"
#include "queue/broker/options.h"
#include "queue/broker/reports/job_times.h"
#include "queue/broker/reports/worker_registry.h"
#include "queue/state/state_machine.h"
#include "raft/types.h"

namespace dqueue::queue {

// A job and a token that a worker presents for it.
struct Claim {
  JobRef job;
  JobView view;
  LeaseToken token;
};

class Grants {
 public:
  Grants(const BrokerOptions& options, StateMachine& state, Deletions& deletions, LeaseWaits& waits,
         LeaseRequests& requests, WorkerRegistry& workers, JobTimes& times);

  // A leadership begins or ends: all leases are forgotten.
  void Begin(raft::Term term);
  void Clear(Elsewhere* elsewhere);
  size_t size() const { return table_.size(); }
  // Null: the job is not leased. Valid until the next change.
  const LeaseInfo* Find(JobRef job) const { return table_.Find(job); }

  // True if the job, just taken from the ready order, must not be leased now, because a command
  // that ends a lease of it, or deletes it, is in flight. It is kept back until that is decided.
  bool KeepBack(JobRef job);
  // Leases a job that was taken from the ready order. request: of LeaseRequests; 0: none.
  const LeaseInfo& Grant(Time now, JobRef job, const JobView& view, uint32_t worker,
                         std::optional<Duration> duration, uint32_t request);
  // One more answer carries the lease of the job.
  void Redeliver(JobRef job) { table_.Redeliver(job); }
  // Adds the lease to a job that is shown to a caller.
  void FillLease(Time now, const LeaseInfo& lease, v1::Job* job) const;

  // The job and token that the item names; or why there are none for this caller.
  template <class Item>
  std::optional<Error> FindClaim(const Item& item, const QueueAccessPtr& access,
                                 Claim* claim) const;
  // Checks that a command may end the lease of this unfinished job with this token. If so, marks
  // the lease ACKING and sets *lease; else returns why not.
  std::optional<Error> BeginEnding(Time now, int64_t wall_ms, const Claim& claim, uint32_t worker,
                                   const LeaseInfo** lease);
  // Extends a lease, or ends it and returns the job to the ready order. Nullopt: done.
  std::optional<Error> Extend(Time now, int64_t wall_ms, const Claim& claim, uint32_t worker,
                              Time expires);
  // delivery: of the answer that is taken back (LeaseInfo::delivery). Refused if another answer
  // carried the lease since, or its holder used it. 0: the holder itself releases.
  std::optional<Error> Release(Time now, const Claim& claim, uint32_t worker,
                               uint32_t delivery = 0);

  // When the next lease that no command is about to end expires; Time::max(): none.
  Time NextExpiry() const { return table_.NextExpiry(); }
  // Up to `max` expired leases, earliest first.
  std::vector<LeaseInfo> Expired(Time now, size_t max) const { return table_.Expired(now, max); }
  // Fills the command that ends an expired lease and marks the lease ACKING. Nullopt: no command
  // is needed.
  std::optional<CommandRef> BeginExpiry(Time now, const LeaseInfo& lease, log::v1::Expire* message);

  // The command that was to end a lease was applied with effect: counts the end, for reports.
  void Count(Time now, const LeaseEnding& ending);
  // The command is decided. applied: the log applied it. False: it was not proposed, was refused,
  // or its outcome is unknown.
  void Settle(const LeaseEnding& ending, bool applied);

  void OnHoldEnded(const HoldEnded& event);
  void OnPurged(const JobPurged& event);

  // Takes the lease out of the table. remember: its token stays as a fence. release: the job
  // returns to the ready order.
  void EndLease(JobRef job, bool remember, bool release);
  // How long a job has been held, for the log, in ms: rounded up, at least 1; -1 if another leader
  // granted the lease.
  static int64_t HeldMs(Time now, const LeaseInfo& lease);

 private:
  std::optional<Error> FindJob(std::string_view id, uint64_t token_job,
                               const QueueAccessPtr& access, Claim* claim) const;
  // Whether a token that is not in the table is still valid for the live job. ended_too: also
  // accepts a token whose lease has ended in the log, for repeated commands.
  std::optional<Error> CheckAdoption(const Claim& claim, bool ended_too) const;
  // Adds the lease to the table, after CheckAdoption. False, without effect, if hold_required and
  // the job cannot be held.
  bool Adopt(Time now, const Claim& claim, uint32_t worker, bool hold_required);
  // Adopts a token whose lease must still be held; or why it is stale.
  std::optional<Error> AdoptHeld(Time now, const Claim& claim, uint32_t worker);
  Duration DurationFor(const JobView& view) const;
  // Whether the log by itself refuses tokens before this one.
  bool LogKnows(JobRef job, LeaseToken token) const { return state_.LastToken(job) >= token; }

  const BrokerOptions& options_;
  StateMachine& state_;
  Deletions& deletions_;
  LeaseWaits& waits_;
  LeaseRequests& requests_;
  WorkerRegistry& workers_;
  JobTimes& times_;
  uint64_t term_ = 0;
  LeaseTable table_;
};

template <class Item>
std::optional<Error> Grants::FindClaim(const Item& item, const QueueAccessPtr& access,
                                       Claim* claim) const {
  claim->token = {item.token().term(), item.token().sequence()};
  return FindJob(item.id(), item.token().job(), access, claim);
}

}  // namespace dqueue::queue
