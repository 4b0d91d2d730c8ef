// Calls that create and revoke API keys and that record their use: one command each. (Lists of keys
// are reads: lookups.h.) Owns no state. Used on the loop's thread.
#pragma once

#include "queue/broker/admission.h"
#include "queue/broker/calls.h"
#include "queue/broker/commands/command_log.h"

namespace dqueue::queue {

class ApiKeyProposer {
 public:
  ApiKeyProposer(const Admission& admission, CommandLog& commands)
      : admission_(admission), commands_(commands) {}

  void Submit(Time now, CreateKeyCall call);
  void Submit(Time now, RevokeKeyCall call);
  void Submit(Time now, UseKeysCall call);

 private:
  template <class C>
  void Propose(Time now, C call, CommandKind kind, int field,
               const google::protobuf::MessageLite& message);

  const Admission& admission_;
  CommandLog& commands_;
};

}  // namespace dqueue::queue
