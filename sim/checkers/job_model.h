// What every job's life must look like, worked out from the committed commands by other means than
// the product's: plain maps, no holds, no digests, nothing ever forgotten. Keeps each job's past,
// so that an answer given by a node can be held against the state at the very index that it had
// applied.
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

// Payloads are "<number>:<filler>"; the number names a job for all checkers. UINT64_MAX: none.
uint64_t JobNumberOf(std::string_view payload);

// What a job was from some index on.
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
  // As the state machine counts them.
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
  int64_t lease_duration_ms = 0;
  uint32_t max_retries = 0;
  uint32_t max_expirations = 0;
  v1::DeadReason dead_reason = v1::DEAD_REASON_UNSPECIFIED;
  queue::LeaseToken last_token;
  LeaseEnd last_end = LeaseEnd::kNone;
  queue::LeaseToken completed_token;  // of the completion that took effect
  JobVersion now;
  std::vector<JobVersion> past;        // in order; the last is `now`
  std::vector<ModelAttempt> attempts;  // all, in order

  bool live() const {
    return !now.gone && (now.state == v1::JOB_STATE_READY || now.state == v1::JOB_STATE_SCHEDULED);
  }
  // nullptr before it was created.
  const JobVersion* At(raft::Index index) const;
};

// What an operator said of a queue, from some index on.
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

  // As of `index`.
  QueueVersion At(raft::Index index) const;
};

// "job j7 (id)".
std::string Show(const ModelJob& job);

class JobModel {
 public:
  explicit JobModel(const queue::BrokerOptions&) {}

  void Apply(raft::Index index, const log::v1::CommandBatch& batch);

  // The newest with this id; nullptr: there never was one.
  const ModelJob* Find(std::string_view id) const;
  // All that ever had this id, oldest first.
  std::vector<const ModelJob*> FindAll(std::string_view id) const;
  // As of `index`; nullptr if there was none then (not yet created, or purged).
  const ModelJob* FindAt(std::string_view id, raft::Index index) const;
  // The newest with this id and number that was created by `index`, purged or not.
  const ModelJob* FindInstance(std::string_view id, uint64_t number, raft::Index index) const;
  const ModelJob* FindNumber(uint64_t number) const;
  // The one that a lease token means; nullptr if no job with this id ever had this sequence.
  const ModelJob* FindSequence(std::string_view id, uint64_t sequence) const;
  const std::deque<ModelJob>& jobs() const { return jobs_; }
  const std::map<std::string, ModelQueue>& queues() const { return queues_; }
  // Slots of the jobs that can still be delivered, in the order of creation.
  const std::set<uint32_t>& live() const { return live_; }
  int64_t time_ms() const { return time_ms_; }
  raft::Index applied() const { return applied_; }
  // Whether the log, up to `by`, has ended the lease of this token in this way.
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
  void Create(const log::v1::Enqueue::Job& spec);
  ModelJob* Present(std::string_view id);
  // With this sequence, if it is not 0.
  ModelJob* Present(std::string_view id, uint64_t sequence);
  bool Refuses(const std::string& queue) const;
  // The job that a command with this token is about; nullptr if another one has its id now.
  ModelJob* Leased(std::string_view id, const log::v1::Token& token);
  void Become(ModelJob& job, v1::JobState state);
  void Kill(ModelJob& job, v1::DeadReason reason);
  void Changed(ModelJob& job);
  void Purge(ModelJob& job);
  void End(ModelJob& job, const log::v1::Token& token, LeaseEnd end);
  // Of the lease that has just been counted.
  void AddAttempt(ModelJob& job, v1::Attempt::End end, const std::string& worker, int64_t held_ms,
                  const std::string& error);
  bool IsNewer(const ModelJob& job, const log::v1::Token& token) const;

  raft::Index applied_;
  int64_t time_ms_ = 0;
  std::deque<ModelJob> jobs_;
  std::map<std::string, std::vector<uint32_t>, std::less<>> by_id_;
  std::map<uint64_t, uint32_t> by_number_;
  std::set<uint32_t> live_;
  Timers due_, expiring_, purging_;
  std::map<std::string, ModelQueue> queues_;
  // Where leases ended; one can end twice: it ran out, and was then completed late.
  std::map<std::tuple<uint32_t, queue::LeaseToken, LeaseEnd>, raft::Index> ends_;
  struct Key {
    uint64_t number = 0;
    std::string id;
    int64_t end_ms = 0;
  };
  std::map<std::pair<std::string, std::string>, Key> keys_;
};

}  // namespace dqueue::sim
