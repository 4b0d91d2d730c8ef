// The replicated queue: a pure function of the log. No clock, no randomness, no unordered
// iteration; replicas at the same index have the same Digest().
//
// Job states kept here: SCHEDULED, READY, SUCCEEDED, DEAD, CANCELLED. The leader overlays LEASED by
// holding a READY job (TakeReady): a held job is out of the ready order, but its state, digest and
// statistics stay as the log has them.
//
// Effects of an entry, in this order:
//  1. Time moves to the batch's time_ms, never back.
//  2. In bounded steps (at most 4096 of each kind in one entry, earliest first): SCHEDULED jobs
//     whose run time has come become READY; live jobs, held ones too, whose expire time has come
//     become DEAD (JOB_EXPIRED); finished jobs whose retention is over are purged; idempotency keys
//     whose window is over are dropped. Since level 1 (state_level.h): requests whose time is over
//     are dropped; queues that have been idle for long are forgotten (at most 1024).
//  3. The commands are applied in order. Each sees the effects of those before it.
//
// Effects of commands:
//  - Enqueue: creates jobs. An existing id, or an idempotency key that is taken in its queue within
//    its window, means the existing job if the content is the same: queue, type, payload, priority,
//    ordering key, headers and labels, but not times and retry settings. The id is checked first.
//    A job of a repeated request whose first job is gone means that one, too, for kRequestIdMs.
//    Several jobs are created together or not at all; jobs that exist already do not prevent that.
//    A run time in the future makes the job SCHEDULED.
//  - Complete, Fail, Expire: end a lease, by the table in lease_rules.cc. They are about the job
//    that was leased, not about a later one with the same id. A repeated command has the result of
//    the first and no effect. A completion counts unless a newer lease of the job existed, even
//    after its own expiry ("late"). Fail counts `failed` and leads to DEAD if it rejects the job or
//    max_retries is exceeded, else to READY (behind the others) or SCHEDULED. Expire counts
//    `expired` and leads to DEAD if max_expirations is exceeded, else to READY at its old place.
//    Fail and Expire are kept as attempts, the last ten of a job.
//  - Cancel: for live jobs; repeatable. Retry: DEAD and CANCELLED jobs become READY with `failed`
//    and `expired` at 0 (`delivered` and the last token are kept; an expire time that has passed no
//    longer applies). Delete: any job, held or not, is purged at once; if the command lists states,
//    only in those. Cancel, Retry and Delete may be restricted to one job, by its sequence, as
//    commands that end a lease are.
//  - SetQueue: no job is taken from a paused queue (TakeReady skips it); everything else goes on.
//    The queue may also refuse new jobs; an enqueue of an existing job is still answered as such.
//    Pausing creates a queue, resuming does not. A queue that is not paused and has no job is idle.
//  - CreateKey, RevokeKey, UseKeys: tables/api_key_registry.h.
//  - Trim: purges so many succeeded and cancelled jobs, and so many dead ones, before their
//    retention ends, those that would be purged first; drops so many idempotency keys before their
//    window ends, of jobs that are finished or gone; forgets so many jobs of requests before their
//    time, those first that are gone for longest.
//  Numbers out of range are clamped (times to the years 1970 to 9999, priority to kPriorityMax).
//  validate.h refuses such requests, but every entry in the log must have a meaning.
//
// Costs, with n jobs: every command and every TakeReady item O(log n) at worst (no table is ever
// rehashed as a whole); about 200 bytes a job beside id, payload and labels (memory()). One thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "base/work_budget.h"
#include "dqueue/v1/command.pb.h"
#include "dqueue/v1/job.pb.h"
#include "dqueue/v1/service.pb.h"
#include "queue/api/key.h"
#include "raft/types.h"

