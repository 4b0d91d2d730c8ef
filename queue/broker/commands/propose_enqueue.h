// EnqueueJobs calls: a prepared job (prepared_enqueue.h) becomes a command of the log. What could
// differ between replicas is decided before that: ids and times here, defaults and the order of
// headers and labels when the call was prepared.
//
// Each leadership has its own stream of job ids, so that a node that restarts with its old seed
// does not repeat them. Used on the loop's thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "queue/api/job_id.h"
#include "queue/broker/admission.h"
#include "queue/broker/calls.h"
#include "queue/broker/commands/command_log.h"
#include "queue/broker/commands/prepared_enqueue.h"
#include "queue/broker/elsewhere.h"
#include "queue/broker/leases/job_presenter.h"
#include "queue/broker/log_clock.h"
#include "queue/broker/options.h"
#include "queue/broker/pace.h"
#include "queue/broker/partial_calls.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

// Calls whose answers hold jobs (return_jobs): the jobs are added once all commands are applied.
class ReturnedJobs {
 public:
  struct Call {
    v1::EnqueueJobsResponse response;
    std::vector<uint64_t> sequences;  // of the jobs, by item; 0: none
    QueueAccessPtr access;
    std::function<void(Outcome<v1::EnqueueJobsResponse>)> done;
    size_t next = 0;   // item
    size_t bytes = 0;  // of the jobs added
  };

  ReturnedJobs(const StateMachine& state, const JobPresenter& jobs, Pace& pace,
               Elsewhere& elsewhere)
      : state_(state), jobs_(jobs), pace_(pace), elsewhere_(elsewhere) {}

  void Add(Call call);
  // Adds jobs and answers until the budget is exhausted.
  void Continue(Time now);
  bool empty() const { return calls_.empty(); }
  // Answers with the jobs added so far: what was enqueued stays so.
  void AnswerAll();

 private:
  void AddJob(Time now, Call* call);
  void AnswerFirst();

  const StateMachine& state_;
  const JobPresenter& jobs_;
  Pace& pace_;
  Elsewhere& elsewhere_;
  std::deque<Call> calls_;
};

class EnqueueProposer {
 public:
  EnqueueProposer(const BrokerOptions& options, const Admission& admission, const LogClock& clock,
                  const StateMachine& state, const JobPresenter& jobs, CommandLog& commands,
                  PartialCalls& partial, Elsewhere& elsewhere, uint64_t seed);

  void Begin(raft::Term term);
  void Submit(Time now, EnqueueCall call);
  ReturnedJobs& returned() { return returned_; }
  const ReturnedJobs& returned() const { return returned_; }

 private:
  class Proposal;

  std::optional<Error> CheckRunTimes(int64_t now_ms, PreparedEnqueue* prepared);
  // The producer's id, else one derived from the request id, else a new one. Sets job->request_key
  // and job->id_of_request: by what a repetition of the request is known after the job is gone.
  std::string TakeId(const PreparedEnqueue& prepared, PreparedEnqueue::Job* job, int64_t now_ms);

  const BrokerOptions& options_;
  const Admission& admission_;
  const LogClock& clock_;
  const StateMachine& state_;
  CommandLog& commands_;
  PartialCalls& partial_;
  Elsewhere& elsewhere_;
  ReturnedJobs returned_;
  const uint64_t seed_;
  JobIdGenerator ids_;
};

}  // namespace dqueue::queue
