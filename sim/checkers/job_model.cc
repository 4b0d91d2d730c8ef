#include "sim/checkers/job_model.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "queue/api/limits.h"

namespace dqueue::sim {
namespace {

queue::LeaseToken TokenOf(const log::v1::Token& token) { return {token.term(), token.sequence()}; }

bool IsFinished(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_DEAD ||
         state == v1::JOB_STATE_CANCELLED;
}

int64_t RetentionOf(const ModelJob& job) {
  if (job.retention_ms >= 0) return job.retention_ms;
  return job.now.state == v1::JOB_STATE_DEAD ? queue::kDeadRetentionMsDefault
                                             : queue::kRetentionMsDefault;
}

}  // namespace

std::string Show(const ModelJob& job) {
  return "job j" + std::to_string(job.number) + " (" + job.id + ")";
}

uint64_t JobNumberOf(std::string_view payload) {
  uint64_t number = UINT64_MAX;
  const auto [end, error] =
      std::from_chars(payload.data(), payload.data() + payload.size(), number);
  const bool whole = error == std::errc() && end != payload.data() + payload.size() && *end == ':';
  return whole ? number : UINT64_MAX;
}

const JobVersion* ModelJob::At(raft::Index index) const {
  const auto after =
      std::upper_bound(past.begin(), past.end(), index,
                       [](raft::Index i, const JobVersion& v) { return i < v.index; });
  return after == past.begin() ? nullptr : &*std::prev(after);
}

QueueVersion ModelQueue::At(raft::Index index) const {
  const auto after =
      std::upper_bound(past.begin(), past.end(), index,
                       [](raft::Index i, const QueueVersion& v) { return i < v.index; });
  return after == past.begin() ? QueueVersion() : *std::prev(after);
}

const ModelJob* JobModel::Find(std::string_view id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : &jobs_[it->second.back()];
}

std::vector<const ModelJob*> JobModel::FindAll(std::string_view id) const {
  std::vector<const ModelJob*> jobs;
  const auto it = by_id_.find(id);
  if (it == by_id_.end()) return jobs;
  for (const uint32_t slot : it->second) jobs.push_back(&jobs_[slot]);
  return jobs;
}

const ModelJob* JobModel::FindAt(std::string_view id, raft::Index index) const {
  const auto it = by_id_.find(id);
  if (it == by_id_.end()) return nullptr;
  for (auto slot = it->second.rbegin(); slot != it->second.rend(); ++slot) {
    const JobVersion* version = jobs_[*slot].At(index);
    if (version != nullptr) return version->gone ? nullptr : &jobs_[*slot];
  }
  return nullptr;
}

const ModelJob* JobModel::FindInstance(std::string_view id, uint64_t number,
                                       raft::Index index) const {
  const auto it = by_id_.find(id);
  if (it == by_id_.end()) return nullptr;
  for (auto slot = it->second.rbegin(); slot != it->second.rend(); ++slot) {
    const ModelJob& job = jobs_[*slot];
    if (job.number == number && job.past.front().index <= index) return &job;
  }
  return nullptr;
}

const ModelJob* JobModel::FindNumber(uint64_t number) const {
  const auto it = by_number_.find(number);
  return it == by_number_.end() ? nullptr : &jobs_[it->second];
}

const ModelJob* JobModel::FindSequence(std::string_view id, uint64_t sequence) const {
  if (sequence == 0 || sequence > jobs_.size()) return nullptr;
  const ModelJob& job = jobs_[sequence - 1];
  DQ_CHECK(job.sequence() == sequence);
  return job.id == id ? &job : nullptr;
}

bool JobModel::Ended(const ModelJob& job, queue::LeaseToken token, LeaseEnd end,
                     raft::Index by) const {
  const auto it = ends_.find({job.slot, token, end});
  return it != ends_.end() && it->second <= by;
}

ModelJob* JobModel::FindNow(std::string_view id) {
  const auto it = by_id_.find(id);
  if (it == by_id_.end()) return nullptr;
  ModelJob& job = jobs_[it->second.back()];
  return job.now.gone ? nullptr : &job;
}

ModelJob* JobModel::FindNow(std::string_view id, uint64_t sequence) {
  ModelJob* job = FindNow(id);
  const bool another = job != nullptr && sequence != 0 && sequence != job->sequence();
  return another ? nullptr : job;
}

ModelJob* JobModel::FindLeased(std::string_view id, const log::v1::Token& token) {
  return FindNow(id, token.job_sequence());
}

bool JobModel::RefusesEnqueues(const std::string& queue) const {
  const auto it = queues_.find(queue);
  return it != queues_.end() && !it->second.past.empty() && it->second.past.back().refuses;
}

void JobModel::RecordVersion(ModelJob& job) {
  job.now.index = applied_;
  if (!job.past.empty() && job.past.back().index == applied_) {
    job.past.back() = job.now;
  } else {
    job.past.push_back(job.now);
  }
}

void JobModel::BecomeState(ModelJob& job, v1::JobState state) {
  if (job.now.state == v1::JOB_STATE_SCHEDULED) due_.erase({job.now.run_ms, job.slot});
  if (IsFinished(job.now.state)) purging_.erase({job.since_ms + RetentionOf(job), job.slot});
  ModelQueue& queue = queues_[job.queue];
  if (job.now.state != v1::JOB_STATE_UNSPECIFIED) --queue.jobs[job.now.state];
  ++queue.jobs[state];
  job.now.state = state;
  job.since_ms = time_ms_;
  if (IsFinished(state)) {
    if (job.expire_ms > 0) expiring_.erase({job.expire_ms, job.slot});
    purging_.insert({job.since_ms + RetentionOf(job), job.slot});
    live_.erase(job.slot);
  } else {
    if (state == v1::JOB_STATE_SCHEDULED) due_.insert({job.now.run_ms, job.slot});
    if (job.expire_ms > 0) expiring_.insert({job.expire_ms, job.slot});
    live_.insert(job.slot);
  }
  RecordVersion(job);
}

void JobModel::BecomeDead(ModelJob& job, v1::DeadReason reason) {
  job.dead_reason = reason;
  ++queues_[job.queue].deaths;
  BecomeState(job, v1::JOB_STATE_DEAD);
}

void JobModel::Purge(ModelJob& job) {
  ModelQueue& queue = queues_[job.queue];
  --queue.jobs[job.now.state];
  ++queue.purged;
  purging_.erase({job.since_ms + RetentionOf(job), job.slot});
  due_.erase({job.now.run_ms, job.slot});
  expiring_.erase({job.expire_ms, job.slot});
  live_.erase(job.slot);
  job.now.gone = true;
  RecordVersion(job);
  MaybeIdle(queue);
  const int64_t end_ms = job.create_ms + queue::kRequestIdMs;
  if (!job.request_key.empty() && end_ms > time_ms_) {
    requests_[job.request_key] = {job.number, job.id, end_ms, job.slot};
    requests_in_order_.push_back({job.request_key, end_ms, job.slot});
  }
}

void JobModel::ForgetFirstRequest() {
  const GoneRequest& first = requests_in_order_.front();
  const auto it = requests_.find(first.key);
  if (it != requests_.end() && it->second.slot == first.slot) requests_.erase(it);
  requests_in_order_.pop_front();
}

void JobModel::MaybeIdle(ModelQueue& queue) {
  const bool paused = !queue.past.empty() && queue.past.back().paused;
  const bool has_jobs = std::any_of(queue.jobs.begin(), queue.jobs.end(),
                                    [](const auto& jobs) { return jobs.second > 0; });
  if (!paused && !has_jobs && !queue.idle_since_ms) {
    queue.idle_since_ms = level_ > 0 ? time_ms_ : 0;
  }
}

void JobModel::ForgetIdle() {
  if (level_ == 0) return;
  for (auto& [name, queue] : queues_) {
    if (!queue.idle_since_ms || *queue.idle_since_ms + queue::kQueueIdleMs > time_ms_) continue;
    std::vector<QueueVersion> past = std::move(queue.past);
    queue = ModelQueue();
    queue.past = std::move(past);
    queue.forgotten = true;
  }
}

std::string JobModel::RequestKeyOf(const log::v1::Enqueue::Job& spec) const {
  if (level_ == 0) return "";
  if (!spec.request_key().empty()) return "key " + spec.request_key();
  return spec.id_of_request() ? "id " + spec.id() : "";
}

void JobModel::Advance() {
  while (!expiring_.empty() && expiring_.begin()->first <= time_ms_) {
    BecomeDead(jobs_[expiring_.begin()->second], v1::DEAD_REASON_JOB_EXPIRED);
  }
  while (!due_.empty() && due_.begin()->first <= time_ms_) {
    BecomeState(jobs_[due_.begin()->second], v1::JOB_STATE_READY);
  }
  while (!purging_.empty() && purging_.begin()->first <= time_ms_) {
    Purge(jobs_[purging_.begin()->second]);
  }
  std::erase_if(keys_, [this](const auto& key) { return key.second.end_ms <= time_ms_; });
  std::erase_if(requests_, [this](const auto& key) { return key.second.end_ms <= time_ms_; });
  while (!requests_in_order_.empty() && requests_in_order_.front().end_ms <= time_ms_) {
    ForgetFirstRequest();
  }
  ForgetIdle();
}

void JobModel::Apply(raft::Index index, const log::v1::CommandBatch& batch) {
  DQ_CHECK(index > applied_);
  applied_ = index;
  time_ms_ = std::max(time_ms_, batch.time_ms());
  level_ = std::max(level_, batch.level());
  Advance();
  for (const log::v1::Command& command : batch.commands()) {
    switch (command.kind_case()) {
      case log::v1::Command::kEnqueue:
        Execute(command.enqueue());
        break;
      case log::v1::Command::kComplete:
        Execute(command.complete());
        break;
      case log::v1::Command::kFail:
        Execute(command.fail());
        break;
      case log::v1::Command::kExpire:
        Execute(command.expire());
        break;
      case log::v1::Command::kCancel:
        Execute(command.cancel());
        break;
      case log::v1::Command::kRetry:
        Execute(command.retry());
        break;
      case log::v1::Command::kDeleteJob:
        Execute(command.delete_job());
        break;
      case log::v1::Command::kSetQueue:
        Execute(command.set_queue());
        break;
      case log::v1::Command::kTrim:
        Execute(command.trim());
        break;
      case log::v1::Command::kCreateKey:
      case log::v1::Command::kRevokeKey:
      case log::v1::Command::kUseKeys:
        break;
      case log::v1::Command::KIND_NOT_SET:
        CheckFailed(__FILE__, __LINE__, "a command without a kind was committed", {});
    }
  }
}

void JobModel::Execute(const log::v1::Enqueue& command) {
  // All or nothing: check all jobs first, then create. A command may contain the same job twice.
  std::map<std::string, uint64_t> ids;
  std::map<std::pair<std::string, std::string>, uint64_t> keys;
  std::vector<const log::v1::Enqueue::Job*> fresh;
  for (const log::v1::Enqueue::Job& spec : command.jobs()) {
    const uint64_t number = JobNumberOf(spec.payload());
    if (const ModelJob* there = FindNow(spec.id())) {
      if (there->number != number) return;
      continue;
    }
    if (const auto it = ids.find(spec.id()); it != ids.end()) {
      if (it->second != number) return;
      continue;
    }
    if (const auto it = requests_.find(RequestKeyOf(spec)); it != requests_.end()) {
      if (it->second.number != number || it->second.id != spec.id()) return;
      continue;
    }
    if (!spec.idempotency_key().empty()) {
      const std::pair key(spec.queue(), spec.idempotency_key());
      if (const auto it = keys_.find(key); it != keys_.end()) {
        if (it->second.number != number) return;
        continue;
      }
      if (const auto it = keys.find(key); it != keys.end()) {
        if (it->second != number) return;
        continue;
      }
      keys[key] = number;
    }
    if (RefusesEnqueues(spec.queue())) return;
    ids[spec.id()] = number;
    fresh.push_back(&spec);
  }
  for (const log::v1::Enqueue::Job* spec : fresh) Create(*spec);
}

void JobModel::Create(const log::v1::Enqueue::Job& spec) {
  const auto slot = static_cast<uint32_t>(jobs_.size());
  ModelJob& job = jobs_.emplace_back();
  job.slot = slot;
  job.number = JobNumberOf(spec.payload());
  job.id = spec.id();
  job.queue = spec.queue();
  job.type = spec.type();
  job.payload = spec.payload();
  job.priority = spec.priority();
  job.create_ms = time_ms_;
  job.expire_ms = spec.expire_time_ms();
  job.retention_ms = spec.retention_ms();
  job.request_key = RequestKeyOf(spec);
  job.lease_duration_ms = spec.lease_duration_ms();
  job.max_retries = spec.max_retries();
  job.max_expirations = spec.max_expirations();
  job.now.run_ms = std::max(spec.run_time_ms(), time_ms_);
  by_id_[job.id].push_back(slot);
  by_number_[job.number] = slot;
  ModelQueue& queue = queues_[job.queue];
  ++queue.enqueued;
  queue.idle_since_ms.reset();
  queue.forgotten = false;
  if (!spec.idempotency_key().empty()) {
    keys_[{spec.queue(), spec.idempotency_key()}] = {job.number, job.id,
                                                     time_ms_ + spec.idempotency_window_ms(), slot};
  }
  BecomeState(job, job.now.run_ms > time_ms_ ? v1::JOB_STATE_SCHEDULED : v1::JOB_STATE_READY);
}

bool JobModel::IsNewer(const ModelJob& job, const log::v1::Token& token) const {
  return TokenOf(token) > job.last_token;
}

void JobModel::EndLease(ModelJob& job, const log::v1::Token& token, LeaseEnd end) {
  if (IsNewer(job, token)) ++job.now.delivered;
  job.last_token = TokenOf(token);
  job.last_end = end;
  ends_.try_emplace({job.slot, job.last_token, end}, applied_);
}

void JobModel::AddAttempt(ModelJob& job, v1::Attempt::End end, const std::string& worker,
                          int64_t held_ms, const std::string& error) {
  job.attempts.push_back({.index = applied_,
                          .number = job.now.delivered,
                          .end = end,
                          .end_ms = time_ms_,
                          .held_ms = held_ms,
                          .worker = worker,
                          .error = error});
}

void JobModel::Execute(const log::v1::Complete& command) {
  ModelJob* job = FindLeased(command.id(), command.token());
  if (job == nullptr || !job->live()) return;
  // A completion after the lease expired counts if the job was not leased again since.
  const bool late =
      TokenOf(command.token()) == job->last_token && job->last_end == LeaseEnd::kExpired;
  if (!IsNewer(*job, command.token()) && !late) return;
  EndLease(*job, command.token(), LeaseEnd::kCompleted);
  job->completed_token = job->last_token;
  ++queues_[job->queue].completions;
  BecomeState(*job, v1::JOB_STATE_SUCCEEDED);
}

void JobModel::Execute(const log::v1::Fail& command) {
  ModelJob* job = FindLeased(command.id(), command.token());
  if (job == nullptr || job->now.state != v1::JOB_STATE_READY) return;
  if (!IsNewer(*job, command.token())) return;
  EndLease(*job, command.token(), LeaseEnd::kFailed);
  AddAttempt(*job, command.reject() ? v1::Attempt::END_REJECTED : v1::Attempt::END_FAILED,
             command.worker_id(), command.held_ms(), command.error());
  ++job->now.failed;
  ++queues_[job->queue].failures;
  if (command.reject()) {
    BecomeDead(*job, v1::DEAD_REASON_REJECTED);
  } else if (job->now.failed > job->max_retries) {
    BecomeDead(*job, v1::DEAD_REASON_FAILED);
  } else {
    const int64_t next = std::max(command.next_run_time_ms(), time_ms_);
    if (next > time_ms_) {
      job->now.run_ms = next;
      BecomeState(*job, v1::JOB_STATE_SCHEDULED);
    } else {
      job->now.run_ms = next;
      BecomeState(*job, v1::JOB_STATE_READY);
    }
  }
}

void JobModel::Execute(const log::v1::Expire& command) {
  ModelJob* job = FindLeased(command.id(), command.token());
  if (job == nullptr || job->now.state != v1::JOB_STATE_READY) return;
  if (!IsNewer(*job, command.token())) return;
  EndLease(*job, command.token(), LeaseEnd::kExpired);
  AddAttempt(*job, v1::Attempt::END_EXPIRED, command.worker_id(), command.held_ms(), "");
  ++job->now.expired;
  ++queues_[job->queue].expirations;
  if (job->now.expired > job->max_expirations) {
    BecomeDead(*job, v1::DEAD_REASON_LEASE_EXPIRED);
  } else {
    BecomeState(*job, v1::JOB_STATE_READY);
  }
}

void JobModel::Execute(const log::v1::Cancel& command) {
  ModelJob* job = FindNow(command.id(), command.job_sequence());
  if (job == nullptr || !job->live()) return;
  ++queues_[job->queue].cancellations;
  BecomeState(*job, v1::JOB_STATE_CANCELLED);
}

void JobModel::Execute(const log::v1::Retry& command) {
  ModelJob* job = FindNow(command.id(), command.job_sequence());
  if (job == nullptr) return;
  if (job->now.state != v1::JOB_STATE_DEAD && job->now.state != v1::JOB_STATE_CANCELLED) return;
  ++queues_[job->queue].retries;
  job->now.failed = job->now.expired = 0;
  job->dead_reason = v1::DEAD_REASON_UNSPECIFIED;
  job->now.run_ms = time_ms_;
  if (job->expire_ms > 0 && job->expire_ms <= time_ms_) job->expire_ms = 0;
  BecomeState(*job, v1::JOB_STATE_READY);
}

void JobModel::Execute(const log::v1::Delete& command) {
  ModelJob* job = FindNow(command.id(), command.job_sequence());
  if (job == nullptr) return;
  const uint32_t states = command.states();
  if (states == 0 || (states & queue::JobStateBit(job->now.state)) != 0) Purge(*job);
}

void JobModel::Execute(const log::v1::Trim& command) {
  const auto purge = [this](bool dead, uint32_t count) {
    while (count-- > 0) {
      const auto first = std::find_if(purging_.begin(), purging_.end(), [&](const auto& timer) {
        return (jobs_[timer.second].now.state == v1::JOB_STATE_DEAD) == dead;
      });
      if (first == purging_.end()) return;
      Purge(jobs_[first->second]);
    }
  };
  purge(/*dead=*/false, command.finished());
  purge(/*dead=*/true, command.dead());
  for (uint32_t i = 0; i < command.requests() && !requests_in_order_.empty(); ++i) {
    ForgetFirstRequest();
  }
  for (uint32_t i = 0; i < command.ids(); ++i) {
    auto first = keys_.end();
    for (auto key = keys_.begin(); key != keys_.end(); ++key) {
      if (jobs_[key->second.slot].live()) continue;
      if (first == keys_.end() || std::pair(key->second.end_ms, key->second.slot) <
                                      std::pair(first->second.end_ms, first->second.slot)) {
        first = key;
      }
    }
    if (first == keys_.end()) return;
    keys_.erase(first);
  }
}

void JobModel::Execute(const log::v1::SetQueue& command) {
  const auto it = queues_.find(command.queue());
  const bool there = it != queues_.end() && !it->second.forgotten;
  if (!command.paused() && !there) return;
  ModelQueue& queue = queues_[command.queue()];
  queue.forgotten = false;
  queue.past.push_back({applied_, command.paused(), command.paused() && command.refuse_enqueues()});
  if (command.paused()) queue.idle_since_ms.reset();
  MaybeIdle(queue);
}

}  // namespace dqueue::sim
