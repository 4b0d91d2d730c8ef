// What /metrics shows. docs/monitoring.md says what each metric means and how to ask for it.
//
// Counts of jobs come from the replicated state: each node shows the same, as far as it has applied
// them, so a question to all nodes takes the maximum, not the sum. What a node counts by itself
// begins at 0 with its process. Queues are the only names that users make which become labels: the
// first kMetricsQueuesMax by name; the rest is added up under kOtherQueues, which no queue can be
// called.
#pragma once

#include <string>

#include "node/node.h"
#include "transport/keys/authenticator.h"

namespace dqueue::transport {

inline constexpr int kMetricsQueuesMax = 200;
inline constexpr char kOtherQueues[] = "_other";
inline constexpr char kMetricsContentType[] = "text/plain; version=0.0.4; charset=utf-8";

struct ProcessMetrics {
  double start_time_seconds = 0;  // Unix time
  double cpu_seconds = 0;
  uint64_t resident_bytes = 0;
  uint64_t open_descriptors = 0;
  uint64_t max_descriptors = 0;
  Authenticator::Counts callers;  // by their keys; 0 while keys are off
};
// Of this process, from /proc; without `callers`.
ProcessMetrics ReadProcessMetrics();

std::string MetricsPage(const node::NodeMetrics& node, const ProcessMetrics& process);

}  // namespace dqueue::transport
