// Workers that call once: the leader remembers 10,000 of them.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class WorkerNames : public Attack {
 public:
  void Round(Caller& caller) override {
    std::vector<Request> calls;
    for (int i = 0; i < 500; ++i) {
      v1::LeaseJobsRequest request;
      request.set_worker_id(caller.NewName());
      request.add_queues(caller.queue());
      request.set_max_jobs(1);
      request.set_host(std::string(255, 'h'));
      calls.push_back(WorkerCall("LeaseJobs", request));
    }
    caller.CallAtOnce(calls, 1);
  }
};

}  // namespace

std::unique_ptr<Attack> MakeWorkerNames() { return Make<WorkerNames>(); }

}  // namespace dqueue::cmd
