// Floods of the cheapest read, of jobs that exist and of one that does not.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class GetJobFlood : public Attack {
 public:
  void Round(Caller& caller) override {
    if (!stock_.Ready(caller)) return;
    std::vector<Request> requests;
    for (int i = 0; i < 8; ++i) {
      v1::GetJobRequest request;
      request.set_id(caller.queue() + "-" +
                     (i == 0 ? "missing" : std::to_string(caller.random()() % kJobs)));
      requests.push_back(JobCall("GetJob", request));
    }
    caller.CallAtOnce(requests, 50);
  }

 private:
  static constexpr int kJobs = 1000;
  Stock stock_{kJobs, 1024};
};

}  // namespace

std::unique_ptr<Attack> MakeGetJobFlood() { return Make<GetJobFlood>(); }

}  // namespace dqueue::cmd
