// A client with a key for some of the queues who tries everything: ids and tokens that it has
// overheard, queues of others, and whatever counts or lists without naming one.
#pragma once

#include <string>

#include "sim/clients/caller.h"
#include "sim/clients/load.h"
#include "sim/profile.h"

namespace dqueue::sim {

class Tenant {
 public:
  Tenant(World* world, int number, const LoadProfile& load, JobBook* book);

  void Start() { Next(); }
  void Stop() { stopped_ = true; }

 private:
  void Next();
  void Act();
  void Read();
  void ActOnId();
  void ActOnQueue();
  void ActOnToken();
  void Lease();
  std::string AnyQueue();
  template <class C>
  void Call(typename C::RequestType request);

  World* world_;
  Caller caller_;
  const LoadProfile load_;
  JobBook* book_;
  bool stopped_ = false;
};

// Some of the run's queues; never none.
queue::QueueAccessPtr DrawAccess(RandomStream& random, int queues);

}  // namespace dqueue::sim
