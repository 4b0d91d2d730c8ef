// Asks each node's /health ten times a second, each time over a new connection, as load balancers
// do, and records how long that takes.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cmd/cluster/latencies.h"

namespace dqueue::cmd {

class HealthProbe {
 public:
  // Starts a thread for each address, "HOST:PORT".
  explicit HealthProbe(const std::vector<std::string>& addresses);
  // Stops the threads, within two seconds.
  void Stop();

  // After Stop().
  const Latencies& latencies() const { return latencies_; }  // of the answers with status 200
  uint64_t failed() const { return failed_; }                // other answers, or none within 1 s

 private:
  void Run(const std::stop_token& stop, const std::string& address);

  std::mutex mutex_;
  Latencies latencies_;  // guarded by mutex_ until Stop()
  uint64_t failed_ = 0;  // the same
  std::vector<std::jthread> threads_;
};

}  // namespace dqueue::cmd
