#include "queue/broker/leases/lease_requests.h"

#include <utility>

#include "base/check.h"

namespace dqueue::queue {

uint32_t LeaseRequests::Open(std::string key) {
  uint32_t number;
  if (free_.empty()) {
    number = static_cast<uint32_t>(requests_.size());
    requests_.emplace_back();
  } else {
    number = free_.back();
    free_.pop_back();
  }
  numbers_[key] = number;
  requests_[number].key = std::move(key);
  return number;
}

void LeaseRequests::AddGrant(uint32_t number, JobRef job, LeaseToken token) {
  Request& request = requests_[number];
  request.grants.emplace_back(job, token);
  ++request.held;
}

void LeaseRequests::EndGrant(uint32_t number) {
  Request& request = requests_[number];
  DQ_CHECK(request.held > 0);
  if (--request.held > 0) return;
  const auto it = numbers_.find(request.key);
  if (it != numbers_.end() && it->second == number) numbers_.erase(it);
  request = {};
  free_.push_back(number);
}

const LeaseRequests::Grants* LeaseRequests::Find(const std::string& key) const {
  const auto it = numbers_.find(key);
  return it == numbers_.end() ? nullptr : &requests_[it->second].grants;
}

LeaseRequests LeaseRequests::TakeAll() { return std::exchange(*this, LeaseRequests()); }

}  // namespace dqueue::queue
