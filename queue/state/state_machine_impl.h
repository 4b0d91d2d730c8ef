// The implementation of StateMachine, shared by its source files: state_machine.cc (applying
// entries, holds), apply_enqueue.cc (the command that creates jobs), apply_commands.cc (the other
// commands), job_reads.cc (FillJob, List, Stats), snapshot.cc (images), memory.cc (accounting) and
// consistency.cc (checks).
// No other file may include it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "queue/state/command_reader.h"
#include "queue/state/image_codec.h"
#include "queue/state/lease_rules.h"
#include "queue/state/state_machine.h"
#include "queue/state/stored_job.h"
#include "queue/state/tables/api_key_registry.h"
#include "queue/state/tables/idempotency_table.h"
#include "queue/state/tables/ordered_slots.h"
#include "queue/state/tables/queue_table.h"
#include "queue/state/tables/ready_index.h"
#include "queue/state/tables/request_table.h"
#include "queue/state/tables/slab.h"
#include "queue/state/tables/slot_index.h"

namespace dqueue::queue {

uint64_t JobIdHash(std::string_view id);

// A walk over the state as it was when the walk began. A record that a command is about to change
// before the walk has reached it is first written to a side buffer (copy on write). A record that
// was added later is recognised by its sequence and left out.
struct ImageWalk {
  enum class Phase : uint8_t {
    kIdle,
    kHeader,
    kQueues,
    kJobs,
    kIdempotency,
    kRequests,
    kApiKeys,
    kEnd
  };
  Phase phase = Phase::kIdle;
  uint32_t number = 0;  // of this walk, from 1
  ImageHeader header;
  ImageCounts written;
  // Where the walk stands and ends; [next, end) is not visited yet.
  uint32_t queue_next = 0;
  uint32_t queue_end = 0;
  uint32_t job_next = 0;
  uint32_t job_end = 0;
  uint32_t key_next = 0;
  uint32_t key_end = 0;
  // Requests are added and dropped at the ends of a list: the next one, and how many were there
  // when the walk began and are left.
  uint32_t request_next = kNoSlot;
  uint32_t requests_left = 0;
  // Of an image of level 0: the numbers of queues that were forgotten since the walk began.
  absl::flat_hash_map<std::string, uint32_t> forgotten_queues;
  // As they were when the walk began; those that were written are null.
  std::vector<ApiKeyRegistry::RecordPtr> api_keys;
  size_t api_key_next = 0;
  // Records written ahead of their turn. Queues come first in an image, so they have their own.
  std::string queues_ahead;
  std::string ahead;
  size_t drained = 0;  // of the one that is being drained
};

// Order-independent hashes of the tables.
struct HashSums {
  uint64_t jobs = 0;
  uint64_t keys = 0;
  uint64_t queues = 0;
  uint64_t api_keys = 0;
  uint64_t requests = 0;
};

// Costs for WorkBudget: with cold caches and a million jobs.
inline int64_t CostOfBytes(std::string_view bytes) {
  return static_cast<int64_t>(bytes.size() / 4);
}
inline int64_t CostOf(const EnqueuedJob& job) {
  constexpr int64_t kCreateNs = 1500;
  return kCreateNs + CostOfBytes(job.message);
}

// Defined in apply_enqueue.cc.
struct EnqueueCandidate;
struct EnqueueCheck;
struct EnqueuedTogether;
struct EnqueueOfMany;

// An entry that is being applied, and how far. Housekeeping of one kind after the other comes
// between reading and executing.
struct EntryInProgress {
  enum class Phase : uint8_t {
    kIdle,
    kRead,
    kDue,
    kExpiring,
    kPurging,
    kKeys,
    kRequests,
    kQueues,
    kExecute
  };
  Phase phase = Phase::kIdle;
  raft::Index index;
  BatchReader reader;
  int steps = 0;                        // of the phase's kind of housekeeping
  size_t next_command = 0;              // in kExecute
  std::shared_ptr<EnqueueOfMany> many;  // the command is an Enqueue of many jobs, done in part
};

struct StateMachine::Impl {
  // ---- state_machine.cc ----
  void BeginApply(raft::Index index, std::string_view bytes, Effects* effects);
  bool ContinueApply(WorkBudget* budget);
  // After kRead: checks the status, and prepares what follows.
  void BeginEffects(ReadStatus status);
  // A step of the phase's kind of housekeeping, if one is due; else the next phase begins.
  void Housekeep(WorkBudget* budget);
  // Whether a step of the phase's kind of housekeeping is due.
  bool HousekeepingIsDue() const;
  void EndEntry();
  // When the next idle queue is forgotten; INT64_MAX: none will be.
  int64_t FirstForgetting() const;
  int64_t NextTickMs() const;
  uint64_t DigestOf(const HashSums& sums) const;
  HashSums Sums() const;
  uint32_t FindJob(std::string_view id) const { return FindJob(id, JobIdHash(id)); }
  // The job of a command that is being executed.
  uint32_t FindNext(const CommandView& command);
  uint32_t FindJob(std::string_view id, uint64_t id_hash) const;
  const StoredJob& Checked(JobRef job) const;
  // The queue's number; kNoSlot: no such queue, or it is paused.
  uint32_t FindOpenQueue(std::string_view name) const;
  // The name must be new. If kQueuesMax queues exist, the one that is idle for longest is
  // forgotten: there must be one.
  uint32_t AddQueue(std::string_view name);
  // Whether so many queues that do not exist, or are idle, may get their first job or setting.
  bool HasRoomForQueues(size_t more) const;
  void ForgetQueue(uint32_t queue);
  // The last job or setting of the queue is gone; or the first one comes.
  void BecomeIdle(uint32_t queue);
  void BecomeBusy(uint32_t queue);
  // True if the queue of the job is not paused.
  bool CanBeTaken(const StoredJob& job) const;
  // Add events to `collected`, if there is one.
  void NoteReady(const StoredJob& job);
  void NoteHoldEnded(uint32_t slot);
  void NotePurged(uint32_t slot);
  void NoteResumed(uint32_t queue);
  StateMemory Memory() const;

