// A client that leases jobs and, mostly, does them: it may also be slow, forget a job, come back to
// it long after its lease, fail it, give it back, or say the same thing twice.
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
  // Completes everything soon and asks again at once.
  void WorkDiligently() { diligent_ = true; }
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
  // The work itself is done by then.
  void After(Duration hold, Task task, void (Worker::*then)(Task));
  void Complete(Task task);
  void Fail(Task task);
  void Release(Task task);
  void Extend(Task task);
  // Repeats `again` later if the outcome leaves that open.
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
  bool diligent_ = false;
  bool stopped_ = false;
};

}  // namespace dqueue::sim
