// Measures a cluster through the public SDK. Each mode ends with a comparison: the cluster's counts
// must agree with the acknowledgements that the client got.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "client/client.h"
#include "cmd/cluster/local_cluster.h"

namespace dqueue::cmd {

struct BenchOptions {
  client::ClientOptions access;     // servers, TLS and key
  LocalCluster* cluster = nullptr;  // null: an external cluster; no CPU times of nodes
  int64_t jobs = 200000;
  int batch = 256;
  int producers = 2;
  int workers = 2;
  int payload_bytes = 256;
  int64_t outstanding = 20000;      // end to end: maximum of jobs enqueued and not completed
  int in_flight = 64;               // enqueue: calls at the same time
  bool gather = true;               // enqueue: the client gathers concurrent jobs into batches
  int kills = 10;                   // failover: number of kills
  int transfers = 10;               // transfer: number of transfers
  client::Duration timeout{30000};  // of each call
};

struct BenchResult {
  std::string mode;
  uint64_t jobs = 0;
  double seconds = 0;
  double rate = 0;  // jobs per second
  double p50_ms = 0, p99_ms = 0, max_ms = 0;
  double server_cpu_per_million = -1;  // CPU-seconds per million jobs; -1: unknown
  double client_cpu_per_million = 0;
  uint64_t lost = 0;
  uint64_t repeated = 0;  // executed more than once
  std::string problem;    // empty: the run succeeded
};

// Producers enqueue in batches while workers lease and complete in batches. The latency of a job is
// the time from its enqueue call to its acknowledged completion.
BenchResult RunEndToEnd(const BenchOptions& options);
// Enqueues one job per call, with in_flight calls at the same time. Latencies are those of calls.
BenchResult RunEnqueue(const BenchOptions& options);
// Enqueues in batches. Latencies are those of batches.
BenchResult RunEnqueueBatches(const BenchOptions& options);
// Enqueues all jobs, then leases and completes them in batches. Only the second part is measured.
// Latencies are those of the lease and completion of a batch.
BenchResult RunDrain(const BenchOptions& options);
// Kills the leader with SIGKILL. The latency is the time until the next enqueue succeeds. Needs
// options.cluster.
BenchResult RunFailover(const BenchOptions& options);
// Transfers leadership while `producers` threads enqueue one job per call. The latency is the
// longest of their calls around each transfer.
BenchResult RunTransfer(const BenchOptions& options);

}  // namespace dqueue::cmd
