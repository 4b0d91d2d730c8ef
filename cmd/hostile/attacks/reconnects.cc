// Connections that are made for one call.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class Reconnects : public Attack {
 public:
  void Round(Caller& caller) override {
    v1::GetJobRequest request;
    request.set_id(caller.queue());
    const Request call = JobCall("GetJob", request);
    caller.Call(call);
    caller.Reconnect();
  }
};

}  // namespace

std::unique_ptr<Attack> MakeReconnects() { return Make<Reconnects>(); }

}  // namespace dqueue::cmd
