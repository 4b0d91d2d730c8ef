// Counts of all queues, page after page, while other attacks make queues.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class Statistics : public Attack {
 public:
  void Round(Caller& caller) override {
    v1::GetStatsRequest request;
    request.set_page_token(token_);
    const Request call = JobCall("GetStats", request);
    caller.CallAtOnce({&call, 1}, 10);
    v1::GetStatsResponse page;
    token_ = caller.Call(call, &page) ? page.next_page_token() : "";
  }

 private:
  std::string token_;
};

}  // namespace

std::unique_ptr<Attack> MakeStatistics() { return Make<Statistics>(); }

}  // namespace dqueue::cmd
