// Lease calls with a lease_request_id. While one of their leases is held, a repeated call is
// answered with the same leases. A number is reused when no lease of its request is held. 0 is not
// used. Used on the loop's thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "queue/state/state_machine.h"

namespace dqueue::queue {

class LeaseRequests {
 public:
  using Grants = std::vector<std::pair<JobRef, LeaseToken>>;

  // A new number for the request with this key. It replaces an earlier request with the same key,
  // none of whose leases can be held.
  uint32_t Open(std::string key);
  void AddGrant(uint32_t number, JobRef job, LeaseToken token);
  // A lease of the request has ended. With the last, the request is forgotten.
  void EndGrant(uint32_t number);
  // The leases of the request with this key, ended ones too; null: unknown.
  const Grants* Find(const std::string& key) const;
  // Forgets all requests. The result is what there was: very many take long to free.
  [[nodiscard]] LeaseRequests TakeAll();

 private:
  struct Request {
    std::string key;
    Grants grants;
    uint32_t held = 0;
  };

  std::vector<Request> requests_{1};  // 0 is not used
  std::vector<uint32_t> free_;
  std::map<std::string, uint32_t> numbers_;
};

}  // namespace dqueue::queue
