// The inside of Broker, shared by the files that implement it: broker.cc (roles and admission),
// broker_enqueue.cc, broker_commands.cc (complete, fail, cancel, retry, delete), broker_queues.cc
// (pause, resume, purge, redrive), broker_groups.cc (groups of dead jobs), broker_batch.cc
// (commands on their way through the log),
// broker_lease.cc (grants and who waits for them), broker_holders.cc (extend, release, and who may
// speak for a job), broker_reads.cc (reads, confirmation rounds, timers), broker_keys.cc (API
// keys). Nobody else includes this.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "dqueue/v1/command.pb.h"
#include "queue/api/job_id.h"
#include "queue/broker/broker.h"
#include "queue/broker/reads/dead_groups.h"
#include "queue/broker/reads/job_times.h"
#include "queue/broker/leases/lease_table.h"
#include "queue/broker/refusals.h"
#include "queue/broker/work.h"
#include "queue/broker/reads/worker_registry.h"
#include "queue/state/command_reader.h"
#include "queue/state/lease_rules.h"
#include "queue/state/state_machine.h"
#include "raft/types.h"

namespace dqueue::queue {

// One command on its way through the log.
struct CommandRef {
  Work* work = nullptr;  // null: nobody waits (an expiry)
  uint32_t item = 0;
  uint32_t bytes = 0;  // in the batch
  JobRef job = {};     // of a command that ends a lease, and so are the next two
  LeaseToken token = {};
  uint64_t lease = 0;  // LeaseInfo::number; 0: no lease is marked as ACKING for it
  CommandKind kind = CommandKind::kEnqueue;
  bool ended_before = false;  // the log had seen the token when the command was made
  // What an applied command that ends a lease counts as: of several about one lease, the first.
  AttemptEnd counts_as = AttemptEnd::kNone;
  uint64_t deletes = 0;  // the sequence of the job that it deletes; 0: none
};

// A job whose deletion is in flight: it is not leased before that is decided.
struct Deletion {
  JobRef job;
  uint32_t commands = 0;
  bool held = false;  // by the state machine, because it was ready and somebody wanted it
};

// Commands that will be one log entry, encoded already.
struct Chunk {
  std::string bytes;  // kTimeFieldBytes to be filled in, then the commands
  std::vector<CommandRef> commands;
  // Of the calls of which nothing is proposed yet.
  Time first_deadline = Time::max();
};

// A batch that raft has.
struct InFlight {
  int64_t time_ms = 0;
  uint64_t epoch = 0;
  bool committed = false;
  std::vector<CommandRef> commands;
};

// Why a lease call was woken: a job of this queue and type became ready.
struct WakeReason {
  std::string queue;
  std::string type;
};

struct LeaseWait {
  LeaseCall call;
  std::vector<std::string> queues;  // without repetitions, never empty
  std::vector<std::string> types;
  uint32_t worker = 0;
  Time wait_until;
  Time timer = Time::max();
  bool asleep = false;
  std::optional<WakeReason> woken;
};

struct ReadWait {
  std::variant<GetCall, ListCall, StatsCall, GroupCall, WorkersCall, ListKeysCall> call;
  Time timer = Time::max();
};

// A grouping of dead jobs that has not seen all jobs.
struct Grouping {
  GroupCall call;
  DeadGroups groups;
  uint32_t position = 0;
  uint32_t end = 0;
  Time look_until{};
};

// What waits for a confirmation. Lease calls and reads by their number: they may be gone by then.
struct Gathering {
  std::vector<uint64_t> leases;
  std::vector<uint64_t> reads;
  std::vector<Work*> works;
  bool empty() const { return leases.empty() && reads.empty() && works.empty(); }
};

// The lease calls that sleep on one queue, by their number: the order of arrival.
struct Sleepers {
  absl::btree_set<uint64_t> of_any_type;
  std::map<std::string, absl::btree_set<uint64_t>, std::less<>> of_type;
  // Those that were woken for a job of this queue and have not been served yet.
  absl::btree_set<uint64_t> woken;
  bool empty() const { return of_any_type.empty() && of_type.empty() && woken.empty(); }
};

// A lease call with a lease_request_id, for as long as one of its leases is held.
struct LeaseRequest {
  std::string key;
  std::vector<std::pair<JobRef, LeaseToken>> grants;
  uint32_t held = 0;
};

class BrokerImpl {
 public:
  BrokerImpl(const BrokerOptions& options, StateMachine* state, uint64_t seed);
  ~BrokerImpl();

