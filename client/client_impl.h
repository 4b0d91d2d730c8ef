// The part of Client that Worker uses too.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/enqueue_queue.h"
#include "client/rpc.h"

namespace dqueue::client {

// How Worker makes its calls.
struct CallControl {
  CallCancel* cancel = nullptr;     // may be null
  std::optional<Duration> timeout;  // unset: ClientOptions::timeout, plus the wait of a lease call
  std::function<bool(const Server& server, const FailedAttempt& failure)> on_failure;  // CallSpec
};

class Client::Impl {
 public:
  explicit Impl(ClientOptions client_options)
      : options(std::move(client_options)),
        rpc(options),
        enqueues(std::make_shared<EnqueueQueue>(&rpc, options)) {}
  ~Impl() { enqueues->Stop(); }

  Result<Job> Get(const std::string& id, Duration timeout);
  // As the functions of Client. A lease call with the `request_id` of an earlier one returns the
  // jobs of that one while they are still held.
  Result<std::vector<Job>> Lease(const LeaseOptions& lease, const std::string& request_id,
                                 const CallControl& control);
  // `worker_id` tells a new leader which worker holds the jobs, for WorkerInfo. May be empty.
  Result<std::vector<Status>> Extend(const std::vector<LeaseRef>& items,
                                     const std::string& worker_id,
                                     std::optional<Duration> lease_duration,
                                     const CallControl& control);
  Result<std::vector<Status>> Complete(const std::vector<Completion>& items,
                                       const CallControl& control);
  Result<std::vector<Status>> Fail(const std::vector<Failure>& items, const CallControl& control);
  Result<std::vector<Status>> Release(const std::vector<LeaseRef>& items,
                                      const CallControl& control);

  // The specification of a change that ids or lease tokens make idempotent.
  CallSpec Change(const CallControl& control) const {
    return {.effect = Effect::kIdempotent,
            .timeout = control.timeout.value_or(options.timeout),
            .cancel = control.cancel,
            .on_failure = control.on_failure};
  }

  const ClientOptions options;
  Rpc rpc;
  const std::shared_ptr<EnqueueQueue> enqueues;
};

}  // namespace dqueue::client
