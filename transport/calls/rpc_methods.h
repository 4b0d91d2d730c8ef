// The methods that a client can call, with path, scope and rules. Services, key checks and the HTTP
// bridge use this table; a method that is missing in it is refused.
#pragma once

#include <array>
#include <chrono>
#include <string_view>

#include "queue/api/key.h"
#include "queue/api/limits.h"

namespace dqueue::transport {

struct RpcMethod {
  const char* path;     // "/dqueue.v1.JobService/GetJob"
  queue::Scope scope;   // required of the caller
  bool changes;         // has an effect that a repetition could repeat
  bool grants = false;  // a lost answer must be taken back
  std::chrono::milliseconds wait_max{0};
};

using queue::Scope;

inline constexpr RpcMethod kEnqueueJob{"/dqueue.v1.JobService/EnqueueJob", Scope::kJobsSubmit,
                                       true};
inline constexpr RpcMethod kEnqueueJobs{"/dqueue.v1.JobService/EnqueueJobs", Scope::kJobsSubmit,
                                        true};
inline constexpr RpcMethod kGetJob{"/dqueue.v1.JobService/GetJob", Scope::kJobsRead, false};
inline constexpr RpcMethod kListJobs{"/dqueue.v1.JobService/ListJobs", Scope::kJobsRead, false};
inline constexpr RpcMethod kCancelJobs{"/dqueue.v1.JobService/CancelJobs", Scope::kJobsSubmit,
                                       true};
inline constexpr RpcMethod kRetryJobs{"/dqueue.v1.JobService/RetryJobs", Scope::kJobsSubmit, true};
inline constexpr RpcMethod kGetStats{"/dqueue.v1.JobService/GetStats", Scope::kJobsRead, false};
inline constexpr RpcMethod kPauseQueue{"/dqueue.v1.JobService/PauseQueue", Scope::kQueuesManage,
                                       true};
inline constexpr RpcMethod kResumeQueue{"/dqueue.v1.JobService/ResumeQueue", Scope::kQueuesManage,
                                        true};
inline constexpr RpcMethod kDeleteJobs{"/dqueue.v1.JobService/DeleteJobs", Scope::kQueuesManage,
                                       true};
inline constexpr RpcMethod kPurgeQueue{"/dqueue.v1.JobService/PurgeQueue", Scope::kQueuesManage,
                                       true};
inline constexpr RpcMethod kRedriveJobs{"/dqueue.v1.JobService/RedriveJobs", Scope::kQueuesManage,
                                        true};
inline constexpr RpcMethod kGroupDeadJobs{"/dqueue.v1.JobService/GroupDeadJobs", Scope::kJobsRead,
                                          false};

inline constexpr RpcMethod kLeaseJobs{"/dqueue.v1.WorkerService/LeaseJobs", Scope::kJobsLease, true,
                                      true, std::chrono::milliseconds(queue::kWaitMsMax)};
inline constexpr RpcMethod kCompleteJobs{"/dqueue.v1.WorkerService/CompleteJobs", Scope::kJobsAck,
                                         true};
inline constexpr RpcMethod kFailJobs{"/dqueue.v1.WorkerService/FailJobs", Scope::kJobsAck, true};
inline constexpr RpcMethod kExtendLeases{"/dqueue.v1.WorkerService/ExtendLeases", Scope::kJobsLease,
                                         true};
inline constexpr RpcMethod kReleaseJobs{"/dqueue.v1.WorkerService/ReleaseJobs", Scope::kJobsLease,
                                        true};
inline constexpr RpcMethod kListWorkers{"/dqueue.v1.WorkerService/ListWorkers", Scope::kJobsRead,
                                        false};

inline constexpr RpcMethod kGetCluster{"/dqueue.v1.ClusterService/GetCluster", Scope::kClusterRead,
                                       false};
inline constexpr RpcMethod kTransferLeadership{"/dqueue.v1.ClusterService/TransferLeadership",
                                               Scope::kClusterManage, true};

inline constexpr RpcMethod kCreateKey{"/dqueue.v1.KeyService/CreateKey", Scope::kKeysCreate, true};
inline constexpr RpcMethod kListKeys{"/dqueue.v1.KeyService/ListKeys", Scope::kKeysRead, false};
inline constexpr RpcMethod kRevokeKey{"/dqueue.v1.KeyService/RevokeKey", Scope::kKeysRevoke, true};

inline constexpr std::array kRpcMethods = {
    &kEnqueueJob,         &kEnqueueJobs,  &kGetJob,        &kListJobs,    &kCancelJobs,
    &kRetryJobs,          &kGetStats,     &kPauseQueue,    &kResumeQueue, &kDeleteJobs,
    &kPurgeQueue,         &kRedriveJobs,  &kGroupDeadJobs, &kLeaseJobs,   &kCompleteJobs,
    &kFailJobs,           &kExtendLeases, &kReleaseJobs,   &kListWorkers, &kGetCluster,
    &kTransferLeadership, &kCreateKey,    &kListKeys,      &kRevokeKey,
};

// Null: no method has this path.
constexpr const RpcMethod* FindRpcMethod(std::string_view path) {
  for (const RpcMethod* method : kRpcMethods) {
    if (path == method->path) return method;
  }
  return nullptr;
}

}  // namespace dqueue::transport
