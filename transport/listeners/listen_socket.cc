#include "transport/listeners/listen_socket.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "transport/logging/escape.h"

namespace dqueue::transport {
namespace {

constexpr int kBacklog = 1024;
constexpr size_t kHostBytesMax = 253;  // RFC 1035 2.3.4

std::string Quoted(const std::string& text) { return '"' + EscapeText(text, 80) + '"'; }

absl::Status BadAddress(const std::string& text, const std::string& problem) {
  return absl::InvalidArgumentError("listen address " + Quoted(text) + ": " + problem +
                                    "; write host:port, :port or [ipv6]:port");
}

absl::Status CannotListen(const std::string& text, int error) {
  std::string message =
      "cannot listen on " + Quoted(text) + ": " + std::string(std::strerror(error));
  if (error == EADDRINUSE) message += "; another program (or another node) uses this port";
  if (error == EACCES) message += "; ports below 1024 need a privilege";
  if (error == EADDRNOTAVAIL) message += "; no interface of this machine has the address";
  return absl::UnavailableError(message);
}

struct Candidate {
  sockaddr_storage address{};
  socklen_t size = 0;
};

Candidate AnyV6(int port) {
  Candidate c;
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&c.address);
  v6->sin6_family = AF_INET6;
  v6->sin6_addr = in6addr_any;
  v6->sin6_port = htons(static_cast<uint16_t>(port));
  c.size = sizeof(sockaddr_in6);
  return c;
}

Candidate AnyV4(int port) {
  Candidate c;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&c.address);
  v4->sin_family = AF_INET;
  v4->sin_addr.s_addr = htonl(INADDR_ANY);
  v4->sin_port = htons(static_cast<uint16_t>(port));
  c.size = sizeof(sockaddr_in);
  return c;
}

absl::StatusOr<std::vector<Candidate>> Resolve(const std::string& text,
                                               const ListenAddress& address) {
  // One socket for both families where the machine has IPv6.
  if (address.host.empty()) return std::vector<Candidate>{AnyV6(address.port), AnyV4(address.port)};
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* raw = nullptr;
  const std::string port = std::to_string(address.port);
  const int error = getaddrinfo(address.host.c_str(), port.c_str(), &hints, &raw);
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(raw, freeaddrinfo);
  if (error != 0) {
    return BadAddress(text, "the host does not resolve (" + std::string(gai_strerror(error)) + ")");
  }
  std::vector<Candidate> found;
  for (const addrinfo* info = list.get(); info != nullptr; info = info->ai_next) {
    if (info->ai_family != AF_INET && info->ai_family != AF_INET6) continue;
    Candidate c;
    std::memcpy(&c.address, info->ai_addr, info->ai_addrlen);
    c.size = info->ai_addrlen;
    found.push_back(c);
  }
  // A name like localhost has both; every client tries IPv4.
  std::stable_sort(found.begin(), found.end(), [](const Candidate& a, const Candidate& b) {
    return a.address.ss_family == AF_INET && b.address.ss_family != AF_INET;
  });
  if (found.empty()) return BadAddress(text, "the host has no IP address");
  return found;
}

// 0, or errno.
int BindAndListen(const Candidate& candidate, ListenSocket* out) {
  UniqueFd fd(socket(candidate.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return errno;
  const int on = 1;
  const int off = 0;
  // Not SO_REUSEPORT: two nodes on one port must fail, not share.
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (candidate.address.ss_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&candidate.address);
    const bool any = std::memcmp(&v6->sin6_addr, &in6addr_any, sizeof(in6_addr)) == 0;
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, any ? &off : &on, sizeof(int));
  }
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&candidate.address), candidate.size) != 0) {
    return errno;
  }
  if (listen(fd.get(), kBacklog) != 0) return errno;
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0) return errno;
  const uint16_t port = bound.ss_family == AF_INET6
                            ? reinterpret_cast<const sockaddr_in6*>(&bound)->sin6_port
                            : reinterpret_cast<const sockaddr_in*>(&bound)->sin_port;
  out->port = ntohs(port);
  out->fd = std::move(fd);
  return 0;
}

}  // namespace

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  if (this != &other) {
    Reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void UniqueFd::Reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

absl::StatusOr<ListenAddress> ParseListenAddress(const std::string& text) {
  if (text.empty()) return BadAddress(text, "it is empty");
  ListenAddress address;
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return BadAddress(text, "no port");
  std::string host = text.substr(0, colon);
  const std::string port = text.substr(colon + 1);
  if (!host.empty() && host.front() == '[') {
    if (host.back() != ']') return BadAddress(text, "no port after \"]\"");
    host = host.substr(1, host.size() - 2);
    in6_addr parsed;
    if (inet_pton(AF_INET6, host.c_str(), &parsed) != 1) {
      return BadAddress(text, "no IPv6 address between the brackets");
    }
  } else if (host.find(':') != std::string::npos) {
    return BadAddress(text, "an IPv6 address needs brackets");
  }
  if (host.size() > kHostBytesMax) return BadAddress(text, "the host is longer than 253 bytes");
  for (unsigned char c : host) {
    if (c <= 0x20 || c >= 0x7f || c == '/' || c == '[' || c == ']') {
      return BadAddress(text, "the host has a character that cannot be in one");
    }
  }
  if (port.empty()) return BadAddress(text, "no port");
  if (port.size() > 5 || !std::all_of(port.begin(), port.end(),
                                      [](unsigned char c) { return c >= '0' && c <= '9'; })) {
    return BadAddress(text, "the port is not a number from 0 to 65535");
  }
  address.port = std::stoi(port);
  if (address.port > 65535) return BadAddress(text, "the port is not a number from 0 to 65535");
  address.host = std::move(host);
  return address;
}

absl::StatusOr<ListenSocket> OpenListenSocket(const std::string& text) {
  const absl::StatusOr<ListenAddress> address = ParseListenAddress(text);
  if (!address.ok()) return address.status();
  const absl::StatusOr<std::vector<Candidate>> candidates = Resolve(text, *address);
  if (!candidates.ok()) return candidates.status();
  ListenSocket result;
  int first_error = 0;
  for (const Candidate& candidate : *candidates) {
    const int error = BindAndListen(candidate, &result);
    if (error == 0) return result;
    // On a machine without IPv6 the error of IPv4 is the useful one.
    if (first_error == 0 || first_error == EAFNOSUPPORT) first_error = error;
    if (error == EADDRINUSE) break;
  }
  return CannotListen(text, first_error);
}

}  // namespace dqueue::transport
