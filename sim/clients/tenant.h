// A client with a key for some of the queues. It makes calls of all kinds: about any queue, with
// job ids and lease tokens of other clients, and lists and counts over all queues.
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

// Draws access to some queues. The access is never empty.
queue::QueueAccessPtr DrawAccess(RandomStream& random, int queues);

}  // namespace dqueue::sim
