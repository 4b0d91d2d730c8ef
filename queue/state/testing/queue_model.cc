#include "queue/state/testing/queue_model.h"

#include <algorithm>
#include <memory>
#include <set>

#include "queue/api/limits.h"

namespace dqueue::queue {
namespace {

constexpr size_t kStep = 4096;

// The content that decides whether two enqueues are the same.
std::string MeaningOf(const log::v1::Enqueue::Job& spec) {
  log::v1::Enqueue::Job meant;
  meant.set_queue(spec.queue());
  meant.set_type(spec.type());
  meant.set_payload(spec.payload());
  meant.set_priority(spec.priority());
  meant.set_ordering_key(spec.ordering_key());
  *meant.mutable_headers() = spec.headers();
  *meant.mutable_labels() = spec.labels();
  return meant.SerializeAsString();
}

// By which a repetition of the job's request is known; empty: by nothing.
std::string RequestKeyOf(const log::v1::Enqueue::Job& spec) {
  if (!spec.request_key().empty()) return "key " + spec.request_key();
  return spec.id_of_request() ? "id " + spec.id() : "";
}
std::string RequestMeaningOf(const log::v1::Enqueue::Job& spec) {
  return MeaningOf(spec) + (spec.request_key().empty() ? "" : spec.id());
}

LeaseToken TokenOf(const log::v1::Token& token) { return {token.term(), token.sequence()}; }

CommandResult Answer(ResultCode code, v1::JobState state) {
  CommandResult result;
  result.code = code;
  result.state = state;
  return result;
}

template <class T>
void SetMs(int64_t ms, T* out) {
  out->set_seconds(ms / 1000);
  out->set_nanos(static_cast<int32_t>(ms % 1000) * 1000000);
}

}  // namespace

int64_t QueueModel::Job::PurgeTime() const {
  if (spec.retention_ms() >= 0) return since_ms + spec.retention_ms();
  return since_ms + (state == v1::JOB_STATE_DEAD ? kDeadRetentionMsDefault : kRetentionMsDefault);
}

std::vector<CommandResult> QueueModel::Apply(const log::v1::CommandBatch& batch) {
  level_ = std::max(level_, batch.level());
  Advance(batch.time_ms());
  std::vector<CommandResult> results;
  for (const log::v1::Command& command : batch.commands()) results.push_back(Execute(command));
  return results;
}

void QueueModel::Advance(int64_t time_ms) {
  time_ms_ = std::max(time_ms_, time_ms);
  // The due ones, earliest first, up to a limit.
  const auto come = [&](auto time_of) {
    std::vector<std::pair<std::pair<int64_t, uint64_t>, std::string>> due;
    for (const auto& [id, job] : jobs_) {
      const int64_t at = time_of(job);
      if (at >= 0 && at <= time_ms_) due.push_back({{at, job.sequence}, id});
    }
    std::sort(due.begin(), due.end());
    if (due.size() > kStep) due.resize(kStep);
    return due;
  };
  for (const auto& [when, id] : come(
           [](const Job& job) { return job.state == v1::JOB_STATE_SCHEDULED ? job.run_ms : -1; })) {
    Enter(jobs_.at(id), v1::JOB_STATE_READY);
  }
  for (const auto& [when, id] :
       come([](const Job& job) { return job.live() && job.expire_ms != 0 ? job.expire_ms : -1; })) {
    Kill(jobs_.at(id), v1::DEAD_REASON_JOB_EXPIRED);
  }
  for (const auto& [when, id] :
       come([](const Job& job) { return job.live() ? -1 : job.PurgeTime(); })) {
    Purge(id);
  }
  std::vector<std::pair<std::pair<int64_t, uint64_t>, std::pair<std::string, std::string>>> over;
  for (const auto& [name, key] : keys_) {
    if (key.end_ms <= time_ms_) over.push_back({{key.end_ms, key.sequence}, name});
  }
  std::sort(over.begin(), over.end());
  if (over.size() > kStep) over.resize(kStep);
  for (const auto& [when, name] : over) keys_.erase(name);
  while (!requests_.empty() && requests_.front().end_ms <= time_ms_) requests_.pop_front();
  std::vector<std::pair<int64_t, std::string>> idle;
  for (const auto& [queue, since_ms] : idle_since_) {
    if (level_ > 0 && since_ms + kQueueIdleMs <= time_ms_) idle.emplace_back(since_ms, queue);
  }
  std::sort(idle.begin(), idle.end());
  for (const auto& [since_ms, queue] : idle) {
    forgotten_enqueued_ += events_.at(queue).enqueued();
    events_.erase(queue);
    idle_since_.erase(queue);
  }
}

void QueueModel::Purge(const std::string& id) {
  const Job job = jobs_.at(id);
  Events(job).set_purged(Events(job).purged() + 1);
  jobs_.erase(id);
  MaybeIdle(job.spec.queue());
  const int64_t end_ms = job.create_ms + kRequestIdMs;
  const std::string key = RequestKeyOf(job.spec);
  if (!key.empty() && end_ms > time_ms_) {
    requests_.push_back({key, RequestMeaningOf(job.spec), end_ms});
  }
}

void QueueModel::MaybeIdle(const std::string& queue) {
  for (const auto& [id, job] : jobs_) {
    if (job.spec.queue() == queue) return;
  }
  if (!events_.at(queue).paused()) idle_since_.try_emplace(queue, level_ > 0 ? time_ms_ : 0);
}

CommandResult QueueModel::Execute(const log::v1::Command& command) {
  if (command.has_enqueue()) return Enqueue(command.enqueue());
  if (command.has_set_queue()) return SetQueue(command.set_queue());
  if (command.has_create_key()) return CreateKey(command.create_key());
  if (command.has_revoke_key()) return RevokeKey(command.revoke_key());
  if (command.has_use_keys()) return UseKeys(command.use_keys());
  if (command.has_trim()) return Trim(command.trim());
  const std::string& id = command.has_complete()     ? command.complete().id()
                          : command.has_fail()       ? command.fail().id()
                          : command.has_expire()     ? command.expire().id()
                          : command.has_cancel()     ? command.cancel().id()
                          : command.has_delete_job() ? command.delete_job().id()
                                                     : command.retry().id();
  const auto it = jobs_.find(id);
  if (it == jobs_.end()) return Answer(ResultCode::kNotFound, v1::JOB_STATE_UNSPECIFIED);
  Job& job = it->second;
  const uint64_t of = command.has_complete()     ? command.complete().token().job_sequence()
                      : command.has_fail()       ? command.fail().token().job_sequence()
                      : command.has_expire()     ? command.expire().token().job_sequence()
                      : command.has_cancel()     ? command.cancel().job_sequence()
                      : command.has_retry()      ? command.retry().job_sequence()
                      : command.has_delete_job() ? command.delete_job().job_sequence()
                                                 : 0;
  if (of != 0 && of != job.sequence) {
    const bool by_operator =
        command.has_cancel() || command.has_retry() || command.has_delete_job();
    return by_operator ? Answer(ResultCode::kNotFound, v1::JOB_STATE_UNSPECIFIED)
                       : Answer(ResultCode::kLeaseStale, job.state);
  }
  if (command.has_delete_job()) {
    const uint32_t states = command.delete_job().states();
    if (states != 0 && (states >> job.state & 1) == 0) {
      return Answer(ResultCode::kInvalidState, job.state);
    }
    Purge(id);
    return {};
  }
  if (command.has_complete()) {
    return Complete(job, TokenOf(command.complete().token()), command.complete().result());
  }
  if (command.has_fail()) return Fail(job, TokenOf(command.fail().token()), command.fail());
  if (command.has_expire()) {
    return Expire(job, TokenOf(command.expire().token()), command.expire());
  }
  return command.has_cancel() ? Cancel(job) : Retry(job);
}

CommandResult QueueModel::CreateKey(const log::v1::CreateKey& command) {
  CommandResult result;
  const std::vector<std::string> queues(command.queues().begin(), command.queues().end());
  const std::set<std::string> in_order(queues.begin(), queues.end());
  const bool can_be =
      !command.id().empty() && command.id().size() <= 64 && command.digest().size() == 32 &&
      command.name().size() <= 128 && command.owner_id().size() <= 128 && command.type() >= 1 &&
      command.type() <= 3 && command.scopes() != 0 && command.scopes() < 2048 &&
      queues.size() <= 100 && queues == std::vector(in_order.begin(), in_order.end());
  KeyRecord key;
  if (can_be) std::copy(command.digest().begin(), command.digest().end(), key.digest.begin());
  const auto it = api_keys_.find(command.id());
  if (!can_be || (it != api_keys_.end() && it->second.digest != key.digest)) {
    result.code = ResultCode::kKeyRefused;
    return result;
  }
  if (it == api_keys_.end()) {
    key.id = command.id();
    key.name = command.name();
    key.owner_id = command.owner_id();
    key.type = static_cast<v1::KeyType>(command.type());
    key.scopes = command.scopes();
    key.queues = queues;
    key.create_time_ms = time_ms_;
    api_keys_[command.id()] = key;
  } else {
    result.code = ResultCode::kExisting;
  }
  result.key = std::make_shared<const KeyRecord>(api_keys_.at(command.id()));
  return result;
}

CommandResult QueueModel::RevokeKey(const log::v1::RevokeKey& command) {
  CommandResult result;
  const auto it = api_keys_.find(command.id());
  if (it == api_keys_.end() ||
      (!command.owner_id().empty() && command.owner_id() != it->second.owner_id)) {
    result.code = ResultCode::kNotFound;
    return result;
  }
  if (it->second.revoke_time_ms == 0) it->second.revoke_time_ms = time_ms_;
  result.key = std::make_shared<const KeyRecord>(it->second);
  return result;
}

CommandResult QueueModel::UseKeys(const log::v1::UseKeys& command) {
  for (const std::string& id : command.ids()) {
    if (api_keys_.contains(id)) api_keys_.at(id).last_use_time_ms = time_ms_;
  }
  return {};
}

CommandResult QueueModel::Trim(const log::v1::Trim& command) {
  const auto purge = [&](bool dead, size_t count) {
    std::set<std::pair<std::pair<int64_t, uint64_t>, std::string>> order;
    for (const auto& [id, job] : jobs_) {
      if (job.live() || (job.state == v1::JOB_STATE_DEAD) != dead) continue;
      order.insert({{job.PurgeTime(), job.sequence}, id});
    }
    for (; count > 0 && !order.empty(); --count) {
      Purge(order.begin()->second);
      order.erase(order.begin());
    }
  };
  purge(/*dead=*/false, command.finished());
  purge(/*dead=*/true, command.dead());
  std::set<std::pair<std::pair<int64_t, uint64_t>, std::pair<std::string, std::string>>> spent;
  for (const auto& [name, key] : keys_) {
    const auto job = jobs_.find(key.job_id);
    const bool waits =
        job != jobs_.end() && job->second.sequence == key.sequence && job->second.live();
    if (!waits) spent.insert({{key.end_ms, key.sequence}, name});
  }
  for (size_t count = command.ids(); count > 0 && !spent.empty(); --count) {
    keys_.erase(spent.begin()->second);
    spent.erase(spent.begin());
  }
  for (size_t count = command.requests(); count > 0 && !requests_.empty(); --count) {
    requests_.pop_front();
  }
  return {};
}

CommandResult QueueModel::SetQueue(const log::v1::SetQueue& command) {
  if (!events_.contains(command.queue())) {
    if (!command.paused()) return Answer(ResultCode::kNotFound, v1::JOB_STATE_UNSPECIFIED);
    if (events_.size() == kQueuesMax) {
      return Answer(ResultCode::kTooManyQueues, v1::JOB_STATE_UNSPECIFIED);
    }
  }
  v1::QueueStats& queue = events_[command.queue()];
  queue.set_paused(command.paused());
  queue.set_refuses_enqueues(command.paused() && command.refuse_enqueues());
  if (command.paused()) idle_since_.erase(command.queue());
  MaybeIdle(command.queue());
  return {};
}

CommandResult QueueModel::Enqueue(const log::v1::Enqueue& command) {
  if (command.jobs_size() == 1) return EnqueueOne(command.jobs(0));
  // All or nothing: tried on a copy.
  QueueModel tried = *this;
  CommandResult all;
  for (int i = 0; i < command.jobs_size(); ++i) {
    const CommandResult one = tried.EnqueueOne(command.jobs(i));
    if (one.code == ResultCode::kExisting) {
      all.existing.emplace_back(i, one.existing_id);
    } else if (one.code != ResultCode::kOk) {
      CommandResult refused;
      refused.code = one.code;
      refused.failed_item = static_cast<uint32_t>(i);
      refused.existing_id = one.existing_id;
      return refused;
    }
  }
  if (command.jobs_size() > 0 && all.existing.size() == static_cast<size_t>(command.jobs_size())) {
    all.code = ResultCode::kExisting;
  }
  *this = std::move(tried);
  return all;
}

CommandResult QueueModel::EnqueueOne(const log::v1::Enqueue::Job& command) {
  log::v1::Enqueue::Job spec = command;
  if (level_ == 0) {
    spec.clear_id_of_request();
    spec.clear_request_key();
  }
  const std::string meaning = MeaningOf(spec);
  CommandResult result;
  const auto old = jobs_.find(spec.id());
  if (old != jobs_.end()) {
    const bool same = MeaningOf(old->second.spec) == meaning;
    result.code = same ? ResultCode::kExisting : ResultCode::kDuplicateJob;
    result.existing_id = spec.id();
    if (same) result.state = old->second.state;
    return result;
  }
  const auto request = std::find_if(requests_.rbegin(), requests_.rend(), [&](const Request& gone) {
    return gone.key == RequestKeyOf(spec);
  });
  if (request != requests_.rend() && request->end_ms > time_ms_) {
    const bool same = request->meaning == RequestMeaningOf(spec);
    result.code = same ? ResultCode::kExisting : ResultCode::kDuplicateJob;
    result.existing_id = spec.id();
    return result;
  }
  const std::pair<std::string, std::string> name = {spec.queue(), spec.idempotency_key()};
  if (!spec.idempotency_key().empty()) {
    const auto key = keys_.find(name);
    if (key != keys_.end() && key->second.end_ms > time_ms_) {
      const bool same = key->second.meaning == meaning;
      result.code = same ? ResultCode::kExisting : ResultCode::kIdempotencyMismatch;
      result.existing_id = key->second.job_id;
      const auto owner = jobs_.find(result.existing_id);
      if (same && owner != jobs_.end()) result.state = owner->second.state;
      return result;
    }
  }
  if (!events_.contains(spec.queue()) && events_.size() == kQueuesMax) {
    result.code = ResultCode::kTooManyQueues;
    return result;
  }
  if (events_.contains(spec.queue()) && events_.at(spec.queue()).refuses_enqueues()) {
    result.code = ResultCode::kQueuePaused;
    return result;
  }
  Job job;
  job.spec = spec;
  job.sequence = next_sequence_++;
  job.create_ms = time_ms_;
  job.run_ms = std::max(time_ms_, spec.run_time_ms());
  job.expire_ms = spec.expire_time_ms();
  job.since_ms = time_ms_;
  job.state = job.run_ms > time_ms_ ? v1::JOB_STATE_SCHEDULED : v1::JOB_STATE_READY;
  if (!spec.idempotency_key().empty()) {
    keys_[name] = {meaning, spec.id(), job.sequence, time_ms_ + spec.idempotency_window_ms()};
  }
  result.state = job.state;
  Events(job).set_enqueued(Events(job).enqueued() + 1);
  idle_since_.erase(spec.queue());
  jobs_.emplace(spec.id(), std::move(job));
  return result;
}

CommandResult QueueModel::Complete(Job& job, LeaseToken token, const std::string& result) {
  if (!job.live()) {
    if (job.ended_by == "complete" && token == job.last_token) {
      return Answer(ResultCode::kOk, job.state);
    }
    return Answer(ResultCode::kInvalidState, job.state);
  }
  if (token == LeaseToken{} || token < job.last_token) {
    return Answer(ResultCode::kLeaseStale, job.state);
  }
  const bool late = token == job.last_token;
  if (late && job.ended_by != "expire") return Answer(ResultCode::kInvalidState, job.state);
  if (!late) ++job.delivered;
  job.last_token = token;
  job.ended_by = "complete";
  job.result = result;
  Events(job).set_completions(Events(job).completions() + 1);
  Enter(job, v1::JOB_STATE_SUCCEEDED);
  return Answer(ResultCode::kOk, job.state);
}

CommandResult QueueModel::Fail(Job& job, LeaseToken token, const log::v1::Fail& command) {
  if (job.ended_by == "fail" && token == job.last_token) return Answer(ResultCode::kOk, job.state);
  if (!job.live()) return Answer(ResultCode::kInvalidState, job.state);
  if (token == LeaseToken{} || token <= job.last_token) {
    return Answer(ResultCode::kLeaseStale, job.state);
  }
  if (job.state == v1::JOB_STATE_SCHEDULED) return Answer(ResultCode::kInvalidState, job.state);
  ++job.delivered;
  ++job.failed;
  job.last_token = token;
  job.ended_by = "fail";
  job.error = command.error();
  AddAttempt(job, command.reject() ? v1::Attempt::END_REJECTED : v1::Attempt::END_FAILED,
             command.worker_id(), command.held_ms(), command.error());
  Events(job).set_failures(Events(job).failures() + 1);
  if (command.reject()) {
    Kill(job, v1::DEAD_REASON_REJECTED);
  } else if (job.failed > static_cast<int32_t>(job.spec.max_retries())) {
    Kill(job, v1::DEAD_REASON_FAILED);
  } else {
    job.run_ms = std::max(time_ms_, command.next_run_time_ms());
    Enter(job, job.run_ms > time_ms_ ? v1::JOB_STATE_SCHEDULED : v1::JOB_STATE_READY);
  }
  return Answer(ResultCode::kOk, job.state);
}

void QueueModel::AddAttempt(Job& job, v1::Attempt::End end, const std::string& worker,
                            int64_t held_ms, const std::string& error) {
  if (held_ms == 0) return;
  if (job.attempts.size() == 10) job.attempts.erase(job.attempts.begin());
  v1::Attempt& attempt = job.attempts.emplace_back();
  attempt.set_number(job.delivered);
  attempt.set_end(end);
  attempt.set_worker_id(worker);
  SetMs(time_ms_, attempt.mutable_end_time());
  if (held_ms > 0) SetMs(held_ms, attempt.mutable_held());
  attempt.set_error(error.substr(0, 512));
}

CommandResult QueueModel::Expire(Job& job, LeaseToken token, const log::v1::Expire& command) {
  if (job.ended_by == "expire" && token == job.last_token) {
    return Answer(ResultCode::kOk, job.state);
  }
  if (!job.live()) return Answer(ResultCode::kInvalidState, job.state);
  if (token == LeaseToken{} || token < job.last_token) {
    return Answer(ResultCode::kLeaseStale, job.state);
  }
  if (token == job.last_token || job.state == v1::JOB_STATE_SCHEDULED) {
    return Answer(ResultCode::kInvalidState, job.state);
  }
  ++job.delivered;
  ++job.expired;
  job.last_token = token;
  job.ended_by = "expire";
  job.error = "lease expired (worker " + command.worker_id() + ")";
  AddAttempt(job, v1::Attempt::END_EXPIRED, command.worker_id(), command.held_ms(), "");
  Events(job).set_expirations(Events(job).expirations() + 1);
  if (job.expired > static_cast<int32_t>(job.spec.max_expirations())) {
    Kill(job, v1::DEAD_REASON_LEASE_EXPIRED);
  } else {
    Enter(job, v1::JOB_STATE_READY);
  }
  return Answer(ResultCode::kOk, job.state);
}

CommandResult QueueModel::Cancel(Job& job) {
  if (job.state == v1::JOB_STATE_CANCELLED) return Answer(ResultCode::kOk, job.state);
  if (!job.live()) return Answer(ResultCode::kInvalidState, job.state);
  Events(job).set_cancellations(Events(job).cancellations() + 1);
  Enter(job, v1::JOB_STATE_CANCELLED);
  return Answer(ResultCode::kOk, job.state);
}

CommandResult QueueModel::Retry(Job& job) {
  if (job.state != v1::JOB_STATE_DEAD && job.state != v1::JOB_STATE_CANCELLED) {
    return Answer(ResultCode::kInvalidState, job.state);
  }
  job.failed = 0;
  job.expired = 0;
  job.dead_reason = v1::DEAD_REASON_UNSPECIFIED;
  job.run_ms = time_ms_;
  if (job.expire_ms <= time_ms_) job.expire_ms = 0;
  Events(job).set_retries(Events(job).retries() + 1);
  Enter(job, v1::JOB_STATE_READY);
  return Answer(ResultCode::kOk, job.state);
}

void QueueModel::Enter(Job& job, v1::JobState state) {
  job.state = state;
  job.since_ms = time_ms_;
  job.held = false;
}

void QueueModel::Kill(Job& job, v1::DeadReason reason) {
  job.dead_reason = reason;
  Events(job).set_deaths(Events(job).deaths() + 1);
  Enter(job, v1::JOB_STATE_DEAD);
}

std::vector<std::string> QueueModel::Take(const std::vector<std::string>& queues,
                                          const std::vector<std::string>& types, size_t max) {
  std::vector<Job*> fit;
  for (auto& [id, job] : jobs_) {
    if (job.state != v1::JOB_STATE_READY || job.held) continue;
    if (events_.at(job.spec.queue()).paused()) continue;
    const auto names = [](const std::vector<std::string>& all, const std::string& one) {
      return std::find(all.begin(), all.end(), one) != all.end();
    };
    if (!names(queues, job.spec.queue())) continue;
    if (!types.empty() && !names(types, job.spec.type())) continue;
    fit.push_back(&job);
  }
  std::sort(fit.begin(), fit.end(), [](const Job* a, const Job* b) {
    return std::make_tuple(-static_cast<int64_t>(a->spec.priority()), a->run_ms, a->sequence) <
           std::make_tuple(-static_cast<int64_t>(b->spec.priority()), b->run_ms, b->sequence);
  });
  if (fit.size() > max) fit.resize(max);
  std::vector<std::string> ids;
  for (Job* job : fit) {
    job->held = true;
    ids.push_back(job->spec.id());
  }
  return ids;
}

bool QueueModel::Hold(const std::string& id) {
  Job& job = jobs_.at(id);
  if (job.state != v1::JOB_STATE_READY || job.held) return false;
  job.held = true;
  return true;
}

void QueueModel::Release(const std::string& id) { jobs_.at(id).held = false; }

void QueueModel::ReleaseAll() {
  for (auto& [id, job] : jobs_) job.held = false;
}

v1::Job QueueModel::Shown(const Job& job) const {
  v1::Job out;
  out.set_id(job.spec.id());
  out.set_queue(job.spec.queue());
  out.set_type(job.spec.type());
  out.set_payload(job.spec.payload());
  out.set_state(job.state);
  out.set_priority(static_cast<int32_t>(job.spec.priority()));
  SetMs(job.create_ms, out.mutable_create_time());
  SetMs(job.run_ms, out.mutable_run_time());
  if (job.expire_ms != 0) SetMs(job.expire_ms, out.mutable_expire_time());
  if (!job.live()) SetMs(job.since_ms, out.mutable_finish_time());
  v1::RetryPolicy& retry = *out.mutable_retry();
  retry.set_max_retries(static_cast<int32_t>(job.spec.max_retries()));
  retry.set_backoff(static_cast<v1::RetryPolicy::Backoff>(job.spec.backoff()));
  SetMs(job.spec.backoff_base_ms(), retry.mutable_base());
  SetMs(job.spec.backoff_max_ms(), retry.mutable_max_delay());
  retry.set_jitter(job.spec.jitter_permille() / 1000.0);
  retry.set_max_expirations(static_cast<int32_t>(job.spec.max_expirations()));
  out.set_idempotency_key(job.spec.idempotency_key());
  out.set_ordering_key(job.spec.ordering_key());
  for (const auto& pair : job.spec.headers()) (*out.mutable_headers())[pair.key()] = pair.value();
  for (const auto& pair : job.spec.labels()) (*out.mutable_labels())[pair.key()] = pair.value();
  out.mutable_counters()->set_delivered(job.delivered);
  out.mutable_counters()->set_failed(job.failed);
  out.mutable_counters()->set_expired(job.expired);
  out.set_result(job.result);
  out.set_last_error(job.error);
  out.set_dead_reason(job.dead_reason);
  if (!job.live() || job.spec.retention_ms() >= 0) {
    SetMs(job.live() ? job.spec.retention_ms() : job.PurgeTime() - job.since_ms,
          out.mutable_retention());
  }
  if (job.spec.lease_duration_ms() > 0) {
    SetMs(job.spec.lease_duration_ms(), out.mutable_lease_duration());
  }
  for (const v1::Attempt& attempt : job.attempts) *out.add_attempts() = attempt;
  return out;
}

v1::QueueStats QueueModel::StatsOf(const std::string& queue) const {
  v1::QueueStats stats = events_.at(queue);
  stats.set_queue(queue);
  int64_t oldest = time_ms_;
  for (const auto& [id, job] : jobs_) {
    if (job.spec.queue() != queue) continue;
    if (job.state == v1::JOB_STATE_SCHEDULED) stats.set_scheduled(stats.scheduled() + 1);
    if (job.state == v1::JOB_STATE_SUCCEEDED) stats.set_succeeded(stats.succeeded() + 1);
    if (job.state == v1::JOB_STATE_DEAD) stats.set_dead(stats.dead() + 1);
    if (job.state == v1::JOB_STATE_CANCELLED) stats.set_cancelled(stats.cancelled() + 1);
    if (job.held) {
      stats.set_leased(stats.leased() + 1);
    } else if (job.state == v1::JOB_STATE_READY) {
      stats.set_ready(stats.ready() + 1);
      oldest = std::min(oldest, job.since_ms);
    }
  }
  SetMs(time_ms_ - oldest, stats.mutable_oldest_ready_age());
  return stats;
}

int64_t QueueModel::NextTickMs() const {
  int64_t next = INT64_MAX;
  int64_t housekeeping = INT64_MAX;
  for (const auto& [id, job] : jobs_) {
    if (job.state == v1::JOB_STATE_SCHEDULED) next = std::min(next, job.run_ms);
    if (job.live() && job.expire_ms != 0) next = std::min(next, job.expire_ms);
    if (!job.live()) housekeeping = std::min(housekeeping, job.PurgeTime());
  }
  for (const auto& [name, key] : keys_) housekeeping = std::min(housekeeping, key.end_ms);
  for (const auto& [queue, since_ms] : idle_since_) {
    if (level_ > 0) housekeeping = std::min(housekeeping, since_ms + kQueueIdleMs);
  }
  if (housekeeping == INT64_MAX) return next;
  const int64_t second =
      housekeeping % 1000 == 0 ? housekeeping : housekeeping / 1000 * 1000 + 1000;
  return std::min(next, second);
}

}  // namespace dqueue::queue
