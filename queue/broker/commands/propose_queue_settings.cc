#include "queue/broker/commands/propose_queue_settings.h"

#include <memory>
#include <string>
#include <utility>

#include "base/check.h"
#include "dqueue/v1/command.pb.h"
#include "queue/api/validate.h"
#include "queue/broker/commands/single_command.h"
#include "queue/broker/refusals.h"

namespace dqueue::queue {
namespace {

template <class C>
class QueueSettingsWork : public SingleCommandWork<C> {
 public:
  QueueSettingsWork(C c, const Admission& admission, const StateMachine& state)
      : SingleCommandWork<C>(std::move(c), admission), state_(state) {}

  void Set(Time, uint32_t, const CommandResult& result, bool) override {
    const std::string& queue = this->call.request.queue();
    if (result.code == ResultCode::kNotFound) {
      this->refusal = QueueNotFoundError(queue);
    } else if (result.code == ResultCode::kTooManyQueues) {
      this->refusal = TooManyQueuesError();
    } else {
      DQ_CHECK(result.code == ResultCode::kOk);
      // Commands after this one may have resumed the queue and forgotten it as an idle one.
      v1::GetStatsResponse stats;
      if (state_.Stats(queue, &stats).ok()) {
        *this->response.mutable_stats() = std::move(*stats.mutable_queues(0));
      } else {
        this->response.mutable_stats()->set_queue(queue);
      }
    }
  }

 private:
  const StateMachine& state_;
};

}  // namespace

template <class C>
void QueueSettingsProposer::Propose(Time now, C call, bool paused, bool refuse_enqueues) {
  if (auto error = CheckRequest(call.request)) return call.done(*std::move(error));
  if (!Allows(call.access, call.request.queue())) {
    return call.done(QueueDeniedError(call.request.queue()));
  }
  log::v1::SetQueue set;
  set.set_queue(call.request.queue());
  set.set_paused(paused);
  set.set_refuse_enqueues(refuse_enqueues);
  const size_t bytes = call.request.ByteSizeLong();
  SubmitSingleCommand(now, std::move(call), admission_, commands_, CommandKind::kSetQueue,
                      log::v1::Command::kSetQueueFieldNumber, set, bytes, [this](C c) {
                        return std::make_unique<QueueSettingsWork<C>>(std::move(c), admission_,
                                                                      state_);
                      });
}

void QueueSettingsProposer::Submit(Time now, PauseCall call) {
  const bool refuse_enqueues = call.request.refuse_enqueues();
  Propose(now, std::move(call), /*paused=*/true, refuse_enqueues);
}

void QueueSettingsProposer::Submit(Time now, ResumeCall call) {
  Propose(now, std::move(call), /*paused=*/false, /*refuse_enqueues=*/false);
}

}  // namespace dqueue::queue
