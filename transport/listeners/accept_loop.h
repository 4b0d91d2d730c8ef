// Accepts connections on a thread of its own and passes the descriptors to a callback. gRPC 1.51
// never accepts again after it has run out of descriptors (CVE-2023-4785); this loop does. It keeps
// one descriptor in reserve to refuse callers, and leaves a part of the limit to the log files.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>

#include "transport/listeners/listen_socket.h"

namespace dqueue::transport {

class AcceptLoop {
 public:
  // Connections whose descriptor would be `max_descriptor` or more are closed at once. The callback
  // owns the descriptor (non-blocking, TCP_NODELAY).
  AcceptLoop(UniqueFd listener, int max_descriptor, std::function<void(int fd)> on_connection);
  ~AcceptLoop();  // closes the listener and joins
  AcceptLoop(const AcceptLoop&) = delete;
  AcceptLoop& operator=(const AcceptLoop&) = delete;

  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  void Run();
  bool AcceptOne();  // false: no connection was waiting
  void Refuse(const char* why);

  UniqueFd listener_;
  UniqueFd wake_;
  UniqueFd reserve_;
  const int max_descriptor_;
  const std::function<void(int)> on_connection_;
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> refused_{0};
  std::thread thread_;
};

// Raises this process's limit of open descriptors to the hard limit and returns it.
// FAILED_PRECONDITION if that is less than `needed`.
absl::StatusOr<int> RaiseDescriptorLimit(int needed);

}  // namespace dqueue::transport
