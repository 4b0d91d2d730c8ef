// Random histories for tests: few names, so that commands meet; tokens that are mostly valid and
// sometimes old, repeated or invented; times that jump over retentions and windows. In half of the
// histories the level rises to 1 on the way. The same seed gives the same history.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "queue/state/state_machine.h"
#include "queue/state/testing/command_builder.h"

namespace dqueue::queue {

class Workload {
 public:
  explicit Workload(uint64_t seed)
      : random_(seed),
        queues_(1 + Below(4)),
        types_(1 + Below(5)),
        ids_(20 + Below(400)),
        keys_(Below(3) * 20),
        retention_ms_(Below(3) == 0 ? 200 : 20000),
        step_ms_(1 + Below(80)),
        batches_to_level_(Chance(50) ? Below(100) : UINT64_MAX) {}

  uint64_t Below(uint64_t n) { return n == 0 ? 0 : random_() % n; }
  bool Chance(uint64_t percent) { return Below(100) < percent; }

  std::string Queue() { return "queue" + std::to_string(Below(queues_)); }
  std::string Type() { return "type" + std::to_string(Below(types_)); }
  std::string Id() { return "job-" + std::to_string(Below(ids_)); }

  BatchBuilder Batch(int max_commands) {
    now_ms_ += static_cast<int64_t>(Chance(3) ? Below(30000) : Below(step_ms_));
    if (batches_to_level_ == 0 && Chance(1)) now_ms_ += static_cast<int64_t>(Below(5400000));
    BatchBuilder batch(now_ms_ - static_cast<int64_t>(Chance(5) ? Below(50) : 0));
    if (batches_to_level_ == 1) batch.Level(1);
    if (batches_to_level_ > 0 && batches_to_level_ != UINT64_MAX) --batches_to_level_;
    for (uint64_t i = Below(static_cast<uint64_t>(max_commands) + 1); i > 0; --i) Add(&batch);
    if (Chance(15)) AddOfKeys(&batch);
    if (Chance(10)) {
      batch.Trim({.finished = static_cast<uint32_t>(Below(3)),
                  .dead = static_cast<uint32_t>(Below(3)),
                  .ids = static_cast<uint32_t>(Below(3)),
                  .requests = static_cast<uint32_t>(Below(3))});
    }
    return batch;
  }

  log::v1::Enqueue::Job Job() {
    log::v1::Enqueue::Job job = MakeJob(Id(), Queue(), Type());
    job.set_payload(std::string(Below(3) == 0 ? Below(600) : 4, static_cast<char>('a' + Below(2))));
    job.set_priority(static_cast<uint32_t>(Chance(70) ? 5 : Below(256)));
    if (Chance(25)) job.set_run_time_ms(now_ms_ + static_cast<int64_t>(Below(3000)) - 500);
    if (Chance(20)) job.set_expire_time_ms(now_ms_ + static_cast<int64_t>(Below(4000)) - 100);
    job.set_max_retries(static_cast<uint32_t>(Below(4)));
    job.set_max_expirations(static_cast<uint32_t>(Below(3)));
    if (keys_ > 0 && Chance(50)) {
      job.set_idempotency_key("key" + std::to_string(Below(keys_)));
      job.set_idempotency_window_ms(1 + static_cast<int64_t>(Below(5000)));
    }
    if (Chance(20)) job.set_id_of_request(true);
    if (Chance(10)) job.set_request_key(std::string(16, static_cast<char>('a' + Below(9))));
    if (Chance(10)) job.set_ordering_key("order" + std::to_string(Below(3)));
    for (uint64_t i = Chance(20) ? Below(4) : 0; i > 0; --i) {
      auto* pair = Chance(50) ? job.add_headers() : job.add_labels();
      pair->set_key("name" + std::to_string(10 - i));
      pair->set_value(std::string(Below(30), 'v'));
    }
    if (Chance(80)) job.set_retention_ms(static_cast<int64_t>(Below(retention_ms_)));
    if (Chance(20)) job.set_lease_duration_ms(static_cast<int64_t>(1000 + Below(9000)));
    return job;
  }

 private:
  LeaseToken Token() {
    if (Chance(70)) {
      if (Chance(2)) {
        ++last_.term;
        last_.sequence = 0;
      }
      ++last_.sequence;
      return last_;
    }
    if (Chance(5)) return {};
    return {last_.term - std::min<uint64_t>(last_.term, Below(2)),
            last_.sequence - std::min<uint64_t>(last_.sequence, Below(60))};
  }

  void Add(BatchBuilder* batch) {
    const uint64_t dice = Below(100);
    if (dice < 40) {
      ++enqueued_;
      batch->Enqueue(Job());
    } else if (dice < 44) {
      std::vector<log::v1::Enqueue::Job> jobs;
      for (uint64_t i = Below(5); i > 0; --i) jobs.push_back(Job());
      batch->EnqueueAll(jobs);
    } else if (dice < 60) {
      batch->Complete(Id(), Token(), std::string(Below(40), 'r'));
    } else if (dice < 76) {
      batch->Fail(Id(), Token(), std::string(Below(60), 'e'),
                  Chance(60) ? now_ms_ + static_cast<int64_t>(Below(2000)) : 0, Chance(10),
                  "worker" + std::to_string(Below(9)), static_cast<int64_t>(Below(9)) - 1);
    } else if (dice < 90) {
      batch->Expire(Id(), Token(), "worker" + std::to_string(Below(9)),
                    static_cast<int64_t>(Below(9)) - 1);
    } else if (dice < 93) {
      batch->Cancel(Id());
    } else if (dice < 96) {
      batch->Retry(Id());
    } else if (dice < 98) {
      batch->Delete(Id(), Chance(50) ? static_cast<uint32_t>(Below(128)) : 0);
    } else if (Chance(60)) {
      batch->Resume(Queue());
    } else {
      batch->Pause(Queue(), Chance(30));
    }
    // One of the newest jobs: of few ids, so it is sometimes the one that is meant.
    const bool names_job = dice >= 44 && dice < 98;
    if (names_job && Chance(20)) {
      batch->OfJob(1 + enqueued_ - std::min(enqueued_, Below(2 * ids_)));
    }
  }

  std::string KeyId() { return "key-" + std::to_string(Below(40)); }

  void AddOfKeys(BatchBuilder* batch) {
    if (Chance(50)) {
      KeyRecord key = MakeKey(KeyId(), "owner" + std::to_string(Below(3)));
      if (Chance(10)) key.digest[0] ^= 1;
      if (Chance(5)) key.scopes = static_cast<uint32_t>(Below(3)) << 11;
      if (Chance(5)) key.type = static_cast<v1::KeyType>(Below(6));
      for (uint64_t i = Below(4); i > 0; --i) key.queues.push_back("q" + std::to_string(9 - i));
      if (Chance(5)) key.queues.emplace_back("q1");
      batch->CreateKey(key);
    } else if (Chance(50)) {
      batch->RevokeKey(KeyId(), Chance(70) ? "" : "owner" + std::to_string(Below(3)));
    } else {
      std::vector<std::string> ids;
      for (uint64_t i = Below(4); i > 0; --i) ids.push_back(KeyId());
      batch->UseKeys(ids);
    }
  }

  std::mt19937_64 random_;
  int64_t now_ms_ = 1700000000000;
  LeaseToken last_{1, 0};
  uint64_t enqueued_ = 0;
  uint64_t queues_;
  uint64_t types_;
  uint64_t ids_;
  uint64_t keys_;
  uint64_t retention_ms_;
  uint64_t step_ms_;
  uint64_t batches_to_level_;
};

}  // namespace dqueue::queue
