#include "queue/state/tables/queue_table.h"

#include "base/check.h"
#include "queue/api/hash.h"

namespace dqueue::queue {
namespace {

constexpr uint64_t kQueueSeed = 0x71756575;
constexpr uint64_t kNameSeed = 0x6e616d65;

}  // namespace

bool Totals::AddUp() const {
  const Totals& t = *this;
  return t[Total::kScheduled] + t[Total::kReady] + t[Total::kSucceeded] + t[Total::kDead] +
             t[Total::kCancelled] + t[Total::kPurged] ==
         t[Total::kEnqueued];
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
  return index_.Find(HashBytes(name, kNameSeed),
                     [&](uint32_t queue) { return queues_[queue]->name == name; });
}

uint32_t QueueTable::Add(std::string_view name) {
  const uint32_t queue = size();
  DQ_CHECK(by_name_.emplace(std::string(name), queue).second);
  index_.Insert(HashBytes(name, kNameSeed), queue);
  queues_.push_back(std::make_unique<QueueRecord>());
  QueueRecord& record = *queues_.back();
  record.name = std::string(name);
  record.name_hash = HashBytes(name, kNameSeed);
  record.hash = HashOf(record);
  hash_sum_ += record.hash;
  name_bytes_ += 2 * name.size();
  return queue;
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
  for (const auto& record : queues_) sum += HashOf(*record);
  return sum;
}

uint64_t QueueTable::HashOf(const QueueRecord& record) {
  HashSequence hash(kQueueSeed);
  hash.Add(HashBytes(record.name, kNameSeed));
  for (const uint64_t value : record.totals.values()) hash.Add(value);
  // Left out if there are none, so that digests of older images stay valid.
  const QueueSettings& settings = record.settings;
  if (settings != QueueSettings{}) {
    hash.Add(uint64_t{settings.paused}).Add(uint64_t{settings.refuses_enqueues});
  }
  return hash.Finish();
}

size_t QueueTable::memory_bytes() const {
  return queues_.size() * (sizeof(QueueRecord) + 16 + sizeof(std::string) + 24) + name_bytes_ +
         index_.memory_bytes();
}

}  // namespace dqueue::queue
