// Queues and types that are used once: more than a million in ten minutes.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class ManyNames : public Attack {
 public:
  void Round(Caller& caller) override {
    v1::EnqueueJobsRequest batch = Batch(caller, 10000, 0);
    for (v1::JobSpec& job : *batch.mutable_jobs()) {
      const std::string name = caller.NewName();
      job.set_id(name);
      job.set_queue(name);
      job.set_type(name);
      job.set_ordering_key(name);
    }
    Enqueue(caller, batch);
    Delete(caller, IdsOf(batch));
  }
};

}  // namespace

std::unique_ptr<Attack> MakeManyNames() { return Make<ManyNames>(); }

}  // namespace dqueue::cmd
