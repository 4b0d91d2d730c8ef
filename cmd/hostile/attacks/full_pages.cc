// The largest answers that there are, page after page, several at once.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class FullPages : public Attack {
 public:
  void Round(Caller& caller) override {
    if (!stock_.Ready(caller)) return;
    v1::ListJobsRequest request;
    request.set_page_size(1000);
    request.set_full(true);
    request.set_page_token(token_);
    const Request call = JobCall("ListJobs", request);
    caller.CallAtOnce({&call, 1}, 8);
    v1::ListJobsResponse page;
    token_ = caller.Call(call, &page) ? page.next_page_token() : "";
  }

 private:
  Stock stock_{1000, 4000};
  std::string token_;
};

}  // namespace

std::unique_ptr<Attack> MakeFullPages() { return Make<FullPages>(); }

}  // namespace dqueue::cmd
