// A client that creates, lists, uses and revokes API keys. It also repeats calls, tries to revoke
// keys of other owners, and creates revoked keys again.
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
  // The id of a random key that this client made; empty if it made none.
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
