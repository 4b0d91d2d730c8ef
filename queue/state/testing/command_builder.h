// Builds log entries for a state machine, in tests and benchmarks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dqueue/v1/command.pb.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

// A job like the broker makes them, with defaults that no test should have to mention.
inline log::v1::Enqueue::Job MakeJob(std::string_view id, std::string_view queue = "q",
                                     std::string_view type = "t") {
  log::v1::Enqueue::Job job;
  job.set_id(std::string(id));
  job.set_queue(std::string(queue));
  job.set_type(std::string(type));
  job.set_max_retries(3);
  job.set_max_expirations(10);
  job.set_backoff(v1::RetryPolicy::BACKOFF_EXPONENTIAL);
  job.set_backoff_base_ms(1000);
  job.set_backoff_max_ms(3600 * 1000);
  job.set_jitter_permille(200);
  job.set_retention_ms(-1);
  return job;
}

// A key like the broker lets them through, with a digest of its own.
inline KeyRecord MakeKey(std::string_view id, std::string_view owner_id = "ann") {
  KeyRecord key;
  key.id = std::string(id);
  for (size_t i = 0; i < key.digest.size(); ++i) {
    key.digest[i] = static_cast<uint8_t>(i + 1 + (i < id.size() ? id[i] : 0));
  }
  key.name = "key of " + std::string(owner_id);
  key.owner_id = std::string(owner_id);
  key.type = v1::KEY_TYPE_CLIENT;
  key.scopes = DefaultScopes(key.type);
  return key;
}

class BatchBuilder {
 public:
  explicit BatchBuilder(int64_t time_ms) { batch_.set_time_ms(time_ms); }

  // The state is at this level from this entry on.
  BatchBuilder& Level(uint32_t level) {
    batch_.set_level(level);
    return *this;
  }
  BatchBuilder& Enqueue(const log::v1::Enqueue::Job& job) {
    *batch_.add_commands()->mutable_enqueue()->add_jobs() = job;
    return *this;
  }
  BatchBuilder& EnqueueAll(const std::vector<log::v1::Enqueue::Job>& jobs) {
    auto* enqueue = batch_.add_commands()->mutable_enqueue();
    for (const auto& job : jobs) *enqueue->add_jobs() = job;
    return *this;
  }
  BatchBuilder& Complete(std::string_view id, LeaseToken token, std::string_view result = "") {
    auto* complete = batch_.add_commands()->mutable_complete();
    complete->set_id(std::string(id));
    SetToken(token, complete->mutable_token());
    complete->set_result(std::string(result));
    return *this;
  }
  BatchBuilder& Fail(std::string_view id, LeaseToken token, std::string_view error = "failed",
                     int64_t next_run_time_ms = 0, bool reject = false,
                     std::string_view worker = "w1", int64_t held_ms = 1000) {
    auto* fail = batch_.add_commands()->mutable_fail();
    fail->set_id(std::string(id));
    SetToken(token, fail->mutable_token());
    fail->set_error(std::string(error));
    fail->set_next_run_time_ms(next_run_time_ms);
    fail->set_reject(reject);
    fail->set_worker_id(std::string(worker));
    fail->set_held_ms(held_ms);
    return *this;
  }
  BatchBuilder& Expire(std::string_view id, LeaseToken token, std::string_view worker = "w1",
                       int64_t held_ms = 30000) {
    auto* expire = batch_.add_commands()->mutable_expire();
    expire->set_id(std::string(id));
    SetToken(token, expire->mutable_token());
    expire->set_worker_id(std::string(worker));
    expire->set_held_ms(held_ms);
    return *this;
  }
  // The command added last is about this job only.
  BatchBuilder& OfJob(uint64_t sequence) {
    log::v1::Command& command = *batch_.mutable_commands()->rbegin();
    if (command.has_cancel()) {
      command.mutable_cancel()->set_job_sequence(sequence);
      return *this;
    }
    if (command.has_retry()) {
      command.mutable_retry()->set_job_sequence(sequence);
      return *this;
    }
    if (command.has_delete_job()) {
      command.mutable_delete_job()->set_job_sequence(sequence);
      return *this;
    }
    log::v1::Token* const token = command.has_complete()
                                      ? command.mutable_complete()->mutable_token()
                                  : command.has_fail() ? command.mutable_fail()->mutable_token()
                                                       : command.mutable_expire()->mutable_token();
    token->set_job_sequence(sequence);
    return *this;
  }
  BatchBuilder& Cancel(std::string_view id) {
    batch_.add_commands()->mutable_cancel()->set_id(std::string(id));
    return *this;
  }
  BatchBuilder& Retry(std::string_view id) {
    batch_.add_commands()->mutable_retry()->set_id(std::string(id));
    return *this;
  }

