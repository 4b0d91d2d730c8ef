// Blocking calls with retries, in the caller's thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

#include "client/hang_watch.h"
#include "client/servers.h"

namespace dqueue::client {

// How long one attempt of a call that does not wait on purpose may take: long for a healthy
// cluster, short enough to look for another leader when one hangs.
inline constexpr Duration kAttemptMax{2000};

// Ends a call from another thread.
class CallCancel {
 public:
  void Cancel();
  bool cancelled() const;

 private:
  friend class Rpc;
  bool Begin(grpc::ClientContext* context);  // false: cancelled already
  void End();
  // False if cancelled.
  bool Wait(Duration time);

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  grpc::ClientContext* context_ = nullptr;
  bool cancelled_ = false;
};

struct CallSpec {
  bool changes = false;
  Duration timeout{};  // retries included
  Duration attempt_max = kAttemptMax;
  CallCancel* cancel = nullptr;  // may be null
  bool any_server = false;       // the answer says nothing about who leads
};

class Rpc {
 public:
  using Invoke = std::function<grpc::Status(Server&, grpc::ClientContext*)>;

  explicit Rpc(const ClientOptions& options) : servers_(options.servers, Access::From(options)) {}

  // Until it succeeds, fails for good, or the time is over.
  Status Call(const CallSpec& spec, const Invoke& invoke);
  // One attempt at one server.
  Status CallServer(Server& server, Duration timeout, const Invoke& invoke);

  Servers& servers() { return servers_; }
  HangWatch& watch() { return watch_; }

 private:
  Servers servers_;
  HangWatch watch_{&servers_};
};

// A seed for jitter.
uint64_t NextSeed();

}  // namespace dqueue::client
