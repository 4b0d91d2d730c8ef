#include "queue/broker/reports/worker_registry.h"

#include <algorithm>

#include "base/check.h"
#include "google/protobuf/timestamp.pb.h"
#include "queue/api/proto_time.h"

namespace dqueue::queue {
namespace {

constexpr size_t kAnswerBytesMax = 2 << 20;

// Copies what fits. Strings that are the same already are not touched.
void AssignNames(const std::vector<std::string>& from, std::vector<std::string>* to) {
  size_t count = 0;
  size_t bytes = 0;
  for (const std::string& name : from) {
    bytes += name.size();
    if (bytes > kWorkerNameBytesMax) break;
    if (count == to->size()) {
      to->push_back(name);
    } else if ((*to)[count] != name) {
      (*to)[count] = name;
    }
    ++count;
  }
  to->resize(count);
}

}  // namespace

uint32_t WorkerRegistry::Heard(std::string_view id, Time now, int64_t wall_ms) {
  if (id.empty()) return 0;
  const auto it = by_id_.find(id);
  if (it != by_id_.end()) {
    const uint32_t worker = it->second;
    Heard(worker, now, wall_ms);
    return worker;
  }
  if (by_id_.size() >= kWorkersMax) Forget(workers_[0].next);
  uint32_t worker;
  if (free_.empty()) {
    worker = static_cast<uint32_t>(workers_.size());
    workers_.emplace_back();
  } else {
    worker = free_.back();
    free_.pop_back();
  }
  Worker& entry = workers_[worker];
  entry.id = id;
  entry.known = true;
  entry.heard = now;
  entry.first_ms = entry.last_ms = wall_ms;
  by_id_.emplace(entry.id, worker);
  Link(worker);
  return worker;
}

void WorkerRegistry::Heard(uint32_t worker, Time now, int64_t wall_ms) {
  Worker& entry = workers_[worker];
  if (!entry.known) return;
  entry.heard = now;
  entry.last_ms = std::max(entry.last_ms, wall_ms);
  if (workers_[0].before == worker) return;
  Unlink(worker);
  Link(worker);
}

void WorkerRegistry::Asked(uint32_t worker, const std::string& host,
                           const std::vector<std::string>& queues,
                           const std::vector<std::string>& types) {
  if (worker == 0) return;
  Worker& entry = workers_[worker];
  if (entry.host != host) entry.host = host;
  AssignNames(queues, &entry.queues);
  AssignNames(types, &entry.types);
}

void WorkerRegistry::BeginWait(uint32_t worker) {
  if (worker != 0) ++workers_[worker].waiting;
}

void WorkerRegistry::EndWait(uint32_t worker) {
  if (worker == 0) return;
  DQ_CHECK(workers_[worker].waiting > 0);
  --workers_[worker].waiting;
  MaybeFree(worker);
}

void WorkerRegistry::Hold(uint32_t worker) {
  if (worker != 0) ++workers_[worker].leased;
}

void WorkerRegistry::Release(uint32_t worker) {
  if (worker == 0) return;
  DQ_CHECK(workers_[worker].leased > 0);
  --workers_[worker].leased;
  MaybeFree(worker);
}

void WorkerRegistry::Delivered(uint32_t worker, size_t jobs) { workers_[worker].delivered += jobs; }

void WorkerRegistry::Ended(uint32_t worker, AttemptEnd end) {
  Worker& entry = workers_[worker];
  switch (end) {
    case AttemptEnd::kCompleted:
      ++entry.completed;
      break;
    case AttemptEnd::kFailed:
    case AttemptEnd::kRejected:
      ++entry.failed;
      break;
    case AttemptEnd::kExpired:
      ++entry.expired;
      break;
    case AttemptEnd::kNone:
      break;
  }
}

void WorkerRegistry::List(Time now, const QueueAccessPtr& access, v1::ListWorkersResponse* out) {
  std::vector<uint32_t> order;
  uint32_t next = 0;
  for (uint32_t worker = workers_[0].next; worker != 0; worker = next) {
    const Worker& entry = workers_[worker];
    next = entry.next;
    if (now - entry.heard > kWorkerSilence && entry.leased == 0 && entry.waiting == 0) {
      Forget(worker);
    } else {
      order.push_back(worker);
    }
  }
  std::sort(order.begin(), order.end(),
            [this](uint32_t a, uint32_t b) { return workers_[a].id < workers_[b].id; });
  size_t bytes = 0;
  for (const uint32_t worker : order) {
    const Worker& entry = workers_[worker];
    v1::Worker& shown = *out->add_workers();
    shown.set_id(entry.id);
    shown.set_host(entry.host.empty() ? entry.id.substr(0, entry.id.find_first_of(":/"))
                                      : entry.host);
    SetMs(entry.first_ms, shown.mutable_first_time());
    SetMs(entry.last_ms, shown.mutable_last_time());
    shown.set_waiting(entry.waiting > 0);
    shown.set_leased(static_cast<int32_t>(entry.leased));
    shown.set_delivered(entry.delivered);
    shown.set_completed(entry.completed);
    shown.set_failed(entry.failed);
    shown.set_expired(entry.expired);
    if (bytes < kAnswerBytesMax) {
      for (const std::string& queue : entry.queues) {
        if (Allows(access, queue)) shown.add_queues(queue);
      }
      for (const std::string& type : entry.types) shown.add_types(type);
    }
    bytes += shown.ByteSizeLong();
  }
}

void WorkerRegistry::Clear() {
  by_id_.clear();
  free_.clear();
  workers_.clear();
  workers_.emplace_back();
}

void WorkerRegistry::Link(uint32_t worker) {
  Worker& ring = workers_[0];
  workers_[worker].before = ring.before;
  workers_[worker].next = 0;
  workers_[ring.before].next = worker;
  ring.before = worker;
}

void WorkerRegistry::Unlink(uint32_t worker) {
  const Worker& entry = workers_[worker];
  workers_[entry.before].next = entry.next;
  workers_[entry.next].before = entry.before;
}

void WorkerRegistry::Forget(uint32_t worker) {
  DQ_CHECK(worker != 0 && workers_[worker].known);
  Unlink(worker);
  by_id_.erase(workers_[worker].id);
  workers_[worker].known = false;
  MaybeFree(worker);
}

void WorkerRegistry::MaybeFree(uint32_t worker) {
  const Worker& entry = workers_[worker];
  if (entry.known || entry.leased > 0 || entry.waiting > 0) return;
  workers_[worker] = Worker();
  free_.push_back(worker);
}

}  // namespace dqueue::queue
