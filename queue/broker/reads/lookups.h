// Reads: GetJob, ListJobs, GetStats, ListKeys, ListWorkers and GroupDeadJobs. A read waits for a
// confirmation round and is answered from the state machine, with the leases of this leader shown
// as state LEASED. GroupDeadJobs then goes on as a grouping.
//
// Owns the reads that wait. A read ends by its round or by its deadline, whichever is first. Used
// on the loop's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <variant>
#include <vector>

#include "queue/broker/admission.h"
#include "queue/broker/call_timers.h"
#include "queue/broker/calls.h"
#include "queue/broker/confirmations.h"
#include "queue/broker/elsewhere.h"
#include "queue/broker/leases/job_presenter.h"
#include "queue/broker/log_clock.h"
#include "queue/broker/reads/groupings.h"
#include "queue/broker/reports/worker_registry.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

class Lookups {
 public:
  Lookups(const StateMachine& state, const Admission& admission, Elsewhere& elsewhere,
          const LogClock& clock, const JobPresenter& jobs, Groupings& groupings,
          Confirmations& confirmations, CallTimers& timers, WorkerRegistry& workers);

  void Submit(Time now, GetCall call) { Wait(now, std::move(call)); }
  void Submit(Time now, ListCall call) { Wait(now, std::move(call)); }
  void Submit(Time now, StatsCall call) { Wait(now, std::move(call)); }
  void Submit(Time now, ListKeysCall call) { Wait(now, std::move(call)); }
  void Submit(Time now, GroupCall call) { Wait(now, std::move(call)); }
  void Submit(Time now, WorkersCall call) { Wait(now, std::move(call)); }

  // A round that these reads waited for has ended. Reads that have ended meanwhile are passed over.
  // The answers follow in Continue().
  void OnRoundEnded(const std::vector<uint64_t>& reads, bool confirmed);
  // Answers reads whose round has ended, in order, until the budget is exhausted.
  void Continue(Time now);
  // Reads wait for Continue().
  bool answering() const { return !ended_.empty(); }
  // The deadline of the read has passed. False: no such read.
  bool OnTimer(uint64_t number);
  // Ends all reads with `error`, because the leadership is over.
  void FailAll(const Error& error, Elsewhere* elsewhere);
  size_t size() const { return waits_.size(); }

 private:
  using Read = std::variant<GetCall, ListCall, StatsCall, GroupCall, WorkersCall, ListKeysCall>;
  struct ReadWait {
    Read read;
    Time timer = Time::max();
  };

  template <class C>
  void Wait(Time now, C call);
  // The cost of looking for what the answer shows.
  int64_t CostOf(const GetCall& call) const;
  int64_t CostOf(const ListCall& call) const;
  int64_t CostOf(const StatsCall& call) const;
  int64_t CostOf(const ListKeysCall& call) const;
  int64_t CostOf(const GroupCall& call) const;
  int64_t CostOf(const WorkersCall& call) const;
  Read Take(std::map<uint64_t, ReadWait>::iterator it);
  template <class C, class Make>
  void AnswerElsewhere(C* call, Make make);
  void Answer(Time now, GetCall* call);
  void Answer(Time now, ListCall* call);
  void Answer(Time now, StatsCall* call);
  void Answer(Time now, ListKeysCall* call);
  void Answer(Time now, GroupCall* call);
  void Answer(Time now, WorkersCall* call);

  const StateMachine& state_;
  const Admission& admission_;
  Elsewhere& elsewhere_;
  const LogClock& clock_;
  const JobPresenter& jobs_;
  Groupings& groupings_;
  Confirmations& confirmations_;
  CallTimers& timers_;
  WorkerRegistry& workers_;
  std::map<uint64_t, ReadWait> waits_;
  struct Ended {
    uint64_t number;
    bool confirmed;
  };
  std::deque<Ended> ended_;
};

}  // namespace dqueue::queue
