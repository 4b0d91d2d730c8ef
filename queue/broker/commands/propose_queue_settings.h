// PauseQueue and ResumeQueue calls: one command, answered with the queue's statistics afterwards.
// Owns no state. Used on the loop's thread.
#pragma once

#include "queue/broker/admission.h"
#include "queue/broker/calls.h"
#include "queue/broker/commands/command_log.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

class QueueSettingsProposer {
 public:
  QueueSettingsProposer(const StateMachine& state, const Admission& admission, CommandLog& commands)
      : state_(state), admission_(admission), commands_(commands) {}

  void Submit(Time now, PauseCall call);
  void Submit(Time now, ResumeCall call);

 private:
  template <class C>
  void Propose(Time now, C call, bool paused, bool refuse_enqueues);

  const StateMachine& state_;
  const Admission& admission_;
  CommandLog& commands_;
};

}  // namespace dqueue::queue
