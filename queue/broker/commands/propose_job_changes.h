// CancelJobs, RetryJobs and DeleteJobs calls: commands about jobs that exist, named by their ids.
//
// The leader looks at the job first. A change that cannot succeed is refused; one that is already
// in effect is answered OK. Neither writes to the log. Sweeps propose through the same functions.
// Owns no state. Used on the loop's thread.
#pragma once

#include <cstdint>

#include "queue/broker/calls.h"
#include "queue/broker/commands/command_log.h"
#include "queue/broker/item_calls.h"
#include "queue/broker/leases/deletions.h"
#include "queue/broker/leases/grants.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

class JobChangeProposer {
 public:
  JobChangeProposer(const StateMachine& state, const Grants& grants, Deletions& deletions,
                    CommandLog& commands, ItemCalls& items);

  void Submit(Time now, CancelCall call);
  void Submit(Time now, RetryCall call);
  void Submit(Time now, DeleteCall call);

  // Each appends one command, for `item` of the call that `part` is of. job_sequence: the command
  // is only about the job with this sequence; 0: about any job with the id.
  void Retry(WorkPart part, uint32_t item, const JobView& view, uint64_t job_sequence);
  // states: as in log.v1.Delete.
  void Delete(WorkPart part, uint32_t item, JobRef job, const JobView& view, uint32_t states);

 private:
  void Cancel(WorkPart part, uint32_t item, const JobView& view, uint64_t job_sequence);
  // Refuses or answers each item, or proposes a command for it: check(job, view) says which, and
  // propose(part, item, job, view, job_sequence) appends the command.
  template <class C, class CheckJob, class Propose>
  void SubmitChanges(Time now, C call, const CheckJob& check, const Propose& propose);

  const StateMachine& state_;
  const Grants& grants_;
  Deletions& deletions_;
  CommandLog& commands_;
  ItemCalls& items_;
};

}  // namespace dqueue::queue
