// The clients of a random run: producers, workers and operators, and what they know of one another.
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

// The jobs that the producers have made up.
class JobBook {
 public:
  // A new job of the profile's kinds, with a number of its own. wall_ms: about what the nodes'
  // clocks show.
  v1::JobSpec NewJob(RandomStream& random, const LoadProfile& load, int64_t wall_ms);
  // An earlier job that can be repeated without harm; nullptr: there is none.
  const v1::JobSpec* Repeatable(RandomStream& random) const;
  // Somebody may look for it under this id.
  void Learn(const std::string& id) { ids_.push_back(id); }
  // Empty: none is known.
  std::string AnyId(RandomStream& random) const;
  // Somebody was granted it, and did not keep that to himself.
  struct Overheard {
    std::string id;
    v1::LeaseToken token;
  };
  void Overhear(const v1::Job& job) { leases_.push_back({job.id(), job.lease().token()}); }
  // A recent one; nullptr: there is none.
  const Overheard* AnyLease(RandomStream& random) const;
  uint64_t size() const { return next_; }

 private:
  uint64_t next_ = 1;
  std::vector<v1::JobSpec> repeatable_;
  std::vector<std::string> ids_;
  std::vector<Overheard> leases_;
};

std::string QueueName(uint64_t number);

class Load {
 public:
  Load(World* world, const LoadProfile& profile);
  ~Load();

  void Start();
  // No new jobs; what was begun is repeated until it is decided. Operators resume what is paused.
  void StopProducing();
  // From now on workers do only their duty.
  void WorkDiligently();
  void Stop();
  // No enqueue is undecided.
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
