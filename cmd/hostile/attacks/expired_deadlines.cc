// Calls whose deadline passes before their turn comes.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class ExpiredDeadlines : public Attack {
 public:
  void Round(Caller& caller) override {
    const std::chrono::milliseconds limit(1 + caller.random()() % 4);
    v1::ListJobsRequest list;
    list.set_page_size(1000);
    v1::LeaseJobsRequest lease;
    lease.set_worker_id(caller.queue());
    lease.add_queues(caller.queue());
    lease.set_max_jobs(1);
    lease.mutable_wait()->set_seconds(60);
    const Request calls[] = {
        JobCall("EnqueueJobs", Batch(caller, 100, 1000), limit), JobCall("ListJobs", list, limit),
        JobCall("GetStats", v1::GetStatsRequest(), limit), WorkerCall("LeaseJobs", lease, limit)};
    caller.CallAtOnce(calls, 25);
  }
};

}  // namespace

std::unique_ptr<Attack> MakeExpiredDeadlines() { return Make<ExpiredDeadlines>(); }

}  // namespace dqueue::cmd
