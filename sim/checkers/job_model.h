// A second, simple implementation of the queue's state, computed from the committed commands. It
// uses plain maps and forgets nothing. It keeps all past versions of each job, so an answer can be
// compared with the state at the index that the answering node had applied.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "dqueue/v1/command.pb.h"
#include "dqueue/v1/job.pb.h"
#include "dqueue/v1/service.pb.h"
#include "queue/broker/broker.h"
#include "queue/state/state_machine.h"
#include "raft/types.h"

namespace dqueue::sim {

// The number in a payload "<number>:<filler>", by which all checkers identify a job. UINT64_MAX if
// the payload has no number.
uint64_t JobNumberOf(std::string_view payload);

// The state of a job from some index on.
struct JobVersion {
  raft::Index index;
  v1::JobState state = v1::JOB_STATE_UNSPECIFIED;
  bool gone = false;  // purged
  uint32_t delivered = 0;
  uint32_t failed = 0;
  uint32_t expired = 0;
  int64_t run_ms = 0;
};

// A lease that ended without success.
struct ModelAttempt {
  raft::Index index;
  uint32_t number = 0;
  v1::Attempt::End end = v1::Attempt::END_UNSPECIFIED;
  int64_t end_ms = 0;
  int64_t held_ms = 0;
  std::string worker;
  std::string error;
};

enum class LeaseEnd : uint8_t { kNone, kCompleted, kFailed, kExpired };

struct ModelJob {
  uint32_t slot = 0;  // in the order of creation
  // The number of the job in the state machine, as in LeaseToken::job.
  uint64_t sequence() const { return uint64_t{slot} + 1; }
  uint64_t number = 0;
  std::string id;
  std::string queue;
  std::string type;
  std::string payload;
  uint32_t priority = 0;
  int64_t create_ms = 0;
  int64_t expire_ms = 0;
  int64_t since_ms = 0;  // when it entered its state
  int64_t retention_ms = -1;
  std::string request_key;  // by which a repetition of its request is known; empty: by nothing
  int64_t lease_duration_ms = 0;
  uint32_t max_retries = 0;
  uint32_t max_expirations = 0;
  v1::DeadReason dead_reason = v1::DEAD_REASON_UNSPECIFIED;
  queue::LeaseToken last_token;
  LeaseEnd last_end = LeaseEnd::kNone;
  queue::LeaseToken completed_token;  // token of the completion that had an effect
  JobVersion now;
  std::vector<JobVersion> past;        // in order; the last is `now`
  std::vector<ModelAttempt> attempts;  // all, in order

  bool live() const {
    return !now.gone && (now.state == v1::JOB_STATE_READY || now.state == v1::JOB_STATE_SCHEDULED);
  }
  // The version at `index`; nullptr before the job was created.
  const JobVersion* At(raft::Index index) const;
};

// The settings of a queue from some index on.
struct QueueVersion {
  raft::Index index;
  bool paused = false;
  bool refuses = false;
};

struct ModelQueue {
  uint64_t enqueued = 0, purged = 0, completions = 0, failures = 0, expirations = 0, deaths = 0,
           cancellations = 0, retries = 0;
  std::map<v1::JobState, uint64_t> jobs;
  std::vector<QueueVersion> past;  // in order; empty: never paused
  // Without jobs and pause since then, by the log's time. Not set: it has some.
  std::optional<int64_t> idle_since_ms;
  bool forgotten = false;  // all counters are 0

  QueueVersion At(raft::Index index) const;
};

// "job j7 (id)".
std::string Show(const ModelJob& job);

class JobModel {
 public:
  explicit JobModel(const queue::BrokerOptions&) {}

  void Apply(raft::Index index, const log::v1::CommandBatch& batch);