  // ---- broker.cc ----
  void BecomeLeader(Time now, raft::Term term);
  void StepDown(const LeaderHint& hint, Work::Failure failure);
  Broker::Gauges gauges() const;
  void OnEvents(const std::vector<StateEvent>& events);
  void On(const JobsReady& event);
  void On(const HoldEnded& event);
  void On(const JobPurged& event);
  // Ends the hold of the job and wakes the first call that waits for it.
  void ReleaseJob(JobRef job);
  // An error if a call of this deadline cannot be served now.
  std::optional<Error> Admit(Time now, Time deadline) const;
  std::optional<Error> AdmitWork(Time now, Time deadline) const;
  std::optional<Error> AdmitCommands(Time now, Time deadline, size_t commands, size_t bytes) const;
  std::optional<Error> AdmitWaiting(Time now, Time deadline) const;
  Error NotServing() const;
  // Now for the log: never goes back, on any replica.
  int64_t LogTimeMs(Time now, int64_t wall_ms) const;
  // Slot UINT32_MAX: there is none, or the caller may not see its queue.
  JobRef FindVisible(std::string_view id, const QueueAccessPtr& access) const;

  // ---- broker_enqueue.cc ----
  void Submit(Time now, int64_t wall_ms, EnqueueCall call);

  // ---- broker_commands.cc ----
  void Submit(Time now, int64_t wall_ms, CompleteCall call);
  void Submit(Time now, int64_t wall_ms, FailCall call);
  void Submit(Time now, int64_t wall_ms, CancelCall call);
  void Submit(Time now, int64_t wall_ms, RetryCall call);
  void Submit(Time now, int64_t wall_ms, DeleteCall call);
  // states: as in log.v1.Delete.
  void AppendDelete(Work* work, uint32_t item, JobRef job, const JobView& view, uint32_t states);
  void SettleDeletion(uint64_t job_sequence);
  // True if the job, just taken, is being deleted: then it is kept from everybody till that is
  // over.
  bool KeptForDeletion(JobRef job);
  template <class C, class F>
  void SubmitItems(Time now, C call, const F& item);
  // A job that is over, and a command that ends a lease: it repeats what ended it, or is refused.
  template <class C>
  bool DecideOver(LeaseCommand command, const JobView& view, LeaseToken token, StatusWork<C>* work,
                  int i);
  bool MakeComplete(Time now, StatusWork<CompleteCall>* work, int i);
  bool MakeFail(Time now, int64_t wall_ms, StatusWork<FailCall>* work, int i);
  int64_t NextRunTimeMs(const v1::FailJobsRequest::Item& item, const JobView& view, int64_t now_ms);

  // ---- broker_queues.cc ----
  void Submit(Time now, int64_t wall_ms, PauseCall call);
  void Submit(Time now, int64_t wall_ms, ResumeCall call);
  void Submit(Time now, int64_t wall_ms, PurgeCall call);
  void Submit(Time now, int64_t wall_ms, RedriveCall call);
  template <class C>
  void SetQueue(Time now, C call, bool paused, bool refuse_enqueues);
  template <class C>
  void SubmitPick(Time now, C call, CommandKind kind, JobFilter filter);
  // A part of the call whose turn it is.
  void PickSome(Time now);
  // It must not be deleted, or is being deleted.
  bool IsTaken(JobRef job, const JobView& view) const;
  void AppendPicked(PickWork* work, JobRef job, const JobView& view);

  // ---- broker_groups.cc ----
  void Answer(Time now, GroupCall* call);
  // A part of the call whose turn it is.
  void GroupSome(Time now);

  // ---- broker_batch.cc ----
  // Encodes the command `message` (the field of log.v1.Command with this number) into the batch
  // that is being filled.
  void Append(int field, const google::protobuf::MessageLite& message, const CommandRef& ref);
  std::optional<Batch> TakeBatch(Time now, int64_t wall_ms);
  void OnProposal(const raft::ProposalOutcome& outcome);
  void OnApplied(Time now, std::optional<uint64_t> batch_id, const Effects& effects);
  void AddExpiries(Time now, Chunk* chunk);
  bool TickIsDue(int64_t log_time_ms) const;
  Time NextExpiry() const;
  Time NextTick(Time now, int64_t wall_ms) const;
  // Answers calls of the chunk whose deadline passed before anything of them was proposed.
  void DropOverdue(Time now, Chunk* chunk);
  // The command is decided, whatever became of it: the guards that it set are taken away.
  void Settle(const CommandRef& ref, uint64_t epoch, bool applied);
  void SettleLease(const CommandRef& ref, bool applied);
  // Counts the end of a lease for people, before it is settled.
  void CountEnd(Time now, const CommandRef& ref);
  // One part of the call is decided; answers when it was the last.
  void PartDone(Work* work);
  void PartFailed(Work* work, Work::Failure failure);
  std::optional<Error> WholeError(const Work& work) const;

