// Jobs that an attack needs before it can begin, and the calls that several attacks make.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cmd/hostile/caller.h"
#include "dqueue/v1/service.pb.h"

namespace dqueue::cmd {

Request JobCall(std::string_view method, const google::protobuf::MessageLite& message,
                std::chrono::milliseconds limit = std::chrono::seconds(10));
Request WorkerCall(std::string_view method, const google::protobuf::MessageLite& message,
                   std::chrono::milliseconds limit = std::chrono::seconds(10));

// `count` jobs of the caller's queue with ids that begin with the queue's name, so the same ids
// each time. They are not retried, and forgotten when they are finished.
v1::EnqueueJobsRequest Batch(const Caller& caller, int count, size_t payload_bytes);
std::vector<std::string> IdsOf(const v1::EnqueueJobsRequest& batch);

// Enqueues, and counts how each job was answered. True: the call was OK.
bool Enqueue(Caller& caller, const v1::EnqueueJobsRequest& batch);
// Deletes these jobs, in any state but leased.
bool Delete(Caller& caller, const std::vector<std::string>& ids);
// Leases up to `count` jobs of the queue for `lease_seconds`.
v1::LeaseJobsResponse Lease(Caller& caller, const std::string& queue, int count, int lease_seconds);

// Makes sure once that the caller's queue has `count` jobs. A caller that only reads takes what is
// there.
class Stock {
 public:
  Stock(int count, size_t payload_bytes) : count_(count), payload_bytes_(payload_bytes) {}
  // False: not yet; the call has waited a moment.
  bool Ready(Caller& caller);

 private:
  const int count_;
  const size_t payload_bytes_;
  bool ready_ = false;
};

}  // namespace dqueue::cmd
