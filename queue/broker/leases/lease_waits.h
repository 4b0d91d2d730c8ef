// Lease calls that wait: first for a confirmation round, then, if nothing is ready, asleep until a
// job becomes ready or their wait is over.
//
// Wake order: a ready job wakes the call that arrived first among the sleeping calls that want its
// queue and type. The woken call waits for a confirmation round of its own. No wake-up is lost: a
// woken call that ends while jobs of that queue and type are still ready wakes the next one. So
// while a job is ready, no call that wants it sleeps, unless a call that was woken for such a job
// is still to be served.
//
// Owns the waiting calls. Ends the state machine's holds (ReleaseJob), because a released job may
// wake a call. Used on the loop's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_set.h"
#include "queue/api/error.h"
#include "queue/broker/call_timers.h"
#include "queue/broker/calls.h"
#include "queue/broker/confirmations.h"
#include "queue/broker/reports/worker_registry.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

// The job that a lease call was woken for.
struct WakeReason {
  std::string queue;
  std::string type;
};

struct LeaseWait {
  LeaseCall call;
  std::vector<std::string> queues;  // without repetitions, never empty
  std::vector<std::string> types;   // without repetitions; empty: all
  uint32_t worker = 0;              // WorkerRegistry's number
  Time wait_until;
  Time timer = Time::max();
  bool asleep = false;
  std::optional<WakeReason> woken;
};

class LeaseWaits {
 public:
  LeaseWaits(StateMachine& state, WorkerRegistry& workers, Confirmations& confirmations,
             CallTimers& timers);

  // A new call: it waits for the next confirmation round.
  void Add(LeaseWait wait);
  // Null: the call has ended.
  LeaseWait* Find(uint64_t number);
  // The call, which a round confirmed, waits for another round.
  void WaitForRound(uint64_t number) { confirmations_.AddLeaseCall(number); }
  // True if an earlier call was woken for one of the call's queues and is still to be served: the
  // jobs that are ready are for that one.
  bool EarlierIsWoken(uint64_t number, const LeaseWait& wait) const;
  // A confirmed call found no job: it sleeps until a job wakes it or its timer is due.
  void Sleep(uint64_t number, LeaseWait* wait);
  // Ends the call with this answer, and passes on a wake-up that it leaves unused.
  void Finish(uint64_t number, Outcome<v1::LeaseJobsResponse> outcome);
  // The timer of the call is due: its deadline or the end of its wait. False: no such call.
  bool OnTimer(Time now, uint64_t number);
  // Ends all calls with `error`, because the leadership is over.
  void FailAll(const Error& error);

  void OnReady(const JobsReady& event);
  // Ends the hold of the job.
  void ReleaseJob(JobRef job);

  size_t size() const { return waits_.size(); }

 private:
  // The calls that sleep on one queue, by number.
  struct Sleepers {
    absl::btree_set<uint64_t> of_any_type;
    std::map<std::string, absl::btree_set<uint64_t>, std::less<>> of_type;
    // Woken for a job of this queue and not served yet.
    absl::btree_set<uint64_t> woken;
    bool empty() const { return of_any_type.empty() && of_type.empty() && woken.empty(); }
  };

  // Out of the sleepers of its queues.
  void Unsleep(uint64_t number, LeaseWait* wait);
  // The number of the sleeping call that is woken next by such a job; 0: none.
  uint64_t FirstSleeper(std::string_view queue, std::string_view type) const;
  void WakeFirst(std::string_view queue, std::string_view type);
  void ForgetWake(uint64_t number, LeaseWait* wait);

  StateMachine& state_;
  WorkerRegistry& workers_;
  Confirmations& confirmations_;
  CallTimers& timers_;
  std::map<uint64_t, LeaseWait> waits_;
  std::map<std::string, Sleepers, std::less<>> sleepers_;  // by queue
};

}  // namespace dqueue::queue
