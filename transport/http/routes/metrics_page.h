// The page /metrics. docs/monitoring.md explains each metric and how to query it.
//
// Counts of jobs come from the replicated state: every node shows the same counts, as far as it has
// applied them, so queries over all nodes use the maximum, not the sum. Counts of the node itself
// begin at 0 with its process. Queues are the only user-made labels: the named ones of
// queue/broker/reports/named_queues.h; the sum of the rest is kOtherQueues, which cannot be the
// name of a queue.
#pragma once

#include <string>

#include "node/node.h"
#include "transport/calls/rejections.h"
#include "transport/calls/work_pool.h"
#include "transport/keys/authenticator.h"

namespace dqueue::transport {

inline constexpr char kOtherQueues[] = "_other";
inline constexpr char kMetricsContentType[] = "text/plain; version=0.0.4; charset=utf-8";

struct ProcessMetrics {
  double start_time_seconds = 0;  // Unix time
  double cpu_seconds = 0;
  uint64_t resident_bytes = 0;
  uint64_t open_descriptors = 0;
  uint64_t max_descriptors = 0;
  Authenticator::Counts callers;  // 0 while keys are off
  Rejections::Counts rejections{};
  WorkPool::Counts http;  // of the pool that parses requests and encodes answers
};
// Reads the metrics of this process from /proc, without `callers` and `rejections`.
ProcessMetrics ReadProcessMetrics();

std::string MetricsPage(const node::NodeMetrics& node, const ProcessMetrics& process);

}  // namespace dqueue::transport