  // ---- broker_lease.cc ----
  void Submit(Time now, int64_t wall_ms, LeaseCall call);
  // Gives the confirmed calls what there is, in the order of arrival.
  void Serve(Time now, std::vector<uint64_t> calls);
  void ServeOne(Time now, uint64_t number);
  bool OlderIsWoken(const LeaseWait& wait, uint64_t number) const;
  void TakeJobs(Time now, const LeaseWait& wait, v1::LeaseJobsResponse* response);
  bool RepeatGrant(Time now, const LeaseWait& wait, v1::LeaseJobsResponse* response);
  void Sleep(uint64_t number, LeaseWait* wait);
  void Unsleep(uint64_t number, LeaseWait* wait);
  // The number of the first who sleeps and wants such a job; 0: nobody.
  uint64_t FirstSleeper(std::string_view queue, std::string_view type) const;
  void WakeFirst(std::string_view queue, std::string_view type);
  void ForgetWake(uint64_t number, LeaseWait* wait);
  // Answers and forgets the call; if it was woken and left its job to others, wakes the next.
  void FinishLease(uint64_t number, Outcome<v1::LeaseJobsResponse> outcome);
  // With the deliberate bug only.
  void ServeUnconfirmed(Time now);
  uint32_t NewLeaseRequest(std::string key);
  void ForgetLeaseRequest(uint32_t number);
  static std::string LeaseRequestKey(const LeaseCall& call);
  void FillLease(Time now, const LeaseInfo& lease, v1::Job* job) const;

  // ---- broker_holders.cc ----
  void Submit(Time now, int64_t wall_ms, ExtendCall call);
  void Submit(Time now, int64_t wall_ms, ReleaseCall call);
  template <class C, class F>
  void SubmitLocal(Time now, C call, const F& item);
  std::optional<Error> ExtendOne(Time now, const v1::ExtendLeasesRequest::Item& item,
                                 const QueueAccessPtr& access, uint32_t worker, Time expires);
  std::optional<Error> ReleaseOne(Time now, const v1::ReleaseJobsRequest::Item& item,
                                  const QueueAccessPtr& access, uint32_t worker);
  // The job that the item is about, or why there is none for this caller.
  template <class Item>
  std::optional<Error> FindLeased(const Item& item, const QueueAccessPtr& access, JobRef* job,
                                  JobView* view) const;
  // Whether `token`, which is not in the lease table, may still speak for the live job. ended_too:
  // also if the log has seen that very lease end.
  std::optional<Error> CheckAdoption(JobRef job, const JobView& view, LeaseToken token,
                                     bool ended_too) const;
  // After CheckAdoption: the lease is in the table. False, without effect, if hold_required and
  // the job cannot be held.
  bool Adopt(Time now, JobRef job, const JobView& view, LeaseToken token, uint32_t worker,
             bool hold_required);
  // May a command with `token` end the lease of `job`, which is not over? If so marks it ACKING,
  // and *lease_number is its number.
  std::optional<Error> Claim(Time now, JobRef job, const JobView& view, LeaseToken token,
                             uint32_t worker, const LeaseInfo** lease);
  // How long it has been held, for the log: rounded up, at least 1; -1 if another leader granted
  // it.
  static int64_t HeldMs(Time now, const LeaseInfo& lease);
  // Whether the log refuses tokens before this one by itself.
  bool LogKnows(JobRef job, LeaseToken token) const { return state_->LastToken(job) >= token; }
  // Out of the lease table; with `release`, also back into the ready order; with `remember`, its
  // token stays as a fence.
  void EndLease(JobRef job, bool remember, bool release);
  Duration LeaseFor(const JobView& view) const;

  // ---- broker_keys.cc ----
  void Submit(Time now, int64_t wall_ms, CreateKeyCall call);
  void Submit(Time now, int64_t wall_ms, RevokeKeyCall call);
  void Submit(Time now, int64_t wall_ms, UseKeysCall call);
  template <class C>
  void SubmitKeyCommand(Time now, C call, CommandKind kind, int field,
                        const google::protobuf::MessageLite& message);

