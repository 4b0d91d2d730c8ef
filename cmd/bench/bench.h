// Measures a cluster through the public SDK. Every mode ends by counting: what was acknowledged
// must be there, once.
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
  LocalCluster* cluster = nullptr;  // null: somebody else's cluster, whose CPU time is not known
  int64_t jobs = 200000;
  int batch = 256;
  int producers = 2;
  int workers = 2;
  int payload_bytes = 256;
  int64_t outstanding = 20000;  // end to end: enqueued and not yet completed, at most
  int in_flight = 64;           // enqueue
  bool gather = true;           // enqueue: the client puts concurrent jobs into batches
  int kills = 10;               // failover
  int transfers = 10;           // transfer
  client::Duration timeout{30000};
};

struct BenchResult {
  std::string mode;
  uint64_t jobs = 0;
  double seconds = 0;
  double rate = 0;
  double p50_ms = 0, p99_ms = 0, max_ms = 0;
  double server_cpu_per_million = -1;  // CPU-seconds; -1: not known
  double client_cpu_per_million = 0;
  uint64_t lost = 0;
  uint64_t repeated = 0;  // executed more than once
  std::string problem;    // empty: everything was as it should be
};

// Producers enqueue in batches while workers lease and complete in batches. Latency is from the
// enqueue's call to the acknowledgement of the completion, for each job.
BenchResult RunEndToEnd(const BenchOptions& options);
// One job a call, in_flight of them at a time. Latency of a call.
BenchResult RunEnqueue(const BenchOptions& options);
// Enqueue in batches only. Latency of a batch.
BenchResult RunEnqueueBatches(const BenchOptions& options);
// Lease and complete in batches what was enqueued before. Latency of lease and completion of a
// batch.
BenchResult RunDrain(const BenchOptions& options);
// kill -9 of the leader until the next enqueue succeeds. Needs a cluster of its own.
BenchResult RunFailover(const BenchOptions& options);
// Leadership is moved while `producers` threads enqueue one job after the other. Latency: the
// longest of their calls around each move.
BenchResult RunTransfer(const BenchOptions& options);

}  // namespace dqueue::cmd