namespace dqueue::queue {

// A job in this process's memory. Valid until the job is purged (JobPurged) or the state machine is
// restored.
struct JobRef {
  uint32_t slot = UINT32_MAX;
  friend auto operator<=>(const JobRef&, const JobRef&) = default;
};

// (term, sequence); {0, 0}: none.
struct LeaseToken {
  uint64_t term = 0;
  uint64_t sequence = 0;
  friend auto operator<=>(const LeaseToken&, const LeaseToken&) = default;
};

// The command that wrote a job's last token into the log.
enum class TokenEnd : uint8_t { kNone = 0, kComplete = 1, kFail = 2, kExpire = 3 };
inline constexpr uint8_t kTokenEndMax = 3;

enum class ResultCode : uint8_t {
  kOk,
  kExisting,      // enqueue: this very job (same id or idempotency key, same content) was there:
                  // existing_id
  kDuplicateJob,  // enqueue: the id exists with other content
  kIdempotencyMismatch,  // enqueue: the key is taken by another content: existing_id
  kNotFound,
  kInvalidState,  // e.g. complete of a dead job: `state` says which
  // The lease of this token is over: a later token of the job is in the log, or (for a failure)
  // its own expiry. Or it was one of an earlier job of this id, now purged.
  kLeaseStale,
  kTooManyQueues,
  kQueuePaused,  // enqueue: the queue takes no new jobs
  kTooManyKeys,  // create key: kKeysMax are valid
  kKeyRefused,   // create key: the id is taken, or the key is invalid
};

struct CommandResult {
  ResultCode code = ResultCode::kOk;
  v1::JobState state = v1::JOB_STATE_UNSPECIFIED;  // of the job afterwards
  uint32_t failed_item = 0;  // of a rejected enqueue of several jobs: the first rejected item
  // kExisting, kIdempotencyMismatch and kDuplicateJob: the id of the existing job, of the only item
  // or of failed_item.
  std::string existing_id;
  // Of an accepted enqueue of several jobs: the items whose jobs existed before, or were repeated
  // in the command, with the ids of those jobs, by item. The other items were created. The code is
  // kExisting if all items existed, else kOk.
  std::vector<std::pair<uint32_t, std::string>> existing;
  // Of an accepted enqueue: the sequence of the job that was created or existed. The job may be
  // gone by now, and its id another job's. Of an enqueue of several jobs: one for each item.
  uint64_t sequence = 0;
  std::vector<uint64_t> sequences;
  // Of a command that creates or revokes a key: as it is afterwards.
  std::shared_ptr<const KeyRecord> key;
};

// Jobs of this queue and type became ready, one after the other, and the queue was not paused.
struct JobsReady {
  std::string queue;
  std::string type;
  uint32_t count = 0;
};

// The hold of this job ended: the job succeeded, failed, was cancelled or deleted, or the job or
// its lease expired. The job may be purged, and its JobRef reused, later in the same entry; the
// other fields are those of the moment when the hold ended.
struct HoldEnded {
  JobRef job;
  uint64_t sequence = 0;
  LeaseToken last_token;
};

// The job is gone. Its JobRef may be reused from here on.
struct JobPurged {
  JobRef job;
};

// The queue was paused and is no longer: its ready jobs, if it has any, can be taken.
struct QueueResumed {
  std::string queue;
};

using StateEvent = std::variant<JobsReady, HoldEnded, JobPurged, QueueResumed>;

// The effects of one entry. Reused from entry to entry, so that the vectors keep their memory.
struct Effects {
  std::vector<CommandResult> results;  // one for each command
  std::vector<StateEvent> events;      // in the order in which they happened

