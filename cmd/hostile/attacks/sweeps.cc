// Changes of large groups of jobs: 10,000 dead ones with long errors, again and again.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class Sweeps : public Attack {
 public:
  void Round(Caller& caller) override {
    const v1::EnqueueJobsRequest batch = Batch(caller, 10000, 0);
    v1::EnqueueJobsRequest kept = batch;
    for (v1::JobSpec& job : *kept.mutable_jobs()) job.mutable_retention()->set_seconds(3600);
    Enqueue(caller, kept);
    FailAll(caller);

    v1::RedriveJobsRequest redrive;
    redrive.set_queue(caller.queue());
    redrive.set_error_contains(std::string(4000, 'a') + "b");
    redrive.set_max_jobs(10000);
    v1::GroupDeadJobsRequest groups;
    groups.set_queue(caller.queue());
    const Request searches[] = {JobCall("RedriveJobs", redrive), JobCall("GroupDeadJobs", groups)};
    caller.CallAtOnce(searches, 4);
    v1::RetryJobsRequest retry;
    v1::CancelJobsRequest cancel;
    for (const v1::JobSpec& job : batch.jobs()) {
      retry.add_ids(job.id());
      cancel.add_ids(job.id());
    }
    caller.Call(JobCall("RetryJobs", retry));
    caller.Call(JobCall("CancelJobs", cancel));
    v1::PurgeQueueRequest purge;
    purge.set_queue(caller.queue());
    purge.set_max_jobs(10000);
    for (v1::JobState state :
         {v1::JOB_STATE_SCHEDULED, v1::JOB_STATE_READY, v1::JOB_STATE_SUCCEEDED, v1::JOB_STATE_DEAD,
          v1::JOB_STATE_CANCELLED}) {
      purge.add_states(state);
    }
    caller.Call(JobCall("PurgeQueue", purge));
  }

 private:
  static void FailAll(Caller& caller) {
    for (int i = 0; i < 10 && !caller.stopping(); ++i) {
      const v1::LeaseJobsResponse leased = Lease(caller, caller.queue(), 1000, 60);
      if (leased.jobs().empty()) return;
      v1::FailJobsRequest fail;
      for (const v1::Job& job : leased.jobs()) {
        v1::FailJobsRequest::Item& item = *fail.add_items();
        item.set_id(job.id());
        *item.mutable_token() = job.lease().token();
        item.set_error(std::string(4096, 'a'));
        item.set_reject(true);
      }
      caller.Call(WorkerCall("FailJobs", fail));
    }
  }
};

}  // namespace

std::unique_ptr<Attack> MakeSweeps() { return Make<Sweeps>(); }

}  // namespace dqueue::cmd
