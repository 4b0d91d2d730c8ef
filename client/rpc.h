// Blocking calls with retries, in the caller's thread. Thread-safe.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "client/hang_watch.h"
#include "client/servers.h"

namespace dqueue::client {

// Time limit of one attempt, without the wait of a long poll: long for a healthy cluster, short
// enough to look for another leader when one hangs.
inline constexpr Duration kAttemptMax{2000};

// Cancels a running call, and all later calls with the same object, from another thread.
class CallCancel {
 public:
  void Cancel();
  bool cancelled() const;

 private:
  friend class Rpc;
  // Registers an attempt. False: cancelled.
  bool Begin(grpc::ClientContext* context);
  void End();
  // False: cancelled.
  bool Wait(Duration time);

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  grpc::ClientContext* context_ = nullptr;
  bool cancelled_ = false;
};

struct CallSpec {
  Effect effect = Effect::kNone;
  Duration timeout{};  // retries included
  Duration attempt_max = kAttemptMax;
  CallCancel* cancel = nullptr;  // may be null
  bool any_server = false;       // followers answer too, so a success does not identify the leader
  // Called after each failed attempt, with the cause if it is known (Servers::Explain). True: give
  // up instead of another attempt. Null: never.
  std::function<bool(const Server& server, const FailedAttempt& failure)> on_failure{};
};

class Rpc {
 public:
  using Invoke = std::function<grpc::Status(Server&, grpc::ClientContext*)>;

  explicit Rpc(const ClientOptions& options)
      : unreachable_limit_(options.unreachable_limit),
        servers_(options.servers, Access::From(options)) {}

  // Retries until success, a final error, the time limit or a cancellation.
  Status Call(const CallSpec& spec, const Invoke& invoke);
  // Makes one attempt at one server.
  Status CallServer(const std::shared_ptr<Server>& server, Duration timeout, const Invoke& invoke);

  // No server has been reachable for ClientOptions::unreachable_limit: a retry is not worth it.
  bool HopesNoMore() { return unreachable_limit_ && servers_.Unreachable(*unreachable_limit_); }

  Servers& servers() { return servers_; }
  HangWatch& watch() { return watch_; }

 private:
  const std::optional<Duration> unreachable_limit_;
  Servers servers_;
  HangWatch watch_{&servers_};
};

// A seed for jitter.
uint64_t NextSeed();

}  // namespace dqueue::client
