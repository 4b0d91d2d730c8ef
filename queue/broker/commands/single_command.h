// Calls that are one command of the log and nothing else: settings of queues, API keys. The log
// alone decides them.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "google/protobuf/message_lite.h"
#include "queue/broker/admission.h"
#include "queue/broker/commands/command_log.h"
#include "queue/broker/work.h"

namespace dqueue::queue {

// C is a Call. A subclass sets `response` or `refusal` from the command's result.
template <class C>
class SingleCommandWork : public Work {
 public:
  SingleCommandWork(C c, const Admission& admission)
      : Work(c.deadline, admission), call(std::move(c)) {}

  void Answer(std::optional<Error> error) override {
    if (!error) error = std::move(refusal);
    if (error) return call.done(*std::move(error));
    call.done(std::move(response));
  }

 protected:
  C call;
  typename C::ResponseType response;
  std::optional<Error> refusal;
};

// Admits the call and appends its command. `make` makes the work from the call.
template <class C, class MakeWork>
void SubmitSingleCommand(Time now, C call, const Admission& admission, CommandLog& commands,
                         CommandKind kind, int field, const google::protobuf::MessageLite& message,
                         size_t bytes, const MakeWork& make) {
  if (auto error = admission.AdmitCommands(now, call.deadline, 1, bytes)) {
    return call.done(*std::move(error));
  }
  commands.Append(field, message, {.part = WorkPart(make(std::move(call))), .kind = kind});
}

}  // namespace dqueue::queue
