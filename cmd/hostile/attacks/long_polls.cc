// Waiting lease calls with as many queues and types as there may be; some hang up early.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class LongPolls : public Attack {
 public:
  void Round(Caller& caller) override {
    v1::LeaseJobsRequest request;
    request.set_worker_id(caller.queue());
    request.set_max_jobs(1000);
    request.mutable_wait()->set_seconds(20);
    for (int i = 0; i < 100; ++i) {
      request.add_queues(caller.queue() + "-" + std::to_string(i));
      request.add_types("type-" + std::to_string(i));
    }
    const Request call = WorkerCall("LeaseJobs", request, std::chrono::seconds(30));
    if (++round_ % 2 == 0) {
      caller.CallAtOnce({&call, 1}, 50);
    } else {
      caller.CallAndCancel({&call, 1}, 50, std::chrono::seconds(3));
    }
  }

 private:
  int round_ = 0;
};

}  // namespace

std::unique_ptr<Attack> MakeLongPolls() { return Make<LongPolls>(); }

}  // namespace dqueue::cmd