  // ---- broker_reads.cc ----
  void Submit(Time now, int64_t wall_ms, GetCall call);
  void Submit(Time now, int64_t wall_ms, ListCall call);
  void Submit(Time now, int64_t wall_ms, StatsCall call);
  void Submit(Time now, int64_t wall_ms, ListKeysCall call);
  void Submit(Time now, int64_t wall_ms, GroupCall call);
  void Submit(Time now, int64_t wall_ms, WorkersCall call);
  template <class C>
  void SubmitRead(Time now, C call);
  void Answer(Time now, GetCall* call);
  void Answer(Time now, ListCall* call);
  void Answer(Time now, StatsCall* call);
  void Answer(Time now, ListKeysCall* call);
  void Answer(Time now, WorkersCall* call);
  void GatherWork(Work* work);
  bool WantsConfirmation() const { return !gathering_.empty(); }
  uint64_t BeginConfirmation();
  void OnConfirmation(Time now, const raft::ReadOutcome& outcome);
  Time Deadline(Time now, int64_t wall_ms) const;
  void OnTimer(Time now);
  // The timer of a lease call or read is due.
  void EndWait(Time now, uint64_t number);
  void SetTimer(uint64_t number, Time* timer, Time at);
  void OverlayLease(Time now, JobRef ref, v1::Job* job) const;

  const BrokerOptions options_;
  StateMachine* const state_;
  const uint64_t seed_;

  bool serving_ = false;
  bool low_space_ = false;
  bool draining_ = false;
  uint64_t term_ = 0;
  uint64_t epoch_ =
      0;             // counts changes of leadership: commands of another epoch know no lease here
  LeaderHint hint_;  // while not serving
  std::mt19937_64 random_;
  JobIdGenerator ids_;
  std::function<void(const std::string&, LeaseToken)> on_grant_;

  // Commands: waiting in chunks_, then in flight.
  std::deque<Chunk> chunks_;
  size_t pending_commands_ = 0;
  size_t pending_bytes_ = 0;
  std::map<uint64_t, InFlight> in_flight_;
  uint64_t next_batch_;
  int64_t last_time_ms_ = 0;        // the newest log time proposed, or found on becoming leader,
  Time last_time_at_{};             // and when that was
  bool own_batch_refused_ = false;  // an expiry or tick was; hold on before the next
  Time own_batches_after_ = Time::min();
  // Reused so that their strings keep their memory.
  log::v1::Enqueue log_enqueue_;
  log::v1::Complete log_complete_;
  log::v1::Fail log_fail_;
  log::v1::Expire log_expire_;

  LeaseTable leases_;
  absl::btree_map<uint64_t, Deletion> deletions_;  // by the job's sequence
  std::vector<LeaseRequest> lease_requests_;       // 0 is not used
  std::vector<uint32_t> free_lease_requests_;
  std::map<std::string, uint32_t> lease_request_numbers_;

  // Calls that wait, by number.
  uint64_t next_number_ = 1;
  std::map<uint64_t, LeaseWait> lease_waits_;
  std::map<uint64_t, ReadWait> read_waits_;
  size_t waiting_works_ = 0;
  std::map<std::string, Sleepers, std::less<>> sleepers_;
  absl::btree_set<std::pair<Time, uint64_t>> timers_;

  // Purges and redrives that have not seen all jobs, and whose turn is next.
  std::deque<PickWork*> picking_;
  std::deque<std::unique_ptr<Grouping>> grouping_;
  uint32_t pick_from_ = 0;  // where the next of them begins

  Gathering gathering_;
  std::map<uint64_t, Gathering> rounds_;
  uint64_t next_round_;

  // For people.
  int64_t wall_ms_ = 0;  // as last heard
  WorkerRegistry workers_;
  JobTimes times_;
};

inline LeaseToken ToToken(const v1::LeaseToken& token) { return {token.term(), token.sequence()}; }

inline void SetToken(LeaseToken token, uint64_t job_sequence, log::v1::Token* out) {
  out->set_term(token.term);
  out->set_sequence(token.sequence);
  out->set_job_sequence(job_sequence);
}

template <class Item>
std::optional<Error> BrokerImpl::FindLeased(const Item& item, const QueueAccessPtr& access,
                                            JobRef* job, JobView* view) const {
  *job = FindVisible(item.id(), access);
  if (*job == JobRef{}) return JobNotFoundError(item.id());
  *view = state_->View(*job);
  // An earlier job had this id.
  if (item.token().job() != view->sequence) return LeaseStaleError(item.id(), false);
  return std::nullopt;
}

inline bool IsOver(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_DEAD ||
         state == v1::JOB_STATE_CANCELLED;
}

}  // namespace dqueue::queue
