// A plain model of the replicated queue: maps, loops over everything, whole values instead of
// hashes. Tests compare the state machine with it. The two share no code but the messages.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dqueue/v1/command.pb.h"
#include "dqueue/v1/job.pb.h"
#include "dqueue/v1/service.pb.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

class QueueModel {
 public:
  struct Job {
    log::v1::Enqueue::Job spec;
    v1::JobState state = v1::JOB_STATE_UNSPECIFIED;
    v1::DeadReason dead_reason = v1::DEAD_REASON_UNSPECIFIED;
    uint64_t sequence = 0;
    int64_t create_ms = 0;
    int64_t run_ms = 0;
    int64_t expire_ms = 0;
    int64_t since_ms = 0;
    LeaseToken last_token;
    std::string ended_by;  // "complete", "fail", "expire"; empty: no token yet
    int32_t delivered = 0;
    int32_t failed = 0;
    int32_t expired = 0;
    std::string result;
    std::string error;
    std::vector<v1::Attempt> attempts;
    bool held = false;

    bool live() const { return state == v1::JOB_STATE_READY || state == v1::JOB_STATE_SCHEDULED; }
    int64_t PurgeTime() const;
  };

  std::vector<CommandResult> Apply(const log::v1::CommandBatch& batch);

  // The expected answer of TakeReady. Holds the jobs.
  std::vector<std::string> Take(const std::vector<std::string>& queues,
                                const std::vector<std::string>& types, size_t max);
  bool Hold(const std::string& id);
  void Release(const std::string& id);
  void ReleaseAll();

  const std::map<std::string, Job>& jobs() const { return jobs_; }
  // As FillJob with full = true, and FillAttempts.
  v1::Job Shown(const Job& job) const;
  // As Stats of one queue.
  v1::QueueStats StatsOf(const std::string& queue) const;
  const std::map<std::string, v1::QueueStats>& events() const { return events_; }
  // Jobs that were ever enqueued in queues that are forgotten.
  uint64_t forgotten_enqueued() const { return forgotten_enqueued_; }
  size_t requests() const { return requests_.size(); }
  const std::map<std::string, KeyRecord>& api_keys() const { return api_keys_; }
  int64_t time_ms() const { return time_ms_; }
  int64_t NextTickMs() const;

 private:
  struct Key {
    std::string meaning;
    std::string job_id;
    uint64_t sequence;
    int64_t end_ms;
  };

  // A job of a request that is gone.
  struct Request {
    std::string key;
    std::string meaning;
    int64_t end_ms;
  };

  void Advance(int64_t time_ms);
  void Purge(const std::string& id);
  // Notes that the queue is idle, if it is.
  void MaybeIdle(const std::string& queue);
  CommandResult Execute(const log::v1::Command& command);
  CommandResult Enqueue(const log::v1::Enqueue& command);
  // Creates the job, or says why not.
  CommandResult EnqueueOne(const log::v1::Enqueue::Job& spec);
  CommandResult Complete(Job& job, LeaseToken token, const std::string& result);
  CommandResult Fail(Job& job, LeaseToken token, const log::v1::Fail& command);
  CommandResult Expire(Job& job, LeaseToken token, const log::v1::Expire& command);
  // The attempt that has just been counted.
  void AddAttempt(Job& job, v1::Attempt::End end, const std::string& worker, int64_t held_ms,
                  const std::string& error);
  CommandResult Cancel(Job& job);
  CommandResult Retry(Job& job);
  CommandResult SetQueue(const log::v1::SetQueue& command);
  CommandResult CreateKey(const log::v1::CreateKey& command);
  CommandResult RevokeKey(const log::v1::RevokeKey& command);
  CommandResult UseKeys(const log::v1::UseKeys& command);
  CommandResult Trim(const log::v1::Trim& command);
  void Enter(Job& job, v1::JobState state);
  void Kill(Job& job, v1::DeadReason reason);
  v1::QueueStats& Events(const Job& job) { return events_[job.spec.queue()]; }

  uint32_t level_ = 0;
  int64_t time_ms_ = 0;
  uint64_t next_sequence_ = 1;
  std::map<std::string, Job> jobs_;
  std::map<std::pair<std::string, std::string>, Key> keys_;  // by queue and key
  std::map<std::string, KeyRecord> api_keys_;
  std::map<std::string, v1::QueueStats> events_;  // by queue: what ever happened, and its settings
  std::map<std::string, int64_t> idle_since_;     // by queue
  uint64_t forgotten_enqueued_ = 0;
  std::deque<Request> requests_;  // oldest first
};

}  // namespace dqueue::queue
