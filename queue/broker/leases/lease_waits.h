// Lease calls that wait: first for a confirmation round, then, if nothing is ready, asleep until a
// job becomes ready or their wait is over.
//
// Wake order: a ready job wakes the call that arrived first among the sleeping calls that want its
// queue and type. The woken call waits for a confirmation round of its own. No wake-up is lost: a
// woken call that ends while jobs of that queue and type are still ready wakes the next one. So
// while a job is ready, no call that wants it sleeps, unless a call that was woken for such a job
// is still to be served, or a wake-up for it waits for its turn (Continue).
//
// A resumed queue may have ready jobs of very many types: it wakes the first sleeper of each type
// that has sleepers and ready jobs, and as many sleepers for any type as it has types with ready
// jobs. A wake-up that takes long, because very many calls sleep or the sleepers were cancelled, is
// continued in later turns.
//
// Owns the waiting calls. Ends the state machine's holds (ReleaseJob), because a released job may
// wake a call. Used on the loop's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "queue/api/error.h"
#include "queue/broker/call_timers.h"
#include "queue/broker/calls.h"
#include "queue/broker/confirmations.h"
#include "queue/broker/elsewhere.h"
#include "queue/broker/pace.h"
#include "queue/broker/reports/worker_registry.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

// The job that a lease call was woken for. No type: any ready job of the queue.
struct WakeReason {
  std::string queue;
  std::optional<std::string> type;
};

struct LeaseWait {
  LeaseCall call;
  std::vector<std::string> queues;     // without repetitions, never empty
  std::vector<std::string> types;      // without repetitions; empty: all
  std::vector<uint32_t> type_numbers;  // of LeaseWaits, in the order of `types`
  uint32_t worker = 0;                 // WorkerRegistry's number
  Time wait_until;
  Time timer = Time::max();
  bool asleep = false;
  std::optional<WakeReason> woken;
};

class LeaseWaits {
 public:
  LeaseWaits(StateMachine& state, Pace& pace, WorkerRegistry& workers, Confirmations& confirmations,
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
  // The same, but the caller must answer through the result.
  using Done = std::function<void(Outcome<v1::LeaseJobsResponse>)>;
  [[nodiscard]] Done End(uint64_t number);
  // The timer of the call is due: its deadline or the end of its wait. False: no such call.
  bool OnTimer(Time now, uint64_t number);
  // Ends all calls with `error`, because the leadership is over.
  void FailAll(const Error& error, Elsewhere* elsewhere);

  void OnReady(const JobsReady& event);
  void OnResumed(const QueueResumed& event);
  // Continues wake-ups until the budget is exhausted.
  void Continue();
  // Wake-ups wait for Continue().
  bool waking() const { return !wakes_.empty(); }
  // The cost of putting this call to sleep, or of waking it.
  static int64_t CostOfSleep(const LeaseWait& wait);
  // Ends the hold of the job.
  void ReleaseJob(JobRef job);

  size_t size() const { return waits_.size(); }

 private:
  // The calls that sleep on one queue, by number.
  struct Sleepers {
    absl::btree_set<uint64_t> of_any_type;
    absl::btree_map<uint32_t, absl::btree_set<uint64_t>> of_type;  // by number of the type
    // Woken for a job of this queue and not served yet.
    absl::btree_set<uint64_t> woken;
    bool empty() const { return of_any_type.empty() && of_type.empty() && woken.empty(); }
  };

  // Numbers for the types of a call, so that a call for very many queues and types sleeps and wakes
  // without comparing names.
  void NumberTypes(LeaseWait* wait);
  void ForgetTypes(const LeaseWait& wait);
  // Out of the sleepers of its queues.
  void Unsleep(uint64_t number, LeaseWait* wait);
  // A wake-up that is not finished: `count` ready jobs of a queue and type, or a resumed queue.
  struct Wake {
    std::string queue;
    std::optional<std::string> type = {};  // none: calls for any type
    uint32_t count = 0;
    // Of a resumed queue: types with sleepers before next_type are done; then `count` calls for any
    // type are woken.
    bool resumed = false;
    uint32_t next_type = 0;  // number
  };

  // The number of the sleeping call that is woken next by such a job; 0: none.
  uint64_t FirstSleeper(std::string_view queue, const std::optional<std::string>& type) const;
  // Adds a wake-up and continues.
  void AddWake(Wake wake);
  // One step of the wake-up; false: it is finished.
  bool Step(Wake* wake);
  bool StepTypes(Wake* wake);
  // Wakes the first sleeper, or ends it if it was cancelled. False: nothing sleeps for this.
  bool WakeOne(const std::string& queue, const std::optional<std::string>& type, bool* woken);
  void ForgetWake(uint64_t number, LeaseWait* wait);

  StateMachine& state_;
  Pace& pace_;
  WorkerRegistry& workers_;
  Confirmations& confirmations_;
  CallTimers& timers_;
  std::map<uint64_t, LeaseWait> waits_;
  std::map<std::string, Sleepers, std::less<>> sleepers_;  // by queue
  struct Type {
    std::string name;
    uint32_t calls = 0;  // 0: the number is free
  };
  std::vector<Type> types_;  // by number
  std::vector<uint32_t> free_types_;
  std::map<std::string, uint32_t, std::less<>> type_numbers_;
  std::deque<Wake> wakes_;
  bool continuing_ = false;
};

}  // namespace dqueue::queue
