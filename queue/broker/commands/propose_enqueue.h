// EnqueueJobs calls: a JobSpec becomes a command of the log. Everything that could differ between
// replicas is decided here: ids, times, defaults, the order of headers and labels.
//
// Each leadership has its own stream of job ids, so that a node that restarts with its old seed
// does not repeat them. Used on the loop's thread.
#pragma once

#include <cstdint>
#include <string>

#include "dqueue/v1/command.pb.h"
#include "queue/api/job_id.h"
#include "queue/broker/admission.h"
#include "queue/broker/calls.h"
#include "queue/broker/commands/command_log.h"
#include "queue/broker/leases/job_presenter.h"
#include "queue/broker/log_clock.h"
#include "queue/broker/options.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

class EnqueueProposer {
 public:
  EnqueueProposer(const BrokerOptions& options, const Admission& admission, const LogClock& clock,
                  const StateMachine& state, const JobPresenter& jobs, CommandLog& commands,
                  uint64_t seed);

  void Begin(raft::Term term);
  void Submit(Time now, EnqueueCall call);

 private:
  // Sets *id to the producer's id, else to one derived from the request id, else to a new one; and
  // in *out, by what a repetition of the request is known after the job is gone.
  void TakeId(v1::EnqueueJobsRequest* request, int i, int64_t now_ms, std::string* id,
              log::v1::Enqueue::Job* out);

  const BrokerOptions& options_;
  const Admission& admission_;
  const LogClock& clock_;
  const StateMachine& state_;
  const JobPresenter& jobs_;
  CommandLog& commands_;
  const uint64_t seed_;
  JobIdGenerator ids_;
  log::v1::Enqueue one_;  // reused, so that its strings keep their memory
};

}  // namespace dqueue::queue
