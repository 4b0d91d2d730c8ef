// Small in bytes and large in parts: 570,000 headers in a call.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class HeaderBatches : public Attack {
 public:
  void Round(Caller& caller) override {
    v1::EnqueueJobsRequest batch = Batch(caller, 9500, 0);
    for (v1::JobSpec& job : *batch.mutable_jobs()) {
      for (char key = '!'; key < '!' + 60; ++key)
        (*job.mutable_headers())[std::string(1, key)] = "";
    }
    Enqueue(caller, batch);
    Delete(caller, IdsOf(batch));
  }
};

}  // namespace

std::unique_ptr<Attack> MakeHeaderBatches() { return Make<HeaderBatches>(); }

}  // namespace dqueue::cmd
