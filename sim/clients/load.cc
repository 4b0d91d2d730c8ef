#include "sim/clients/load.h"

#include <algorithm>

#include "queue/api/proto_time.h"
#include "sim/clients/key_operator.h"
#include "sim/clients/operator.h"
#include "sim/clients/producer.h"
#include "sim/clients/tenant.h"
#include "sim/clients/worker.h"

namespace dqueue::sim {
std::string QueueName(uint64_t number) {
  return number == 0 ? "default" : "queue-" + std::to_string(number);
}

v1::JobSpec JobBook::NewJob(RandomStream& random, const LoadProfile& load, int64_t wall_ms) {
  v1::JobSpec job;
  const uint64_t number = next_++;
  std::string payload = std::to_string(number) + ":";
  const uint64_t filler = random.Below(load.payload_max + 1);
  for (uint64_t i = 0; i < filler; ++i) {
    payload.push_back(static_cast<char>('a' + random.Below(26)));
  }
  job.set_payload(payload);
  const uint64_t queue = random.Below(static_cast<uint64_t>(load.queues));
  if (queue > 0 || random.Chance(0.5)) job.set_queue(QueueName(queue));
  if (random.Chance(0.3)) job.set_type(random.Chance(0.5) ? "mail" : "image");
  if (random.Chance(load.own_ids)) job.set_id("job-" + std::to_string(number));
  if (random.Chance(load.conflict)) {
    const std::string taken = AnyId(random);
    if (!taken.empty()) job.set_id(taken);
  }
  if (random.Chance(load.idempotency)) {
    // Few shared keys and short windows, so that keys collide and windows end.
    const bool shared = random.Chance(0.3);
    job.set_idempotency_key(shared ? "key-" + std::to_string(random.Below(5))
                                   : "key-of-" + std::to_string(number));
    queue::SetMs(random.Between(1000, 20000), job.mutable_idempotency_window());
  }
  if (random.Chance(load.prioritised)) job.set_priority(static_cast<int>(random.Below(4)));
  if (random.Chance(load.delayed)) {
    queue::SetMs(random.Between(1, 5000), job.mutable_delay());
  }
  if (random.Chance(load.expiring)) {
    queue::SetMs(wall_ms + random.Between(1, 8000), job.mutable_expire_time());
  }
  if (random.Chance(load.short_retention)) {
    queue::SetMs(random.Between(0, 8000), job.mutable_retention());
  }
  if (random.Chance(load.limited_retries)) {
    v1::RetryPolicy* retry = job.mutable_retry();
    retry->set_max_retries(static_cast<int>(random.Below(3)));
    retry->set_max_expirations(static_cast<int>(random.Below(3)));
    retry->set_backoff(static_cast<v1::RetryPolicy::Backoff>(
        random.Between(v1::RetryPolicy::BACKOFF_NONE, v1::RetryPolicy::BACKOFF_EXPONENTIAL)));
    queue::SetMs(random.Between(1, 1000), retry->mutable_base());
    queue::SetMs(random.Between(1000, 3000), retry->mutable_max_delay());
    retry->set_jitter(random.Fraction());
  }
  if (random.Chance(0.1)) {
    queue::SetMs(random.Between(1000, 4000), job.mutable_lease_duration());
  }
  if (random.Chance(0.2)) (*job.mutable_labels())["shop"] = "b" + std::to_string(random.Below(9));
  if (random.Chance(load.invalid)) job.set_priority(999);
  if (!job.id().empty() || !job.idempotency_key().empty()) repeatable_.push_back(job);
  if (!job.id().empty()) RecordId(job.id());
  return job;
}

const v1::JobSpec* JobBook::Repeatable(RandomStream& random) const {
  return repeatable_.empty() ? nullptr : &repeatable_[random.Below(repeatable_.size())];
}

const JobBook::KnownLease* JobBook::AnyLease(RandomStream& random) const {
  if (leases_.empty()) return nullptr;
  return &leases_[leases_.size() - 1 - random.Below(std::min<uint64_t>(leases_.size(), 20))];
}

std::string JobBook::AnyId(RandomStream& random) const {
  if (ids_.empty()) return "";
  // Recent jobs are more likely to be live.
  const uint64_t recent = std::min<uint64_t>(ids_.size(), random.Chance(0.7) ? 20 : ids_.size());
  return ids_[ids_.size() - 1 - random.Below(recent)];
}

Load::Load(World* world, const LoadProfile& profile) {
  int number = 0;
  for (int i = 0; i < profile.producers; ++i) {
    producers_.push_back(std::make_unique<Producer>(world, ++number, profile, &book_));
  }
  for (int i = 0; i < profile.workers; ++i) {
    workers_.push_back(std::make_unique<Worker>(world, ++number, profile, &book_));
  }
  for (int i = 0; i < profile.operators; ++i) {
    operators_.push_back(std::make_unique<Operator>(world, ++number, profile, &book_));
  }
  for (int i = 0; i < profile.key_operators; ++i) {
    key_operators_.push_back(std::make_unique<KeyOperator>(world, ++number, profile));
  }
  for (int i = 0; i < profile.tenants; ++i) {
    tenants_.push_back(std::make_unique<Tenant>(world, ++number, profile, &book_));
  }
}

Load::~Load() = default;

void Load::Start() {
  for (const auto& producer : producers_) producer->Start();
  for (const auto& worker : workers_) worker->Start();
  for (const auto& op : operators_) op->Start();
  for (const auto& op : key_operators_) op->Start();
  for (const auto& tenant : tenants_) tenant->Start();
}

void Load::StopProducing() {
  for (const auto& producer : producers_) producer->Finish();
  for (const auto& op : operators_) op->Finish();
  for (const auto& tenant : tenants_) tenant->Stop();
}

void Load::DrainJobs() {
  for (const auto& worker : workers_) worker->DrainJobs();
}

void Load::Stop() {
  for (const auto& op : operators_) op->Stop();
  for (const auto& op : key_operators_) op->Stop();
  for (const auto& worker : workers_) worker->Stop();
}

bool Load::Idle() const {
  return std::all_of(producers_.begin(), producers_.end(),
                     [](const auto& producer) { return producer->idle(); });
}

}  // namespace dqueue::sim
