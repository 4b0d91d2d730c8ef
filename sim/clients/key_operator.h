// A client that makes, lists, uses and revokes keys; repeats itself, revokes what is another's, and
// makes a key again that was revoked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/clients/caller.h"
#include "sim/profile.h"

namespace dqueue::sim {

class KeyOperator {
 public:
  KeyOperator(World* world, int number, const LoadProfile& load)
      : world_(world), caller_(world, number), load_(load) {}

  void Start() { Next(); }
  void Stop() { stopped_ = true; }

 private:
  void Next();
  void Act();
  void Create(queue::CreateKeyOrder order, int attempts_left);
  queue::CreateKeyOrder NewKey();
  // Of a key that somebody may have; empty: nobody has one.
  std::string AnyId();
  template <class C>
  void Call(typename C::RequestType request);

  World* world_;
  Caller caller_;
  const LoadProfile load_;
  std::vector<queue::CreateKeyOrder> made_;
  bool stopped_ = false;
};

}  // namespace dqueue::sim