  BatchBuilder& Delete(std::string_view id, uint32_t states = 0) {
    auto* remove = batch_.add_commands()->mutable_delete_job();
    remove->set_id(std::string(id));
    remove->set_states(states);
    return *this;
  }
  BatchBuilder& Pause(std::string_view queue, bool refuse_enqueues = false) {
    auto* set = batch_.add_commands()->mutable_set_queue();
    set->set_queue(std::string(queue));
    set->set_paused(true);
    set->set_refuse_enqueues(refuse_enqueues);
    return *this;
  }
  BatchBuilder& Resume(std::string_view queue) {
    batch_.add_commands()->mutable_set_queue()->set_queue(std::string(queue));
    return *this;
  }

  BatchBuilder& CreateKey(const KeyRecord& key) {
    auto* create = batch_.add_commands()->mutable_create_key();
    create->set_id(key.id);
    create->set_digest(key.digest.data(), key.digest.size());
    create->set_name(key.name);
    create->set_owner_id(key.owner_id);
    create->set_type(static_cast<uint32_t>(key.type));
    create->set_scopes(key.scopes);
    for (const std::string& queue : key.queues) create->add_queues(queue);
    return *this;
  }
  BatchBuilder& RevokeKey(std::string_view id, std::string_view owner_id = "") {
    auto* revoke = batch_.add_commands()->mutable_revoke_key();
    revoke->set_id(std::string(id));
    revoke->set_owner_id(std::string(owner_id));
    return *this;
  }
  BatchBuilder& UseKeys(const std::vector<std::string>& ids) {
    auto* use = batch_.add_commands()->mutable_use_keys();
    for (const std::string& id : ids) use->add_ids(id);
    return *this;
  }

  BatchBuilder& Trim(const TrimCounts& counts) {
    auto* trim = batch_.add_commands()->mutable_trim();
    trim->set_finished(counts.finished);
    trim->set_dead(counts.dead);
    trim->set_ids(counts.ids);
    trim->set_requests(counts.requests);
    return *this;
  }

  const log::v1::CommandBatch& batch() const { return batch_; }
  std::string Bytes() const { return batch_.SerializeAsString(); }

 private:
  static void SetToken(LeaseToken token, log::v1::Token* out) {
    out->set_term(token.term);
    out->set_sequence(token.sequence);
  }

  log::v1::CommandBatch batch_;
};

// Applies it as the next entry.
inline std::vector<CommandResult> ApplyNext(StateMachine& machine, const BatchBuilder& batch) {
  Effects effects;
  machine.Apply(machine.applied_index().Next(), batch.Bytes(), &effects);
  return std::move(effects.results);
}

// The ids of jobs that TakeReady takes (and holds), in its order.
inline std::vector<std::string> TakeIds(StateMachine& machine,
                                        const std::vector<std::string>& queues, size_t max,
                                        const std::vector<std::string>& types = {}) {
  std::vector<JobRef> jobs;
  machine.TakeReady(queues, types, max, &jobs);
  std::vector<std::string> ids;
  for (const JobRef job : jobs) ids.emplace_back(machine.View(job).id);
  return ids;
}

// A whole image, walked in steps of `step_bytes`.
inline std::string TakeImage(StateMachine& machine, size_t step_bytes = 1 << 20) {
  std::string image;
  machine.BeginSnapshot();
  while (!machine.ContinueSnapshot(step_bytes, &image)) {
  }
  return image;
}

inline absl::Status Restore(std::string_view image, raft::Index index, uint64_t digest,
                            StateMachine* machine, size_t piece_bytes = SIZE_MAX) {
  StateMachine::Restorer restorer(machine);
  while (!image.empty()) {
    const std::string_view piece = image.substr(0, piece_bytes);
    const absl::Status fed = restorer.Feed(piece);
    if (!fed.ok()) return fed;
    image.remove_prefix(piece.size());
  }
  return restorer.Finish(index, digest);
}

}  // namespace dqueue::queue
