// Job ids that the server makes: UUIDs of RFC 9562.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

namespace dqueue::queue {

// UUID version 7: Unix milliseconds, then a 12-bit counter (RFC 9562 §6.2, method 1), then 62
// random bits. Ids of one generator ascend, also within a millisecond and when the clock goes back.
class JobIdGenerator {
 public:
  explicit JobIdGenerator(uint64_t seed) : random_(seed) {}
  // Another stream of random bits; ids go on ascending.
  void Reseed(uint64_t seed) { random_.seed(seed); }
  std::string Next(int64_t wall_ms);

 private:
  std::mt19937_64 random_;
  uint64_t last_ms_ = 0;
  uint64_t counter_ = 0;
};

// The id of the job at `position` of the request with this id: the same for ever, so that a
// repeated request creates nothing new. UUID version 8, of a 128-bit hash.
std::string DerivedJobId(std::string_view request_id, uint64_t position);
// 16 bytes that stand for the position in the request, for a job that has an id of its own. The
// same for ever.
std::string DerivedRequestKey(std::string_view request_id, uint64_t position);

}  // namespace dqueue::queue
