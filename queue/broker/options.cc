#include "queue/broker/options.h"

#include <utility>

#include "queue/api/limits.h"

namespace dqueue::queue {

std::string BrokerOptions::Problem() const {
  const int64_t lease_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(lease_timeout).count();
  if (lease_ms < kLeaseMsMin || lease_ms > kLeaseMsMax) {
    return "lease_timeout (" + std::to_string(lease_ms) + " ms) must be " +
           std::to_string(kLeaseMsMin) + " to " + std::to_string(kLeaseMsMax) + " ms";
  }
  if (max_retries < 0 || max_retries > kRetriesMax) {
    return "max_retries (" + std::to_string(max_retries) + ") must be 0 to " +
           std::to_string(kRetriesMax);
  }
  const std::pair<const char*, size_t> counts[] = {{"max_waiting_calls", max_waiting_calls},
                                                   {"max_batch_commands", max_batch_commands},
                                                   {"max_batch_bytes", max_batch_bytes},
                                                   {"max_pending_bytes", max_pending_bytes},
                                                   {"max_pending_commands", max_pending_commands}};
  for (const auto& [name, value] : counts) {
    if (value == 0) return std::string(name) + " must be at least 1";
  }
  return "";
}

}  // namespace dqueue::queue