  // Moving a job between the ordered structures. A change of a job is: BeginChange, Unplace, set
  // its fields, Place, EndChange.
  void BeginChange(uint32_t slot);
  void EndChange(uint32_t slot);
  // Removes the job from the order or timer that its state put it in; ends its hold.
  void Unplace(uint32_t slot);
  // Inserts the job into the order or timer that its state asks for, and counts it. Notes that it
  // is ready, if it is.
  void Place(uint32_t slot);
  // Unplace and Place with a new state that begins now.
  void Move(uint32_t slot, v1::JobState state);
  // False if a structure has another job in the very same place (only in a forged image).
  bool InsertPlace(uint32_t slot);
  void ErasePlace(uint32_t slot);
  OrderedSlot DeliveryPlace(uint32_t slot) const;
  bool IsExpiring(const StoredJob& job) const;
  void HoldSlot(uint32_t slot);
  void UnholdSlot(uint32_t slot);
  void Count(uint32_t slot, Total total, int64_t change = 1);
  // Its idempotency key, if it has one, is spent while the job is finished.
  void SetKeySpent(const StoredJob& job, bool spent);
  OrderedSlots& PurgingOf(const StoredJob& job);
  // The finished job whose retention ends first; kNoSlot: none is finished.
  uint32_t FirstToPurge() const;
  size_t& BlockBytesOf(const StoredJob& job);
  // Removes the job for good, whatever its state.
  void Purge(uint32_t slot);
  void DropIdempotencyKey(uint32_t slot);
  // Called when the job is removed: remembers the request that it is of, if it is of one.
  void RememberRequest(const StoredJob& job);
  void DropFirstRequest();

  // ---- apply_commands.cc ----
  // Nullopt: the command is executed in part, and the budget is exhausted.
  std::optional<CommandResult> Execute(const CommandView& command, WorkBudget* budget);
  CommandResult ExecuteWhole(const CommandView& command);
  std::span<const EnqueuedJob> EnqueuedJobsOf(const CommandView& command) const;
  // Called before the id at this position of id_hashes is looked up: prefetches what the ids after
  // it will need.
  void LookAhead(size_t position) const;
  // True if the command is about an earlier job that had the id.
  bool IsOfAnother(const CommandView& command, const StoredJob& job) const {
    return command.job_sequence != 0 && command.job_sequence != job.sequence;
  }
  LeaseDecision DecisionOn(LeaseCommand kind, const CommandView& command,
                           const StoredJob& job) const;
  CommandResult Complete(const CommandView& command);
  CommandResult Fail(const CommandView& command);
  CommandResult Expire(const CommandView& command);
  CommandResult Cancel(const CommandView& command);
  CommandResult Retry(const CommandView& command);
  CommandResult Delete(const CommandView& command);
  CommandResult SetQueue(const CommandView& command);
  CommandResult Trim(const TrimCounts& counts);
  void Kill(uint32_t slot, v1::DeadReason reason);
  void SetOutcome(uint32_t slot, std::string_view error, std::string_view result,
                  std::string_view attempts);
  // The job's attempts, with the one that `command` ended. The job's counters include it already.
  std::string AttemptsAfter(const StoredJob& job, const CommandView& command) const;

