#include "queue/broker/reports/worker_registry.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "google/protobuf/timestamp.pb.h"
#include "queue/api/limits.h"
#include "queue/api/page_token.h"
#include "queue/api/proto_time.h"

namespace dqueue::queue {
namespace {

constexpr size_t kPageBytesMax = 512 << 10;

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

void WorkerRegistry::ForgetSilent(Time now) {
  // The ring is in the order of calls: behind the first that called lately all did. Those that hold
  // or wait although they are silent stay in it, and are few.
  uint32_t next = 0;
  for (uint32_t worker = workers_[0].next; worker != 0; worker = next) {
    const Worker& entry = workers_[worker];
    if (now - entry.heard <= kWorkerSilence) return;
    next = entry.next;
    if (entry.leased == 0 && entry.waiting == 0) Forget(worker);
  }
}

void WorkerRegistry::Fill(const Worker& entry, const QueueAccessPtr& access,
                          v1::Worker* out) const {
  out->set_id(entry.id);
  out->set_host(entry.host.empty() ? entry.id.substr(0, entry.id.find_first_of(":/")) : entry.host);
  SetMs(entry.first_ms, out->mutable_first_time());
  SetMs(entry.last_ms, out->mutable_last_time());
  out->set_waiting(entry.waiting > 0);
  out->set_leased(static_cast<int32_t>(entry.leased));
  out->set_delivered(entry.delivered);
  out->set_completed(entry.completed);
  out->set_failed(entry.failed);
  out->set_expired(entry.expired);
  for (const std::string& queue : entry.queues) {
    if (Allows(access, queue)) out->add_queues(queue);
  }
  for (const std::string& type : entry.types) out->add_types(type);
}

bool WorkerRegistry::List(Time now, const v1::ListWorkersRequest& request,
                          const QueueAccessPtr& access, v1::ListWorkersResponse* out) {
  std::string last;
  if (!request.page_token().empty() && !ParseNamePageToken(request.page_token(), &last)) {
    return false;
  }
  ForgetSilent(now);
  const int page_size = request.page_size() <= 0 ? kStatsPageSizeMax
                                                 : std::min(request.page_size(), kStatsPageSizeMax);
  size_t bytes = 0;
  for (auto it = by_id_.upper_bound(last); it != by_id_.end(); ++it) {
    const int shown = out->workers_size();
    if (shown == page_size || bytes >= kPageBytesMax) {
      out->set_next_page_token(MakeNamePageToken(out->workers(shown - 1).id()));
      break;
    }
    Fill(workers_[it->second], access, out->add_workers());
    bytes += out->workers(shown).ByteSizeLong();
  }
  return true;
}

WorkerRegistry WorkerRegistry::TakeAll() { return std::exchange(*this, WorkerRegistry()); }

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
