// A client that leases jobs and completes most of them. It may also be slow, abandon a job,
// complete a job long after its lease ended, fail or release a job, or repeat calls.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "dqueue/v1/service.pb.h"
#include "sim/clients/caller.h"
#include "sim/clients/load.h"
#include "sim/profile.h"

namespace dqueue::sim {

class Worker {
 public:
  Worker(World* world, int number, const LoadProfile& load, JobBook* book);

  void Start();
  // From now on the worker leases from all queues and completes every job within 20 ms.
  void DrainJobs() { draining_ = true; }
  void Stop() { stopped_ = true; }

 private:
  struct Task {
    std::string id;
    v1::LeaseToken token;
    Duration lease{};
    int attempts_left = 6;
  };

  void Next(Duration pause);
  void Lease();
  void SendLease();
  void Leased(std::optional<queue::Outcome<v1::LeaseJobsResponse>> outcome);
  void Handle(const v1::Job& job);
  // Holds the job for 1 ms plus `hold`, then calls `then`.
  void After(Duration hold, Task task, void (Worker::*then)(Task));
  void Complete(Task task);
  void Fail(Task task);
  void Release(Task task);
  void Extend(Task task);
  // Calls `again` later unless the outcome is OK or no attempts are left.
  template <class Response>
  void Retry(const std::optional<queue::Outcome<Response>>& outcome, Task task,
             void (Worker::*again)(Task));

  World* world_;
  Caller caller_;
  const LoadProfile load_;
  JobBook* book_;
  const std::string id_;
  v1::LeaseJobsRequest request_;
  Duration wait_{};
  uint64_t calls_ = 0;
  int repeats_left_ = 0;
  int held_ = 0;
  bool draining_ = false;
  bool stopped_ = false;
};

}  // namespace dqueue::sim
