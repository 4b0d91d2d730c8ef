// Leases that nobody answers, so that 10,000 expire within a second.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class ExpiredLeases : public Attack {
 public:
  void Round(Caller& caller) override {
    v1::EnqueueJobsRequest batch = Batch(caller, 10000, 0);
    for (v1::JobSpec& job : *batch.mutable_jobs()) {
      job.mutable_retry()->set_max_expirations(1000);
      job.mutable_retry()->set_backoff(v1::RetryPolicy::BACKOFF_NONE);
    }
    Enqueue(caller, batch);
    for (int i = 0; i < 10 && !caller.stopping(); ++i) Lease(caller, caller.queue(), 1000, 1);
    caller.Pause(std::chrono::seconds(2));
  }
};

}  // namespace

std::unique_ptr<Attack> MakeExpiredLeases() { return Make<ExpiredLeases>(); }

}  // namespace dqueue::cmd
