// Listening sockets. Opened here and not by gRPC, for precise errors, for ports that no two
// programs share, and for accepting after a shortage of descriptors (accept_loop.h).
#pragma once

#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace dqueue::transport {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  ~UniqueFd() { Reset(); }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release() { return std::exchange(fd_, -1); }
  void Reset();

 private:
  int fd_ = -1;
};

struct ListenAddress {
  std::string host;  // empty: all interfaces; IPv6 without brackets
  int port = 0;      // 0: any
  friend bool operator==(const ListenAddress&, const ListenAddress&) = default;
};

// "host:port", ":port" or "[ipv6]:port". INVALID_ARGUMENT: another form.
absl::StatusOr<ListenAddress> ParseListenAddress(const std::string& text);

struct ListenSocket {
  UniqueFd fd;  // non-blocking, close-on-exec, listening
  int port = 0;
};

// INVALID_ARGUMENT: malformed, or the host does not resolve. UNAVAILABLE: it cannot be bound.
absl::StatusOr<ListenSocket> OpenListenSocket(const std::string& text);

}  // namespace dqueue::transport
