// The node's calls by name, as the bridge takes them.
#pragma once

namespace dqueue::transport {

inline constexpr char kEnqueueJobsMethod[] = "/dqueue.v1.JobService/EnqueueJobs";
inline constexpr char kGetJobMethod[] = "/dqueue.v1.JobService/GetJob";
inline constexpr char kListJobsMethod[] = "/dqueue.v1.JobService/ListJobs";
inline constexpr char kCancelJobsMethod[] = "/dqueue.v1.JobService/CancelJobs";
inline constexpr char kRetryJobsMethod[] = "/dqueue.v1.JobService/RetryJobs";
inline constexpr char kGetStatsMethod[] = "/dqueue.v1.JobService/GetStats";
inline constexpr char kLeaseJobsMethod[] = "/dqueue.v1.WorkerService/LeaseJobs";
inline constexpr char kCompleteJobsMethod[] = "/dqueue.v1.WorkerService/CompleteJobs";
inline constexpr char kFailJobsMethod[] = "/dqueue.v1.WorkerService/FailJobs";
inline constexpr char kExtendLeasesMethod[] = "/dqueue.v1.WorkerService/ExtendLeases";
inline constexpr char kReleaseJobsMethod[] = "/dqueue.v1.WorkerService/ReleaseJobs";
inline constexpr char kGetClusterMethod[] = "/dqueue.v1.ClusterService/GetCluster";

}  // namespace dqueue::transport
