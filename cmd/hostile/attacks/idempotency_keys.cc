// Idempotency keys and request ids that stay known for long after their jobs are gone.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class IdempotencyKeys : public Attack {
 public:
  void Round(Caller& caller) override {
    v1::EnqueueJobsRequest batch = Batch(caller, 10000, 0);
    for (v1::JobSpec& job : *batch.mutable_jobs()) {
      job.set_id(caller.NewName());
      job.set_idempotency_key(job.id());
      job.mutable_idempotency_window()->set_seconds(30LL * 24 * 3600);
    }
    batch.set_request_id(caller.NewName());
    Enqueue(caller, batch);
    Delete(caller, IdsOf(batch));
  }
};

}  // namespace

std::unique_ptr<Attack> MakeIdempotencyKeys() { return Make<IdempotencyKeys>(); }

}  // namespace dqueue::cmd
