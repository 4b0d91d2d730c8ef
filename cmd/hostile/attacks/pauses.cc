// Queues that are paused and resumed, which also makes them.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class Pauses : public Attack {
 public:
  void Round(Caller& caller) override {
    std::vector<Request> calls;
    for (int i = 0; i < 250; ++i) {
      v1::PauseQueueRequest pause;
      pause.set_queue(caller.queue() + "-" + std::to_string(i));
      pause.set_refuse_enqueues(i % 2 == 0);
      calls.push_back(JobCall("PauseQueue", pause));
    }
    caller.CallAtOnce(calls, 1);
    calls.clear();
    for (int i = 0; i < 250; ++i) {
      v1::ResumeQueueRequest resume;
      resume.set_queue(caller.queue() + "-" + std::to_string(i));
      calls.push_back(JobCall("ResumeQueue", resume));
    }
    caller.CallAtOnce(calls, 1);
  }
};

}  // namespace

std::unique_ptr<Attack> MakePauses() { return Make<Pauses>(); }

}  // namespace dqueue::cmd
