// A client that looks, cancels and retries.
#pragma once

#include "sim/caller.h"
#include "sim/load.h"
#include "sim/profile.h"

namespace dqueue::sim {

class Operator {
 public:
  Operator(World* world, int number, const LoadProfile& load, JobBook* book)
      : world_(world), caller_(world, number), load_(load), book_(book) {}

  void Start() { Next(); }
  void Stop() { stopped_ = true; }

 private:
  void Next();
  void Act();
  void Read();
  template <class Response>
  void Seen(const std::optional<queue::Outcome<Response>>& outcome);

  World* world_;
  Caller caller_;
  const LoadProfile load_;
  JobBook* book_;
  bool stopped_ = false;
};

}  // namespace dqueue::sim
