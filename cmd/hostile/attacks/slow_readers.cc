// Large answers that the caller does not take, so that the node has to hold them.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class SlowReaders : public Attack {
 public:
  void Round(Caller& caller) override {
    if (!stock_.Ready(caller)) return;
    v1::ListJobsRequest request;
    request.set_page_size(1000);
    request.set_full(true);
    const Request call = JobCall("ListJobs", request, std::chrono::seconds(60));
    caller.CallAndReadSlowly({&call, 1}, 50, std::chrono::seconds(20));
  }

 private:
  Stock stock_{1000, 4000};
};

}  // namespace

std::unique_ptr<Attack> MakeSlowReaders() { return Make<SlowReaders>(); }

}  // namespace dqueue::cmd