  // ---- apply_enqueue.cc ----
  CommandResult EnqueueOne(const EnqueuedJob& new_job);
  // Nullopt: it goes on in in_progress.many.
  std::optional<CommandResult> EnqueueMany(std::span<const EnqueuedJob> new_jobs,
                                           WorkBudget* budget);
  CommandResult ResultOf(const EnqueueOfMany& many) const;
  EnqueueCheck CheckNew(EnqueueCandidate& candidate, EnqueuedTogether* together);
  EnqueueCheck CheckId(EnqueueCandidate& candidate, EnqueuedTogether* together);
  EnqueueCheck CheckRequest(EnqueueCandidate& candidate);
  EnqueueCheck CheckIdempotencyKey(EnqueueCandidate& candidate, EnqueuedTogether* together);
  uint64_t IdentityOf(const StoredJob& job) const;
  // Of a job of a request: what a repetition of the request must be the same in.
  uint64_t RequestIdentityOf(const JobSpecView& spec, uint64_t content_identity) const;
  // The slot.
  uint32_t Create(EnqueueCandidate& candidate);

  // ---- job_reads.cc ----
  // With `extras`, headers and labels are copied there instead, and attempts too.
  void FillJob(JobRef job, bool full, v1::Job* out, JobExtras* extras) const;
  // `queue`: the number of the filter's queue.
  bool Matches(const JobFilter& filter, uint32_t queue, const StoredJob& job) const;

  // ---- snapshot.cc ----
  // Called before a replicated field of the record changes, or the record is removed.
  void SaveForImage(uint32_t slot);
  void SaveQueueForImage(uint32_t queue);
  void SaveIdempotencyKeyForImage(uint32_t slot);
  // Before the first request is dropped.
  void SaveFirstRequestForImage();
  void AppendKeyToImage(const IdempotencyTable::Entry& entry, std::string* out);
  void AppendNextRequest(std::string* out);
  // Ends the walk and frees its copies. Its header stays.
  void AbandonImage();
  void MaybeAbandonImage();

  // ---- memory.cc ----
  // Of the job and its places in the tables.
  size_t BytesOf(const StoredJob& job) const;

  // ---- consistency.cc ----
  uint64_t RecomputeDigest() const;
  std::string CheckConsistency() const;
  // Of CheckConsistency(): a key is spent exactly if its job is done.
  std::string SpentKeysProblem() const;

  // Replicated.
  raft::Index applied;
  int64_t time_ms = 0;
  uint64_t next_sequence = 1;
  uint32_t level = 0;  // state_level.h
  Slab<StoredJob> jobs;
  QueueTable queues;
  IdempotencyTable idempotency;
  RequestTable requests;
  ApiKeyRegistry api_keys;

  // Derived from it.
  SlotIndex by_id;
  ReadyIndex ready;           // READY and not held
  OrderedSlots due;           // SCHEDULED, by run time
  OrderedSlots expiring;      // live with an expiry, by it
  OrderedSlots purging;       // succeeded or cancelled, by the end of retention
  OrderedSlots purging_dead;  // dead, likewise
  uint64_t job_hash_sum = 0;
  // Of spec and outcome blocks of live, of succeeded and cancelled, and of dead jobs.
  size_t live_block_bytes = 0;
  size_t finished_block_bytes = 0;
  size_t dead_block_bytes = 0;

  // Of this process.
  EntryInProgress in_progress;
  Effects* collected = nullptr;   // of the entry that is being applied; null: nothing is noted
  uint32_t noted_lane = kNoSlot;  // of the last event, if that is a JobsReady
  std::vector<uint32_t> held;
  // Identifies the arrangement of jobs in slots: a page token is valid in one arrangement only.
  uint64_t arrangement = 0;
  ImageWalk walk;
  BatchView batch;                  // kept for its capacity, like the next
  std::vector<uint64_t> id_hashes;  // of the ids in the batch, in the order of execution
  size_t next_id = 0;               // of those
};

}  // namespace dqueue::queue
