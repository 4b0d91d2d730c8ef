// As many bytes in a call as there may be: 16 MiB less the envelope.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class FullBatches : public Attack {
 public:
  void Round(Caller& caller) override {
    const v1::EnqueueJobsRequest batch = Batch(caller, 1000, 16 * 1024);
    Enqueue(caller, batch);
    Delete(caller, IdsOf(batch));
  }
};

}  // namespace

std::unique_ptr<Attack> MakeFullBatches() { return Make<FullBatches>(); }

}  // namespace dqueue::cmd
