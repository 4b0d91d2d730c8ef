// PurgeQueue and RedriveJobs calls: one command for each job that matches, up to the call's limit.
//
// A sweep searches the table of jobs, a bounded part in each Step, and proposes a command as soon
// as it finds a job. Sweeps take turns. A sweep starts where the previous one reached its limit,
// because earlier jobs were just handled, and continues at the beginning of the table. If the
// deadline comes first, or the call is cancelled, the commands proposed so far are carried out and
// the answer says `more`.
//
// Owns the sweeps that have not seen all jobs. Used on the loop's thread.
#pragma once

#include <cstdint>
#include <deque>

#include "queue/broker/admission.h"
#include "queue/broker/calls.h"
#include "queue/broker/commands/command_log.h"
#include "queue/broker/commands/propose_job_changes.h"
#include "queue/broker/confirmations.h"
#include "queue/broker/leases/deletions.h"
#include "queue/broker/leases/grants.h"
#include "queue/broker/options.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

class SweepWork;

class Sweeps {
 public:
  Sweeps(const BrokerOptions& options, const StateMachine& state, const Admission& admission,
         const CommandLog& commands, const Grants& grants, const Deletions& deletions,
         JobChangeProposer& proposer, Confirmations& confirmations);
  ~Sweeps();

  void Submit(Time now, PurgeCall call);
  void Submit(Time now, RedriveCall call);
  // One part of the sweep whose turn it is.
  void Step(Time now);
  bool empty() const { return sweeps_.empty(); }
  // The leadership is over: the sweeps stop.
  void FailAll(Work::Failure failure);

 private:
  struct Sweep {
    WorkPart part;
    SweepWork* work;  // kept alive by `part`
  };

  template <class C>
  void Begin(Time now, C call, CommandKind kind, JobFilter filter);
  // Proposes commands for the jobs found. False: the sweep has enough.
  bool ProposeFound(const Sweep& sweep, const std::vector<JobRef>& found);
  // The job must not be deleted now, or is being deleted.
  bool IsTaken(JobRef job, const JobView& view) const;

  const BrokerOptions& options_;
  const StateMachine& state_;
  const Admission& admission_;
  const CommandLog& commands_;
  const Grants& grants_;
  const Deletions& deletions_;
  JobChangeProposer& proposer_;
  Confirmations& confirmations_;
  std::deque<Sweep> sweeps_;
  uint32_t next_begin_ = 0;  // where the next sweep begins
};

}  // namespace dqueue::queue