  void Clear() {
    results.clear();
    events.clear();
  }
};

// The fields of a job that the broker uses. Views are valid until the next change.
struct JobView {
  std::string_view id;
  std::string_view queue;
  std::string_view type;
  v1::JobState state = v1::JOB_STATE_UNSPECIFIED;
  bool held = false;
  uint64_t sequence = 0;  // in the order of enqueues; never used again, as the id may be
  LeaseToken last_token;  // the highest that the log has seen for this job
  TokenEnd token_end = TokenEnd::kNone;
  int64_t lease_duration_ms = 0;
  uint32_t failed = 0;
  uint32_t expired = 0;
  uint32_t max_retries = 0;
  uint32_t backoff = 0;
  int64_t backoff_base_ms = 0;
  int64_t backoff_max_ms = 0;
  uint32_t jitter_permille = 0;
  int64_t expire_time_ms = 0;
  int64_t since_ms = 0;  // when it entered its state
};

// Selects jobs. An empty or zero field matches all.
struct JobFilter {
  std::string_view queue = {};
  std::string_view type = {};
  uint32_t states = 0;                   // JobStateBit()s; LEASED: held jobs, READY: those not held
  std::string_view error_contains = {};  // part of the last error
  const QueueAccess* access = nullptr;   // only jobs of these queues; null: of all
  std::optional<uint64_t> error_fingerprint = {};
};
constexpr uint32_t JobStateBit(v1::JobState state) { return uint32_t{1} << state; }

constexpr bool IsLive(v1::JobState state) {
  return state == v1::JOB_STATE_SCHEDULED || state == v1::JOB_STATE_READY;
}
constexpr bool IsFinished(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_DEAD ||
         state == v1::JOB_STATE_CANCELLED;
}

// What a Trim command removes.
struct TrimCounts {
  uint32_t finished = 0;  // succeeded and cancelled jobs
  uint32_t dead = 0;
  uint32_t ids = 0;       // idempotency keys of jobs that are finished or gone
  uint32_t requests = 0;  // remembered jobs of requests
  bool empty() const { return finished == 0 && dead == 0 && ids == 0 && requests == 0; }
  uint32_t greatest() const { return std::max({finished, dead, ids, requests}); }
  friend bool operator==(const TrimCounts&, const TrimCounts&) = default;
};

// What trims remove, or will remove, and the memory that it has.
struct TrimPlan {
  TrimCounts counts;
  uint64_t finished_bytes = 0;
  uint64_t dead_bytes = 0;
  uint64_t ids_bytes = 0;
  uint64_t requests_bytes = 0;
  void Add(const TrimPlan& other);
  void Subtract(const TrimPlan& other);
};

// How much is kept of what nobody works on. Each limit applies to succeeded and cancelled jobs
// together, to dead jobs, to idempotency keys, and to remembered jobs of requests. 0: no limit.
struct KeepLimits {
  uint64_t count = 0;  // not of requests: kRequestsMax
  uint64_t bytes = 0;
};

// Memory of the state by what it holds, in bytes, with the allocator's overhead. Not exact: a test
// holds the sum within 20 % of what the allocator has given out.
struct StateMemory {
  uint64_t live = 0;      // scheduled and ready jobs
  uint64_t finished = 0;  // succeeded and cancelled jobs
  uint64_t dead = 0;      // dead jobs
  uint64_t ids = 0;       // idempotency keys, and remembered jobs of requests
  uint64_t names = 0;     // queues, types and API keys
  uint64_t image = 0;     // copies of records for an image that is being taken
  uint64_t spare = 0;     // of tables that have been larger; new jobs use it
  uint64_t total() const { return live + finished + dead + ids + names + image + spare; }
};
// The parts of a job that take longest to show, as they are stored. AddExtras() needs no state
// machine, so that another thread can do it.
struct JobExtras {
  std::string headers;
  std::string labels;
  std::string attempts;
};
// Adds them to a job that FillJobWithout() filled.
void AddExtras(const JobExtras& extras, v1::Job* out);

// A job in the dead-letter set. Views are valid until the next change.
struct DeadJob {
  std::string_view id;
  std::string_view queue;
  std::string_view type;
  v1::DeadReason reason = v1::DEAD_REASON_UNSPECIFIED;
  std::string_view error;  // the last
  int64_t time_ms = 0;     // of its death
};

// Ids that are remembered though their jobs are gone.
struct UsedIds {
  uint64_t count = 0;
  uint64_t bytes = 0;  // of memory
};

class StateMachine {
 public:
  StateMachine();
  ~StateMachine();
  StateMachine(const StateMachine&) = delete;
  StateMachine& operator=(const StateMachine&) = delete;

