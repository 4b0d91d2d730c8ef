// The servers that a client knows, a channel to each, and the probable leader. Thread-safe.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "client/access.h"
#include "client/connection_probe.h"
#include "client/retry.h"
#include "dqueue/v1/service.grpc.pb.h"

namespace dqueue::client {

struct Server {
  Server(std::string server_address, const Access& access);

  const std::string address;
  const std::shared_ptr<grpc::Channel> channel;
  const std::unique_ptr<v1::JobService::Stub> jobs;
  const std::unique_ptr<v1::WorkerService::Stub> workers;
  const std::unique_ptr<v1::ClusterService::Stub> cluster;
  const std::unique_ptr<v1::KeyService::Stub> keys;
  // A connection failed after the last success. Keeps the probes off the path of successful calls.
  std::atomic<bool> failing{false};
};

class Servers {
 public:
  // Normalises the addresses (NormalAddress) and drops duplicates. No servers if `access` has a
  // problem.
  Servers(const std::vector<std::string>& addresses, Access access);

  const Access& access() const { return access_; }
  // The number of configured servers.
  size_t count() const { return configured_; }
  // The error of calls if count() is 0.
  Status NoServers() const;
  // Returns the leader if it is known, else a configured server, preferably one without a recent
  // failure. Null if count() is 0.
  std::shared_ptr<Server> Pick();
  // Returns the known server with this address, or a new one.
  std::shared_ptr<Server> ByAddress(const std::string& address);

  // Records the result of an attempt: who leads, and which server to avoid for a while.
  void OnSuccess(const std::shared_ptr<Server>& server, const grpc::ClientContext& context);
  void OnFailure(const std::shared_ptr<Server>& server, const FailedAttempt& failure, bool avoid);

  // Replaces gRPC's text about a failed connection to the server by the cause, if a probe has found
  // it, and sets the reason. Else puts the server's address before it. A running probe is waited
  // for up to `limit`. Does nothing if the status has a reason.
  void Explain(const Server& server, Status* status, Duration limit = {});
  // No configured server could be reached during the last `duration`: nothing listens there, or the
  // names do not exist.
  bool Unreachable(Duration duration);

 private:
  struct Entry {
    std::shared_ptr<Server> server;
    Clock::time_point avoid_until;
  };
  static constexpr size_t kNone = static_cast<size_t>(-1);

  size_t FindOrAddLocked(const std::string& address);
  void SetLeaderLocked(const std::string& address);

  const Access access_;
  ConnectionProbes probes_{&access_};
  mutable std::mutex mutex_;
  size_t configured_ = 0;       // number of configured entries; the rest are named leaders
  std::vector<Entry> entries_;  // never shrinks; its size is limited
  size_t leader_ = kNone;
  size_t next_ = 0;
};

// Keeps gRPC's callback threads until the process ends. Call it before each asynchronous call. gRPC
// 1.51 ends these threads with the last channel that uses them; if a channel is destroyed on one of
// them, the thread would join itself. Do not call it earlier: without callback threads, a blocking
// call reads its answer from the socket in the caller's thread, which saves two thread switches.
void KeepCallbackThreads();

// Removes "http://", "https://" or "dns:///" and slashes at the end.
std::string NormalAddress(std::string address);

// Reads the error of a failed attempt: the server's details, or gRPC's own error.
FailedAttempt ReadFailure(const grpc::Status& status);

}  // namespace dqueue::client
