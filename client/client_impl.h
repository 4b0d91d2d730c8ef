// The part of Client that Worker uses too.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/enqueue_queue.h"
#include "client/rpc.h"

namespace dqueue::client {

class Client::Impl {
 public:
  explicit Impl(ClientOptions client_options)
      : options(std::move(client_options)),
        rpc(options),
        enqueues(std::make_shared<EnqueueQueue>(&rpc, options)) {}
  ~Impl() { enqueues->Stop(); }

  Result<Job> Get(const std::string& id, Duration timeout);
  // As Client::Lease(). A call with the `request_id` of an earlier one returns the jobs of that one
  // while they are still held. `cancel` may be null.
  Result<std::vector<Job>> Lease(const LeaseOptions& lease, const std::string& request_id,
                                 CallCancel* cancel);
  // `worker_id` tells a new leader which worker holds the jobs, for WorkerInfo. May be empty.
  Result<std::vector<Status>> Extend(const std::vector<LeaseRef>& items,
                                     const std::string& worker_id,
                                     std::optional<Duration> lease_duration, Duration timeout,
                                     CallCancel* cancel);

  const ClientOptions options;
  Rpc rpc;
  const std::shared_ptr<EnqueueQueue> enqueues;
};

}  // namespace dqueue::client