  // Applies the entry at `index`, which must be applied_index() + 1 (call ApplyNothing for
  // entries without commands). A batch that does not parse, or holds an unknown command, ends the
  // process: a replica must not skip what others may have applied. `effects`, if not null, is
  // overwritten with the entry's results and events. Null (on a follower): nothing is collected.
  void Apply(raft::Index index, std::string_view batch, Effects* effects);
  void ApplyNothing(raft::Index index);

  // The same in parts, so that a large entry does not hold the loop. BeginApply() changes nothing
  // that can be seen; ContinueApply() applies until the budget is exhausted, and returns true when
  // the entry is applied. `batch` and `effects` must live until then. Between two parts the entry
  // is applied in part: applied_index() and Digest() have no meaning, no snapshot may begin, and
  // reads would see commands of an entry without the others. Holds may end (Release, ReleaseAll).
  void BeginApply(raft::Index index, std::string_view batch, Effects* effects);
  bool ContinueApply(WorkBudget* budget);
  // Between BeginApply() and the end of the entry.
  bool applying() const;

  raft::Index applied_index() const;
  // Greatest time_ms applied.
  int64_t time_ms() const;
  // When the next job becomes due, expires or is purged, in Unix ms: then the leader should propose
  // a tick. INT64_MAX: nothing waits. A time in the past: a bounded step left work over.
  // Purges and ends of idempotency windows are rounded up to whole seconds, so that an idle cluster
  // does not write an entry for each job that it forgets; any entry does them when they are due.
  int64_t NextTickMs() const;
  // Over everything that a snapshot holds. Kept up to date incrementally: O(1).
  uint64_t Digest() const;
  // Recomputes it from scratch; equal to Digest(). For tests and the simulator. O(n).
  uint64_t RecomputeDigest() const;
  // Recomputes statistics and indexes from the jobs. Empty if they agree with the kept ones; else
  // the first difference. O(n).
  std::string CheckConsistency() const;

  // ---- for the leader's broker ----
  JobRef Find(std::string_view id) const;  // slot UINT32_MAX: not there
  JobView View(JobRef job) const;
  // Only these of View().
  LeaseToken LastToken(JobRef job) const;
  uint64_t Sequence(JobRef job) const;
  // Holds up to `max` of the best ready jobs of these queues (and, if not empty, types) that are
  // not paused: higher priority first, then earlier run time, then enqueue order. Appends to *out;
  // the number taken.
  size_t TakeReady(std::span<const std::string> queues, std::span<const std::string> types,
                   size_t max, std::vector<JobRef>* out);
  // Whether TakeReady would take something.
  bool HasReady(std::span<const std::string> queues, std::span<const std::string> types) const;
  // The number of types of this queue that have ready jobs; 0 if it is paused or unknown. O(1).
  size_t ReadyTypes(std::string_view queue) const;
  // Holds this job if it is READY and not held (adoption of a lease of an earlier leader). False
  // otherwise.
  bool Hold(JobRef job);
  // Ends a hold: the job returns to the ready order, at its old place. True if it can be taken now:
  // its queue is not paused.
  bool Release(JobRef job);
  // Ends all holds (leadership lost); or up to `max` of them. True: none is left.
  void ReleaseAll();
  bool ReleaseSome(size_t max);
  bool HasQueue(std::string_view queue) const;
  // Appends to *out up to `max` jobs that match, in no useful order. Looks from *position on (0: at
  // the first), at a bounded number of jobs below `end` (at most pick_end()), and moves *position
  // behind what it has seen. Jobs that are there all the time are seen once.
  void Pick(const JobFilter& filter, size_t max, uint32_t end, uint32_t* position,
            std::vector<JobRef>* out) const;
  uint32_t pick_end() const;
  // As Pick, for the dead jobs of this queue and type: calls visit with each.
  void VisitDead(const JobFilter& filter, uint32_t end, uint32_t* position,
                 const std::function<void(const DeadJob&)>& visit) const;

