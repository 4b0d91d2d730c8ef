// Jobs that become due, and expire, at one and the same time.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class DelayedWave : public Attack {
 public:
  void Round(Caller& caller) override {
    v1::EnqueueJobsRequest batch = Batch(caller, 10000, 0);
    const int64_t now = std::chrono::duration_cast<std::chrono::seconds>(
                            std::chrono::system_clock::now().time_since_epoch())
                            .count();
    for (v1::JobSpec& job : *batch.mutable_jobs()) {
      job.set_id(caller.NewName());
      job.mutable_run_time()->set_seconds(now + 4);
      job.mutable_expire_time()->set_seconds(now + 6);
    }
    Enqueue(caller, batch);
    caller.Pause(std::chrono::seconds(7));
    Delete(caller, IdsOf(batch));
  }
};

}  // namespace

std::unique_ptr<Attack> MakeDelayedWave() { return Make<DelayedWave>(); }

}  // namespace dqueue::cmd
