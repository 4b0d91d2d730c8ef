// Streams of events, which half of the callers read slowly.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class EventStreams : public Attack {
 public:
  void Round(Caller& caller) override {
    const HttpRequest events{.target = "/events"};
    if (caller.number() / 4 % 2 == 0) {
      caller.HttpStream(events, std::chrono::seconds(20));
    } else {
      caller.HttpReadSlowly(events, std::chrono::seconds(20));
    }
    caller.Pause(std::chrono::milliseconds(200));
  }
};

}  // namespace

std::unique_ptr<Attack> MakeEventStreams() { return Make<EventStreams>(); }

}  // namespace dqueue::cmd
