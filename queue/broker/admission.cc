#include "queue/broker/admission.h"

#include "queue/broker/commands/command_log.h"
#include "queue/broker/confirmations.h"
#include "queue/broker/leases/lease_waits.h"
#include "queue/broker/reads/lookups.h"
#include "queue/broker/refusals.h"

namespace dqueue::queue {

Admission::Admission(const BrokerOptions& options, Pace& pace, const CommandLog& commands,
                     const Confirmations& confirmations, const LeaseWaits& lease_waits,
                     const Lookups& lookups)
    : options_(options),
      pace_(pace),
      commands_(commands),
      confirmations_(confirmations),
      lease_waits_(lease_waits),
      lookups_(lookups) {}

void Admission::BecomeLeader() {
  serving_ = true;
  hint_ = {};
}

void Admission::StepDown(const LeaderHint& hint) {
  serving_ = false;
  hint_ = hint;
}

Error Admission::NotServing() const {
  // While this node serves, a hint is about the past: the next leader is not known yet.
  return NotServingError(serving_ ? LeaderHint{} : hint_);
}

std::optional<Error> Admission::Admit(Time now, Time deadline) const {
  if (deadline <= now) return DeadlinePassedError();
  if (draining_) return ShuttingDownError();
  if (!serving_) return NotServing();
  return std::nullopt;
}

std::optional<Error> Admission::AdmitWork(Time now, Time deadline) const {
  if (auto error = Admit(now, deadline)) return error;
  // Long polls do not count here: they must not keep workers from ending or extending leases.
  if (confirmations_.waiting_parts() >= options_.max_waiting_calls) {
    return OverloadedError("calls that wait for a confirmation", options_.max_waiting_calls);
  }
  return std::nullopt;
}

std::optional<Error> Admission::AdmitCommands(Time now, Time deadline, size_t commands,
                                              size_t bytes) const {
  if (auto error = AdmitWork(now, deadline)) return error;
  // One call always fits, or it could never be served.
  if (commands_.pending_commands() == 0) return std::nullopt;
  if (commands_.pending_commands() + commands > options_.max_pending_commands) {
    return OverloadedError("commands that wait to be replicated", options_.max_pending_commands);
  }
  if (commands_.pending_bytes() + bytes > options_.max_pending_bytes) {
    return OverloadedError("bytes of commands that wait to be replicated",
                           options_.max_pending_bytes);
  }
  return std::nullopt;
}

std::optional<Error> Admission::AdmitEnqueue(Time now, Time deadline, size_t commands,
                                             size_t bytes) const {
  if (auto error = AdmitCommands(now, deadline, commands, bytes)) return error;
  if (low_space_) return DiskLowError();
  if (low_memory_) return MemoryLowError(*low_memory_);
  return std::nullopt;
}

std::optional<Error> Admission::AdmitWait(Time now, Time deadline) const {
  if (auto error = Admit(now, deadline)) return error;
  if (lease_waits_.size() + lookups_.size() + confirmations_.waiting_parts() >=
      options_.max_waiting_calls) {
    return OverloadedError("calls that wait", options_.max_waiting_calls);
  }
  return std::nullopt;
}

}  // namespace dqueue::queue
