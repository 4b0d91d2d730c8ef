// LeaseJobs calls: admits them, and answers each with jobs once a confirmation round allows it.
//
// Confirmed calls are served in the order of arrival. A call that repeats a lease_request_id is
// answered with the leases that it has already. An answer ends at max_jobs or at 8 MiB of payloads.
// Owns no state: the waiting calls are in LeaseWaits, the leases in Grants. Used on the loop's
// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "queue/broker/admission.h"
#include "queue/broker/calls.h"
#include "queue/broker/confirmations.h"
#include "queue/broker/leases/grants.h"
#include "queue/broker/leases/lease_requests.h"
#include "queue/broker/leases/lease_waits.h"
#include "queue/broker/log_clock.h"
#include "queue/broker/reports/job_times.h"
#include "queue/broker/reports/worker_registry.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

class LeaseCalls {
 public:
  LeaseCalls(StateMachine& state, const Admission& admission, const LogClock& clock, Grants& grants,
             LeaseWaits& waits, LeaseRequests& requests, Confirmations& confirmations,
             WorkerRegistry& workers, JobTimes& times, Elsewhere& elsewhere);

  void Submit(Time now, LeaseCall call);
  // A round that these calls waited for has ended. Calls that have ended meanwhile are passed over.
  // Calls that find no budget wait for the next round: a grant must follow its round at once.
  void OnConfirmed(Time now, std::vector<uint64_t> calls);
  void OnNotConfirmed(const std::vector<uint64_t>& calls);
  // With a deliberate bug only: serves calls without a round.
  void ServeUnconfirmed(Time now);
  // Called for each grant, before the worker is told.
  void OnGrant(std::function<void(const std::string& job_id, LeaseToken token)> callback) {
    on_grant_ = std::move(callback);
  }

 private:
  // An answer, and what another thread adds to its jobs: one for each.
  struct Granted {
    v1::LeaseJobsResponse response;
    std::vector<JobExtras> extras;
    size_t bytes = 0;  // of its jobs, about
  };

  void Serve(Time now, uint64_t number);
  void Finish(uint64_t number, Granted granted);
  void TakeJobs(Time now, const LeaseWait& wait, Granted* granted);
  // Leases one job that was taken, and adds it to the answer; the bytes added.
  size_t AddJob(Time now, int64_t log_now_ms, const LeaseWait& wait, JobRef job, uint32_t request,
                Granted* granted);
  // Adds a job with its lease to the answer.
  void Show(Time now, const LeaseInfo& lease, Granted* granted);
  // Adds the leases of an earlier call with the same lease_request_id. False: there are none.
  bool RepeatGrants(Time now, const LeaseWait& wait, Granted* granted);

  StateMachine& state_;
  const Admission& admission_;
  const LogClock& clock_;
  Grants& grants_;
  LeaseWaits& waits_;
  LeaseRequests& requests_;
  Confirmations& confirmations_;
  WorkerRegistry& workers_;
  JobTimes& times_;
  Elsewhere& elsewhere_;
  std::function<void(const std::string&, LeaseToken)> on_grant_;
};

}  // namespace dqueue::queue
