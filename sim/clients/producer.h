// A client that enqueues jobs, one call after another. A call whose outcome is unknown is repeated
// with the same ids, or given up.
#pragma once

#include <string>

#include "dqueue/v1/service.pb.h"
#include "sim/clients/caller.h"
#include "sim/clients/load.h"
#include "sim/clients/tenant.h"

namespace dqueue::sim {

class Producer {
 public:
  Producer(World* world, int number, const LoadProfile& load, JobBook* book)
      : world_(world), caller_(world, number), load_(load), book_(book) {
    if (load_.restricted > 0 && caller_.random().Chance(load_.restricted)) {
      caller_.SetAccess(DrawAccess(caller_.random(), load_.queues));
    }
  }

  void Start();
  // Starts no new call. A call in progress is repeated until its outcome is known.
  void Finish() { finishing_ = true; }
  bool idle() const { return !busy_; }

 private:
  void Think();
  void Begin();
  void Attempt();
  void Replied(std::optional<queue::Outcome<v1::EnqueueJobsResponse>> outcome);
  void Later();
  bool Repeatable() const;

  World* world_;
  Caller caller_;
  const LoadProfile load_;
  JobBook* book_;
  v1::EnqueueJobsRequest request_;
  bool busy_ = false;
  bool finishing_ = false;
  uint64_t calls_ = 0;
};

}  // namespace dqueue::sim
