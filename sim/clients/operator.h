// A client that reads, cancels, retries and deletes jobs, and pauses, resumes, purges and redrives
// queues.
#pragma once

#include <cstdint>
#include <string>

#include "sim/clients/caller.h"
#include "sim/clients/load.h"
#include "sim/profile.h"

namespace dqueue::sim {

class Operator {
 public:
  Operator(World* world, int number, const LoadProfile& load, JobBook* book)
      : world_(world), caller_(world, number), load_(load), book_(book) {}

  void Start() { Next(); }
  // From now on the operator only resumes all queues, repeatedly: an earlier pause may still be in
  // flight.
  void Finish() {
    finishing_ = true;
    stopped_ = load_.pause == 0;
  }
  void Stop() { stopped_ = true; }

 private:
  void Next();
  void Act();
  void Read();
  void ActOn(const std::string& id);
  void Resume(const std::string& queue);
  void Purge();
  void Redrive();
  std::string AnyQueue();
  template <class C>
  void Call(typename C::RequestType request);
  template <class Response>
  void Seen(const std::optional<queue::Outcome<Response>>& outcome);

  World* world_;
  Caller caller_;
  const LoadProfile load_;
  JobBook* book_;
  bool finishing_ = false;
  bool stopped_ = false;
  uint64_t next_to_resume_ = 0;
};

}  // namespace dqueue::sim
