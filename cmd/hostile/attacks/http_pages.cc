// Pages of whole jobs as JSON, which half of the callers read slowly.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class HttpPages : public Attack {
 public:
  void Round(Caller& caller) override {
    const HttpRequest page{.target = "/v1/jobs?page_size=1000&full=true"};
    if (caller.number() / 4 % 2 == 0) {
      caller.Http(page);
    } else {
      caller.HttpReadSlowly(page, std::chrono::seconds(20));
    }
  }
};

}  // namespace

std::unique_ptr<Attack> MakeHttpPages() { return Make<HttpPages>(); }

}  // namespace dqueue::cmd
