// Calls of each weight that are cancelled while they are on their way.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class CancelledCalls : public Attack {
 public:
  void Round(Caller& caller) override {
    v1::EnqueueJobsRequest batch = Batch(caller, 1000, 100);
    v1::ListJobsRequest list;
    list.set_page_size(1000);
    list.set_full(true);
    v1::LeaseJobsRequest lease;
    lease.set_worker_id(caller.queue());
    lease.add_queues(caller.queue());
    lease.set_max_jobs(1000);
    lease.mutable_wait()->set_seconds(20);
    const Request calls[] = {JobCall("EnqueueJobs", batch), JobCall("ListJobs", list),
                             JobCall("GetStats", v1::GetStatsRequest()),
                             WorkerCall("LeaseJobs", lease)};
    caller.CallAndCancel(calls, 10, std::chrono::milliseconds(caller.random()() % 4));
  }
};

}  // namespace

std::unique_ptr<Attack> MakeCancelledCalls() { return Make<CancelledCalls>(); }

}  // namespace dqueue::cmd
