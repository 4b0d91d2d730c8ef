#include "queue/state/tables/queue_table.h"

#include "base/check.h"
#include "queue/api/hash.h"

namespace dqueue::queue {
namespace {

constexpr uint64_t kQueueSeed = 0x71756575;
constexpr uint64_t kNameSeed = 0x6e616d65;
constexpr uint64_t kForgottenSeed = 0x676f6e65;

}  // namespace

uint64_t QueueNameHash(std::string_view name) { return HashBytes(name, kNameSeed); }

uint64_t Totals::Jobs() const {
  const Totals& t = *this;
  return t[Total::kScheduled] + t[Total::kReady] + t[Total::kSucceeded] + t[Total::kDead] +
         t[Total::kCancelled];
}

bool Totals::AddUp() const { return Jobs() + (*this)[Total::kPurged] == (*this)[Total::kEnqueued]; }

void Totals::Add(const Totals& other) {
  for (size_t i = 0; i < kTotals; ++i) values_[i] += other.values_[i];
}

Total TotalOf(v1::JobState state) {
  switch (state) {
    case v1::JOB_STATE_SCHEDULED:
      return Total::kScheduled;
    case v1::JOB_STATE_READY:
      return Total::kReady;
    case v1::JOB_STATE_SUCCEEDED:
      return Total::kSucceeded;
    case v1::JOB_STATE_DEAD:
      return Total::kDead;
    case v1::JOB_STATE_CANCELLED:
      return Total::kCancelled;
    default:
      break;
  }
  CheckFailed(__FILE__, __LINE__, "a state of the log", std::to_string(static_cast<int>(state)));
}

uint32_t QueueTable::Find(std::string_view name) const {
  return index_.Find(QueueNameHash(name),
                     [&](uint32_t queue) { return queues_[queue]->name == name; });
}

uint32_t QueueTable::Add(std::string_view name) {
  uint32_t queue = end();
  if (free_.empty()) {
    queues_.emplace_back();
  } else {
    queue = free_.back();
    free_.pop_back();
  }
  queues_[queue] = std::make_unique<QueueRecord>();
  QueueRecord& record = *queues_[queue];
  record.name = std::string(name);
  record.name_hash = QueueNameHash(name);
  record.hash = HashOf(record);
  DQ_CHECK(by_name_.emplace(record.name, queue).second);
  index_.Insert(record.name_hash, queue);
  hash_sum_ += record.hash;
  name_bytes_ += name.size();
  return queue;
}

void QueueTable::Forget(uint32_t queue) {
  QueueRecord& record = *queues_[queue];
  DQ_CHECK(record.idle && record.held == 0);
  forgotten_.Add(record.totals);
  ++forgotten_count_;
  hash_sum_ -= record.hash;
  name_bytes_ -= record.name.size();
  DQ_CHECK(idle_.erase({record.idle_since_ms, record.name}) == 1);
  DQ_CHECK(by_name_.erase(record.name) == 1);
  index_.Erase(record.name_hash, queue);
  queues_[queue].reset();
  free_.push_back(queue);
}

void QueueTable::SetForgotten(uint64_t count, const Totals& totals) {
  sum_.Add(totals);
  forgotten_.Add(totals);
  forgotten_count_ += count;
}

void QueueTable::SetIdle(uint32_t queue, int64_t since_ms) {
  Touch(queue);
  QueueRecord& record = *queues_[queue];
  DQ_CHECK(!record.idle);
  record.idle = true;
  record.idle_since_ms = since_ms;
  idle_.emplace(since_ms, record.name);
}

void QueueTable::SetBusy(uint32_t queue) {
  Touch(queue);
  QueueRecord& record = *queues_[queue];
  DQ_CHECK(record.idle && idle_.erase({record.idle_since_ms, record.name}) == 1);
  record.idle = false;
  record.idle_since_ms = 0;
}

void QueueTable::SetTotals(uint32_t queue, const Totals& totals) {
  Touch(queue);
  QueueRecord& record = *queues_[queue];
  for (size_t i = 0; i < kTotals; ++i) {
    sum_.values()[i] += totals.values()[i] - record.totals.values()[i];
  }
  record.totals = totals;
}

void QueueTable::Settle() {
  for (const uint32_t queue : touched_) {
    if (queues_[queue] == nullptr) continue;  // forgotten since
    QueueRecord& record = *queues_[queue];
    hash_sum_ -= record.hash;
    record.hash = HashOf(record);
    hash_sum_ += record.hash;
    record.touched = false;
  }
  touched_.clear();
}

uint64_t QueueTable::RecomputeHashSum() const {
  uint64_t sum = 0;
  for (const auto& record : queues_) {
    if (record != nullptr) sum += HashOf(*record);
  }
  return sum;
}

uint64_t QueueTable::HashOf(const QueueRecord& record) {
  HashSequence hash(kQueueSeed);
  hash.Add(QueueNameHash(record.name));
  for (const uint64_t value : record.totals.values()) hash.Add(value);
  // Left out if there are none, so that digests of older images stay valid.
  const QueueSettings& settings = record.settings;
  if (settings != QueueSettings{}) {
    hash.Add(uint64_t{settings.paused}).Add(uint64_t{settings.refuses_enqueues});
  }
  if (record.idle_since_ms != 0) hash.Add(static_cast<uint64_t>(record.idle_since_ms));
  return hash.Finish();
}

uint64_t QueueTable::forgotten_hash() const {
  HashSequence hash(kForgottenSeed);
  hash.Add(forgotten_count_);
  for (const uint64_t value : forgotten_.values()) hash.Add(value);
  return hash.Finish();
}

size_t QueueTable::memory_bytes() const {
  return by_name_.size() * (sizeof(QueueRecord) + 16 + sizeof(*by_name_.begin()) + 6) +
         queues_.capacity() * sizeof(queues_[0]) + free_.capacity() * sizeof(free_[0]) +
         idle_.size() * (sizeof(*idle_.begin()) + 6) + name_bytes_ + index_.memory_bytes();
}

std::string QueueTable::Problem() const {
  uint32_t idle = 0;
  uint32_t used_numbers = 0;
  for (uint32_t queue = 0; queue < end(); ++queue) {
    if (!used(queue)) continue;
    ++used_numbers;
    const QueueRecord& record = *queues_[queue];
    const std::string where = "queue " + record.name + ": ";
    if (Find(record.name) != queue) return where + "not found by its name";
    const bool is_idle = record.totals.Jobs() == 0 && record.settings == QueueSettings{};
    if (record.idle != is_idle) return where + (is_idle ? "not among the idle" : "not idle");
    if (!is_idle && record.idle_since_ms != 0) return where + "an idle time though it is busy";
    if (is_idle && !idle_.contains({record.idle_since_ms, record.name})) {
      return where + "at another place among the idle";
    }
    if (is_idle) ++idle;
  }
  if (idle != idle_.size()) return "the number of idle queues is wrong";
  if (used_numbers != by_name_.size() || used_numbers != index_.size() ||
      used_numbers + free_.size() != queues_.size()) {
    return "the number of queues is wrong";
  }
  return "";
}

}  // namespace dqueue::queue
