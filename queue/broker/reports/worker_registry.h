// The workers that have called this leader, for reports: what each holds, and how its jobs ended.
// No decision depends on it. Lives on the leader, on its loop's thread; a new leader starts with an
// empty registry.
//
// At most kWorkersMax workers are known: one more replaces the one that has been silent for
// longest. A worker that has been silent for kWorkerSilence and holds nothing is forgotten.
//
// Workers are named by numbers, which leases and waiting calls store instead of the id. A number,
// and the id that it stands for, stays valid while a lease or a waiting call uses it, even if the
// worker is no longer known. 0 stands for calls without a worker id: it is accepted everywhere, and
// nothing is recorded for it.
//
// Costs: O(log n) a call; no allocation for a worker that is known and asks for the same
// queues and types as before.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"
#include "dqueue/v1/service.pb.h"
#include "queue/api/key.h"
#include "queue/broker/reports/job_times.h"
#include "raft/types.h"

namespace dqueue::queue {

inline constexpr size_t kWorkersMax = 10000;
inline constexpr Duration kWorkerSilence = std::chrono::minutes(5);
// Of the queues that a worker asked for, and of the types: as many names as fit are kept.
inline constexpr size_t kWorkerNameBytesMax = 1024;

class WorkerRegistry {
 public:
  WorkerRegistry() : workers_(1) {}

  // This worker has called; returns its number. wall_ms: Unix time. 0 if the id is empty.
  uint32_t Heard(std::string_view id, Time now, int64_t wall_ms);
  // The same, for a worker that a lease names.
  void Heard(uint32_t worker, Time now, int64_t wall_ms);
  // Records what the worker's lease call asks for.
  void Asked(uint32_t worker, const std::string& host, const std::vector<std::string>& queues,
             const std::vector<std::string>& types);
  // A lease call of the worker begins, or ends, to wait.
  void BeginWait(uint32_t worker);
  void EndWait(uint32_t worker);
  // The worker holds one job more, or one less.
  void Hold(uint32_t worker);
  void Release(uint32_t worker);
  void Delivered(uint32_t worker, size_t jobs);
  void Ended(uint32_t worker, AttemptEnd end);

  const std::string& id(uint32_t worker) const { return workers_[worker].id; }
  // A page of the workers by id; forgets the silent ones first. Queues that `access` does not allow
  // are left out. A page ends early when it has 512 KiB. False: the page token is not one of ours.
  // Costs O(page + forgotten workers).
  bool List(Time now, const v1::ListWorkersRequest& request, const QueueAccessPtr& access,
            v1::ListWorkersResponse* out);
  size_t size() const { return by_id_.size(); }
  // Forgets all workers. The result is what there was: very many take long to free.
  [[nodiscard]] WorkerRegistry TakeAll();

 private:
  struct Worker {
    std::string id;
    std::string host;
    std::vector<std::string> queues;
    std::vector<std::string> types;
    Time heard{};
    int64_t first_ms = 0;
    int64_t last_ms = 0;
    uint64_t delivered = 0;
    uint64_t completed = 0;
    uint64_t failed = 0;
    uint64_t expired = 0;
    uint32_t leased = 0;
    uint32_t waiting = 0;
    bool known = false;  // in by_id_ and in the order of calls
    // The order of calls: a ring through workers_[0]. Next is the one that was silent for less.
    uint32_t before = 0;
    uint32_t next = 0;
  };

  void ForgetSilent(Time now);
  void Fill(const Worker& entry, const QueueAccessPtr& access, v1::Worker* out) const;
  void Link(uint32_t worker);
  void Unlink(uint32_t worker);
  // Removes the worker from by_id_. The number is freed with its last use.
  void Forget(uint32_t worker);
  void MaybeFree(uint32_t worker);

  std::deque<Worker> workers_;  // addresses stay: by_id_ has views of the ids
  std::vector<uint32_t> free_;
  absl::btree_map<std::string_view, uint32_t> by_id_;
};

}  // namespace dqueue::queue