  // The newest job with this id; nullptr if there never was one.
  const ModelJob* Find(std::string_view id) const;
  // All jobs that ever had this id, oldest first.
  std::vector<const ModelJob*> FindAll(std::string_view id) const;
  // The job with this id at `index`; nullptr if there was none (not yet created, or purged).
  const ModelJob* FindAt(std::string_view id, raft::Index index) const;
  // The newest job with this id and number that was created at or before `index`, purged or not.
  const ModelJob* FindInstance(std::string_view id, uint64_t number, raft::Index index) const;
  const ModelJob* FindNumber(uint64_t number) const;
  // The job with this id and sequence (LeaseToken::job); nullptr if there never was one.
  const ModelJob* FindSequence(std::string_view id, uint64_t sequence) const;
  const std::deque<ModelJob>& jobs() const { return jobs_; }
  const std::map<std::string, ModelQueue>& queues() const { return queues_; }
  // Slots of the jobs that are ready or scheduled, in the order of creation.
  const std::set<uint32_t>& live() const { return live_; }
  int64_t time_ms() const { return time_ms_; }
  raft::Index applied() const { return applied_; }
  // Whether an entry up to index `by` ended the lease with this token in this way.
  bool Ended(const ModelJob& job, queue::LeaseToken token, LeaseEnd end, raft::Index by) const;

 private:
  using Timers = std::set<std::pair<int64_t, uint32_t>>;

  void Advance();
  void Execute(const log::v1::Enqueue& command);
  void Execute(const log::v1::Complete& command);
  void Execute(const log::v1::Fail& command);
  void Execute(const log::v1::Expire& command);
  void Execute(const log::v1::Cancel& command);
  void Execute(const log::v1::Retry& command);
  void Execute(const log::v1::Delete& command);
  void Execute(const log::v1::SetQueue& command);
  void Execute(const log::v1::Trim& command);
  void Create(const log::v1::Enqueue::Job& spec);
  // The job that has this id now; nullptr if there is none.
  ModelJob* FindNow(std::string_view id);
  // The same; nullptr also if `sequence` is neither 0 nor the job's sequence.
  ModelJob* FindNow(std::string_view id, uint64_t sequence);
  bool RefusesEnqueues(const std::string& queue) const;
  // The job that a command with this token is about; nullptr if the job no longer exists.
  ModelJob* FindLeased(std::string_view id, const log::v1::Token& token);
  void BecomeState(ModelJob& job, v1::JobState state);
  void BecomeDead(ModelJob& job, v1::DeadReason reason);
  // Records `job.now` as a new version.
  void RecordVersion(ModelJob& job);
  void Purge(ModelJob& job);
  void ForgetFirstRequest();
  // Notes that the queue is idle, if it is.
  void MaybeIdle(ModelQueue& queue);
  // Forgets the queues that have been idle for long.
  void ForgetIdle();
  std::string RequestKeyOf(const log::v1::Enqueue::Job& spec) const;
  void EndLease(ModelJob& job, const log::v1::Token& token, LeaseEnd end);
  // Records an attempt for the lease that was counted last.
  void AddAttempt(ModelJob& job, v1::Attempt::End end, const std::string& worker, int64_t held_ms,
                  const std::string& error);
  bool IsNewer(const ModelJob& job, const log::v1::Token& token) const;

  raft::Index applied_;
  int64_t time_ms_ = 0;
  uint32_t level_ = 0;
  std::deque<ModelJob> jobs_;
  std::map<std::string, std::vector<uint32_t>, std::less<>> by_id_;
  std::map<uint64_t, uint32_t> by_number_;
  std::set<uint32_t> live_;
  Timers due_, expiring_, purging_;
  std::map<std::string, ModelQueue> queues_;
  // The index at which each lease ended. A lease can end twice: it expired and was completed late.
  std::map<std::tuple<uint32_t, queue::LeaseToken, LeaseEnd>, raft::Index> ends_;
  struct Key {
    uint64_t number = 0;
    std::string id;
    int64_t end_ms = 0;
    uint32_t slot = 0;
  };
  std::map<std::pair<std::string, std::string>, Key> keys_;
  std::map<std::string, Key> requests_;  // by request key: of jobs that are gone
  // One for each such job, in the order in which they went.
  struct GoneRequest {
    std::string key;
    int64_t end_ms = 0;
    uint32_t slot = 0;
  };
  std::deque<GoneRequest> requests_in_order_;
};

}  // namespace dqueue::sim
