// Finds out why a connection to a server fails. gRPC's own errors do not tell: a refused
// connection, a wrong port and an unknown CA look the same. So after a failed attempt the server is
// dialled once more, with plain sockets and OpenSSL.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "client/access.h"
#include "client/retry.h"

namespace dqueue::client {

struct ConnectionProblem {
  // NAME_NOT_RESOLVED, CONNECTION_REFUSED, CONNECTION_FAILED, CONNECTION_TIMEOUT,
  // CONNECTION_CLOSED (the server closes it without a word), TLS_REQUIRED (by the server),
  // TLS_NOT_SPOKEN (by the server), TLS_CERTIFICATE (the server's is not accepted),
  // TLS_CLIENT_CERTIFICATE (the server does not accept this client's), TLS_FAILED, NOT_GRPC,
  // SERVER_SILENT (it accepts and does not speak). Empty: the probe found nothing wrong.
  std::string reason;
  std::string message;  // begins with the server's address
  // Nothing listens, or the name does not exist: no connection can succeed now.
  bool unreachable = false;
};

// Dials `address` ("host:port") at `dialled`, an IP address with a port. Returns within about 3 s,
// or soon after `stop`. SIGPIPE must be blocked in the calling thread, or ignored.
ConnectionProblem ProbeConnection(const std::string& address, const std::string& dialled,
                                  const Access& access, const std::stop_token& stop);

// The address that gRPC dialled, from its error: "127.0.0.1:9090" from "… ipv4:127.0.0.1:9090: …".
// Empty: the error has none.
std::string DialledAddress(const std::string& grpc_message);

// Probes servers after failures, on one thread that starts with the first failure. Thread-safe.
class ConnectionProbes {
 public:
  explicit ConnectionProbes(const Access* access) : access_(access) {}
  ~ConnectionProbes();
  ConnectionProbes(const ConnectionProbes&) = delete;
  ConnectionProbes& operator=(const ConnectionProbes&) = delete;

  // A connection to the server failed with this error of gRPC. Begins a probe if there was none
  // within the last second.
  void OnFailure(const std::string& address, const std::string& grpc_message);
  // A call to the server succeeded: its problem is over.
  void OnSuccess(const std::string& address);
  // The result of the last probe, or nullopt if no probe has ended since the last success. With a
  // `limit`, waits that long for a running probe.
  std::optional<ConnectionProblem> Problem(const std::string& address, Duration limit = {});
  // Since when the server has been unreachable; nullopt: it is not known to be.
  std::optional<Clock::time_point> UnreachableSince(const std::string& address);

 private:
  struct Record {
    std::optional<ConnectionProblem> problem;
    Clock::time_point probed_at = Clock::time_point::min();
    std::optional<Clock::time_point> unreachable_since;
    bool probing = false;
    uint64_t successes = 0;  // tells a probe that it is out of date
  };

  void Run(const std::stop_token& stop);
  static void Found(Record& record, ConnectionProblem problem);

  const Access* const access_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::map<std::string, Record> records_;
  std::deque<std::pair<std::string, std::string>> queue_;  // address, dialled address
  std::jthread thread_;
};

}  // namespace dqueue::client
