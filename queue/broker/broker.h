// Broker serves the clients' calls on the leader: it validates requests, turns them into commands
// of the log, grants leases, and answers when the outcome is known.
//
// Owned by the node and used on its loop's thread only. The broker never talks to raft/ itself: the
// node carries batches, confirmation rounds and outcomes to and fro, in the order of
// node/node_loop.cc.
//
// Every Call is answered exactly once. An answer OK to a change means committed and applied.
// NOT_LEADER, OVERLOADED and INVALID_FIELD mean no effect, now or ever. COMMIT_UNKNOWN means
// perhaps: the caller repeats the call with the same ids. Leases are granted, and reads answered,
// only after a confirmation round that began after the request arrived; a request that had to wait
// gets a new round after it is woken. Refusals from the leader's own knowledge (a stale lease, an
// unknown job) also wait for a round: a deposed leader's knowledge is out of date.
//
// Methods with a budget do a bounded amount of work (WorkBudget) and leave the rest for the next
// turn, so that no caller and no state makes the node deaf. Without a budget they do all of it.
//
// A purge, a redrive or a grouping works in parts, one in each OnTimer, each a bounded time. If its
// deadline comes first, what was found so far is carried out, and the answer says `more`.
//
// The items of a call may end differently; each has a status of its own. But if the outcome of some
// is unknown, or some were carried out and others could not be proposed, the whole call is answered
// COMMIT_UNKNOWN.
//
// The broker is composed of parts, each with a header of its own: see README.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/work_budget.h"
#include "queue/broker/calls.h"
#include "queue/broker/commands/command_log.h"
#include "queue/broker/options.h"
#include "queue/broker/reports/job_times.h"
#include "queue/state/state_machine.h"
#include "raft/raft.h"
#include "raft/types.h"

namespace dqueue::queue {

class Broker {
 public:
  // `state` must outlive it. `seed` determines job ids and jitter (each term has its own stream),
  // and the first ids of batches and rounds.
  Broker(const BrokerOptions& options, StateMachine* state, uint64_t seed);
  ~Broker();

  // Requests are accepted in any role; without leadership they are answered NOT_LEADER (with the
  // hint) or NO_LEADER. wall_ms, here and below: the cluster's time, Unix time.
  // With `budget`: a call with very many items may be left unfinished when it is exhausted. The
  // next Submit() must then wait until ContinueCalls() has finished it.
  void Submit(Time now, int64_t wall_ms, AnyCall call, WorkBudget* budget = nullptr);
  // Continues with what Submit() left. True: nothing is left.
  bool ContinueCalls(Time now, int64_t wall_ms, WorkBudget* budget);

  // The node calls these when raft says so. BecomeLeader only when serving (its no-op is committed
  // and applied).
  void BecomeLeader(Time now, raft::Term term);
  // Reads, leases and commands that are not proposed are answered NOT_LEADER. (OnProposal answers
  // those that are.) With a budget it takes little time however many there are: OnTimer and
  // AnswerElsewhere do the rest. BecomeLeader() before the rest is done takes long.
  void StepDown(const LeaderHint& hint, WorkBudget* budget = nullptr);
  // Nothing of an earlier leadership is left to do.
  bool settled() const;
  void SetHint(const LeaderHint& hint);
  // While true, enqueues are answered DISK_LOW; everything else is admitted.
  void SetLowSpace(bool low_space);
  // The level of the replicated state that every member knows (queue/state/state_level.h). If it is
  // above the state's level, the next batch raises that.
  void SetLevel(uint32_t level);
  // While it has a value, enqueues are answered MEMORY_LOW, and the texts of failures are cut to
  // kErrorBytesLowMemory; everything else goes on.
  void SetLowMemory(const std::optional<MemoryShortage>& shortage);
  // From now on new requests are answered SHUTTING_DOWN.
  void Drain();

  // The waiting commands, up to the limits of one entry; nullopt if there are none. The node calls
  // it until it returns nullopt or no more is wanted in this turn. Adds expiries of leases and
  // ticks that are due.
  // With `budget`: the commands are charged to it.
  std::optional<Batch> TakeBatch(Time now, int64_t wall_ms, WorkBudget* budget = nullptr);
  void OnProposal(const raft::ProposalOutcome& outcome, WorkBudget* budget = nullptr);
  // After the state machine has applied an entry with commands, with the effects that it had. While
  // the broker leads, every such entry must be reported. batch_id: the batch that OnProposal said
  // was committed in it; nullopt if this broker did not propose the entry.
  void OnApplied(Time now, std::optional<uint64_t> batch_id, const Effects& effects);
  // The same in parts. ContinueApplied() consumes effects and answers calls until the budget is
  // exhausted, and returns true when all are. `effects` must live until then. In between, only
  // StepDown, OnProposal, WantsConfirmation and BeginConfirmation may be called.
  void BeginApplied(std::optional<uint64_t> batch_id, const Effects* effects);
  bool ContinueApplied(Time now, WorkBudget* budget);
  bool applying() const;

  // True if something waits for a confirmation that no running round can give.
  bool WantsConfirmation() const;
  // Begins a round for all that waits now; the node passes the id to raft as Read{id}.
  uint64_t BeginConfirmation();
  // Call when raft has answered and, if confirmed, the state machine has applied outcome.index.
  // Serves the lease calls of the round; those that exceed the budget wait for another round, since
  // a grant must follow its round at once. Reads are answered by ContinueReads() if there is a
  // budget, else here.
  void OnConfirmation(Time now, int64_t wall_ms, const raft::ReadOutcome& outcome,
                      WorkBudget* budget = nullptr);
  // Answers reads whose round has ended. True: none is left.
  bool ContinueReads(Time now, int64_t wall_ms, WorkBudget* budget);

  // When something is due without any event (lease expiry, end of a wait, deadline of a call,
  // tick): at least 1 ms after now, and not more than 1 s while a job waits for its time, because
  // the wall clock may be set.
  Time Deadline(Time now, int64_t wall_ms) const;
  // Does what is due: ends waits and deadlines, a part of a purge or redrive, wake-ups and answers
  // that earlier calls left. Cheap if nothing is. (Expiries and ticks come out of TakeBatch.)
  // False: the budget did not suffice for all of it, and the rest is due at once.
  bool OnTimer(Time now, int64_t wall_ms, WorkBudget* budget = nullptr);

  struct Gauges {
    size_t leases = 0;
    size_t waiting_leases = 0;
    size_t waiting_reads = 0;
    size_t pending_commands = 0;
    size_t pending_bytes = 0;
    // Removed before their time, because BrokerOptions::keep was exceeded; by this broker.
    uint64_t trimmed_finished = 0;
    uint64_t trimmed_dead = 0;
    uint64_t trimmed_ids = 0;
  };
  Gauges gauges() const;

  // Since the process began, in all its leaderships; not replicated. Of queues that exist.
  const JobTimes& times();
  // Continues the counts of an earlier broker. Before the first call.
  void SetTimes(JobTimes times);

  // From now on, work that needs neither the state machine nor this thread is given to `runner`,
  // which must run it once, on any thread: mostly calls of Call::done with large answers. Without a
  // runner, it is done at once.
  void AnswerElsewhere(std::function<void(std::function<void()>)> runner);

  // For the simulator's checkers: called for each grant, before the worker is told.
  void OnGrant(std::function<void(const std::string& job_id, LeaseToken token)> callback);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dqueue::queue
