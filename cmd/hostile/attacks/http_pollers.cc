// Pages that monitoring and dashboards poll, as fast as they are answered.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class HttpPollers : public Attack {
 public:
  void Round(Caller& caller) override {
    for (const char* target :
         {"/stats", "/metrics", "/workers", "/v1/stats", "/v1/dead-jobs", "/v1/cluster", "/keys"}) {
      caller.Http({.target = target});
    }
  }
};

}  // namespace

std::unique_ptr<Attack> MakeHttpPollers() { return Make<HttpPollers>(); }

}  // namespace dqueue::cmd
