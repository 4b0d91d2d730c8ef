// The clients of a random run, and the jobs and leases that they know of each other.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dqueue/v1/job.pb.h"
#include "sim/profile.h"
#include "sim/world.h"

namespace dqueue::sim {

class Producer;
class Worker;
class Operator;
class KeyOperator;
class Tenant;

// The jobs of a run: creates new ones, and remembers ids and leases that clients may reuse.
class JobBook {
 public:
  // Draws a new job with a new number. wall_ms: the current wall clock time, Unix ms.
  v1::JobSpec NewJob(RandomStream& random, const LoadProfile& load, int64_t wall_ms);
  // An earlier job with an id or an idempotency key, so that enqueuing it again creates no second
  // job; nullptr if there is none.
  const v1::JobSpec* Repeatable(RandomStream& random) const;
  void RecordId(const std::string& id) { ids_.push_back(id); }
  // A recorded id, mostly a recent one; empty if there is none.
  std::string AnyId(RandomStream& random) const;
  struct KnownLease {
    std::string id;
    v1::LeaseToken token;
  };
  void RecordLease(const v1::Job& job) { leases_.push_back({job.id(), job.lease().token()}); }
  // One of the last 20 leases; nullptr if there is none.
  const KnownLease* AnyLease(RandomStream& random) const;
  uint64_t size() const { return next_; }

 private:
  uint64_t next_ = 1;
  std::vector<v1::JobSpec> repeatable_;
  std::vector<std::string> ids_;
  std::vector<KnownLease> leases_;
};

std::string QueueName(uint64_t number);

class Load {
 public:
  Load(World* world, const LoadProfile& profile);
  ~Load();

  void Start();
  // Producers start no new enqueues and repeat those whose outcome is unknown. Operators only
  // resume queues.
  void StopProducing();
  // Workers only complete jobs, without faults, so that all jobs finish.
  void DrainJobs();
  void Stop();
  // Whether no enqueue is in progress.
  bool Idle() const;

  JobBook& book() { return book_; }

 private:
  JobBook book_;
  std::vector<std::unique_ptr<Producer>> producers_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::unique_ptr<Operator>> operators_;
  std::vector<std::unique_ptr<KeyOperator>> key_operators_;
  std::vector<std::unique_ptr<Tenant>> tenants_;
};

}  // namespace dqueue::sim
