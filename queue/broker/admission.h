// Admission decides whether a call may be served now, and with which error it is refused.
//
// A call is refused, in this order: DEADLINE_PASSED, SHUTTING_DOWN while draining, NOT_LEADER or
// NO_LEADER while another node leads, OVERLOADED when a limit of BrokerOptions is reached, and
// DISK_LOW or MEMORY_LOW for enqueues while disk space or memory is low. A refused call has no
// effect, now or ever.
//
// Admission owns the broker's role. It reads, and never changes, how much waits in the other parts.
// Every call passes here before it has any effect. A limit on the enqueues of one queue (a rate, a
// length) is one more step of AdmitEnqueue, which must then get the queue. A limit on deliveries
// belongs in LeaseCalls::TakeJobs. Used on the loop's thread.
#pragma once

#include <cstddef>
#include <optional>

#include "queue/api/error.h"
#include "queue/broker/options.h"
#include "queue/broker/pace.h"
#include "raft/types.h"

namespace dqueue::queue {

class CommandLog;
class Confirmations;
class LeaseWaits;
class Lookups;

class Admission {
 public:
  Admission(const BrokerOptions& options, Pace& pace, const CommandLog& commands,
            const Confirmations& confirmations, const LeaseWaits& lease_waits,
            const Lookups& lookups);

  void BecomeLeader();
  void StepDown(const LeaderHint& hint);
  void SetHint(const LeaderHint& hint) { hint_ = hint; }
  void SetLowSpace(bool low_space) { low_space_ = low_space; }
  // nullopt: there is memory for new jobs.
  void SetLowMemory(const std::optional<MemoryShortage>& shortage) { low_memory_ = shortage; }
  bool low_memory() const { return low_memory_.has_value(); }
  void Drain() { draining_ = true; }
  bool serving() const { return serving_; }
  const LeaderHint& hint() const { return hint_; }
  // Of all calls that pass here.
  Pace& pace() const { return pace_; }

  // The error of a call that this node cannot serve: NOT_LEADER or NO_LEADER.
  Error NotServing() const;

  // Each of these returns why a call with this deadline is refused; nullopt: admitted.
  // For calls that are answered after a confirmation round.
  std::optional<Error> AdmitWork(Time now, Time deadline) const;
  // The same, for calls that append up to this many commands and bytes to the log.
  std::optional<Error> AdmitCommands(Time now, Time deadline, size_t commands, size_t bytes) const;
  // The same, for calls that create jobs.
  std::optional<Error> AdmitEnqueue(Time now, Time deadline, size_t commands, size_t bytes) const;
  // For reads and long polls.
  std::optional<Error> AdmitWait(Time now, Time deadline) const;

 private:
  std::optional<Error> Admit(Time now, Time deadline) const;

  const BrokerOptions& options_;
  Pace& pace_;
  const CommandLog& commands_;
  const Confirmations& confirmations_;
  const LeaseWaits& lease_waits_;
  const Lookups& lookups_;
  bool serving_ = false;
  bool low_space_ = false;
  std::optional<MemoryShortage> low_memory_;
  bool draining_ = false;
  LeaderHint hint_;  // while not serving
};

}  // namespace dqueue::queue
