// The nodes that a client knows, a channel to each, and which of them is believed to lead.
// Thread-safe.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "client/access.h"
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
};

class Servers {
 public:
  // "http://", "https://" and slashes at the end are cut off; duplicates count once. If there is a
  // problem with the access there are no servers.
  Servers(const std::vector<std::string>& addresses, Access access);

  const Access& access() const { return access_; }
  size_t count() const { return configured_; }
  // Why count() is 0.
  Status NoServers() const;
  // The leader if known, else any, preferring servers that did not fail lately. Null only if no
  // address was given.
  std::shared_ptr<Server> Pick();
  std::shared_ptr<Server> ByAddress(const std::string& address);

  // What an attempt has taught.
  void OnSuccess(const std::shared_ptr<Server>& server, const grpc::ClientContext& context);
  void OnFailure(const std::shared_ptr<Server>& server, const FailedAttempt& failure, bool avoid);

 private:
  struct Entry {
    std::shared_ptr<Server> server;
    Clock::time_point avoid_until;
  };
  static constexpr size_t kNone = static_cast<size_t>(-1);

  size_t FindOrAddLocked(const std::string& address);
  void SetLeaderLocked(const std::string& address);

  const Access access_;
  mutable std::mutex mutex_;
  size_t configured_ = 0;       // the first entries; later ones are leaders that servers named
  std::vector<Entry> entries_;  // never shrinks, bounded
  size_t leader_ = kNone;
  size_t next_ = 0;
};

// To be called before a call that ends in a callback. gRPC 1.51 ends its callback threads with the
// last channel that uses them; if that is destroyed on one of these threads, the thread would join
// itself. From here on this process keeps them. Not earlier: while there are none, a thread that
// waits for a call reads its answer from the socket itself, which saves two changes of threads.
void KeepCallbackThreads();

std::string NormalAddress(std::string address);

// Reads what the server, or gRPC in its place, said.
FailedAttempt ReadFailure(const grpc::Status& status, const Access& access);

}  // namespace dqueue::client