  // ---- reads ----
  // The job as the log has it (the broker adds LEASED and the lease). `full`: with payload, result,
  // headers and labels.
  void FillJob(JobRef job, bool full, v1::Job* out) const;
  // As FillJob with `full`, but headers, labels and attempts are copied to *extras.
  void FillJobWithout(JobRef job, v1::Job* out, JobExtras* extras) const;
  // Job.attempts, which FillJob leaves out.
  void FillAttempts(JobRef job, v1::Job* out) const;
  // Up to page_size jobs that match, in an order that is stable while nothing changes; state LEASED
  // matches held jobs and READY those not held. Looks at a bounded number of jobs: a page may be
  // short, even empty, with a token. INVALID_ARGUMENT if the token is not one of ours.
  // With `access`, only jobs of its queues. With `extras`, headers, labels and attempts are left
  // out of the jobs and appended there, one for each job (empty if they are not shown).
  absl::Status List(const v1::ListJobsRequest& request, v1::ListJobsResponse* out,
                    const QueueAccess* access = nullptr,
                    std::vector<JobExtras>* extras = nullptr) const;
  // One queue, or a page of all queues by name; with `access`, of its queues only, and the total is
  // that of the page. Costs O(queues on the page + patterns of `access`), whatever the number of
  // queues. Ages are those of now_ms, Unix time, if that is later than time_ms(): the log's time
  // stands still while nothing is written, but ages continue to grow. NOT_FOUND: no such queue.
  // INVALID_ARGUMENT: the page token is not one of ours.
  absl::Status Stats(const v1::GetStatsRequest& request, v1::GetStatsResponse* out,
                     const QueueAccess* access = nullptr, int64_t now_ms = 0) const;
  // The same, of this queue, or the first page.
  absl::Status Stats(std::string_view queue, v1::GetStatsResponse* out,
                     const QueueAccess* access = nullptr, int64_t now_ms = 0) const;
  // The API keys, shared. The table is the same until a key is created, revoked or forgotten, or
  // the state machine is restored. A use changes only what ListKeys shows.
  KeyTablePtr api_keys() const;
  // A page, in order of the time of creation, then of id. INVALID_ARGUMENT: the page token is not
  // one of ours.
  absl::Status ListKeys(const ListKeysOrder& order, v1::ListKeysResponse* out) const;
  // The level of the rules (state_level.h).
  uint32_t level() const;
  // Requests with a request_id that are remembered though their jobs are gone. Never more than
  // kRequestsMax.
  UsedIds used_request_ids() const;
  // Queues forgotten since the cluster was formed.
  uint64_t forgotten_queues() const;
  uint64_t job_count() const;
  // O(1).
  StateMemory memory() const;
  uint64_t memory_bytes() const { return memory().total(); }
  // What a Trim would have to remove so that `limits` hold, at most `max` of each kind, provided
  // that `proposed`, in earlier commands on their way, is removed first. O(1) if they hold; else
  // O(max), and a nanosecond for each that is proposed.
  TrimPlan PlanTrim(const KeepLimits& limits, const TrimPlan& proposed, uint32_t max) const;
  // True if more than 1/32 above `limits` is kept. O(1).
  bool ExceedsFar(const KeepLimits& limits) const;

  // ---- snapshots ----
  // Starts a consistent image at applied_index(); Apply() may go on meanwhile. At most one at a
  // time.
  void BeginSnapshot();
  // Appends about max_bytes more of the image to *out, in time proportional to that. True: the
  // image is complete.
  bool ContinueSnapshot(size_t max_bytes, std::string* out);
  void AbandonSnapshot();
  // False also after the image was given up, because the copies of changed records needed too much
  // memory (1/32 of the jobs, at least 4 MiB). What was written of it is then useless.
  bool snapshot_running() const;
  // Of the image begun last.
  raft::Index snapshot_index() const;
  uint64_t snapshot_digest() const;

  // Replaces the whole state by an image, fed in pieces of any size. Trusts nothing that it reads.
  // After an error the state machine must be thrown away.
  class Restorer {
   public:
    explicit Restorer(StateMachine* target);
    ~Restorer();
    absl::Status Feed(std::string_view bytes);
    // DATA_LOSS if the image is incomplete or its digest is another.
    absl::Status Finish(raft::Index index, uint64_t digest);

   private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
  };

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dqueue::queue
