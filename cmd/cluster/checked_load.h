// A load of jobs that are each recorded in a ledger: threads that enqueue, and threads that lease
// and complete. dqueue-chaos kills leaders under it, dqueue-hostile attacks the cluster beside it.
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "client/client.h"
#include "cmd/cluster/job_ledger.h"
#include "cmd/cluster/latencies.h"
#include "cmd/cluster/local_cluster.h"

namespace dqueue::cmd {

struct LoadOptions {
  client::ClientOptions access{};  // servers, key, time limit of a call
  std::string queue{};             // a queue without jobs
  int producers = 4;
  int workers = 4;
  int batch = 16;       // jobs per call
  int64_t rate = 2000;  // jobs enqueued per second
  // False: `rate` is an upper limit, and an outage is not made up for. True: calls that were due
  // during an outage are made after it, and their latency counts from the time when they were due.
  bool catch_up = false;
  // Leases that are failed or abandoned while the load runs, so that retries and expirations
  // happen.
  int failed_per_mille = 0;
  int abandoned_per_mille = 0;
};

struct LoadLatencies {
  Latencies enqueue;   // calls; with LoadOptions::catch_up from the time when they were due
  Latencies delivery;  // from the submission of a job to its first lease
  Latencies complete;  // calls
};

class CheckedLoad {
 public:
  // Starts the load. `ledger` must outlive it.
  CheckedLoad(LoadOptions options, JobLedger* ledger);
  // Ends the load where it is, if Finish() did not.
  ~CheckedLoad();
  CheckedLoad(const CheckedLoad&) = delete;
  CheckedLoad& operator=(const CheckedLoad&) = delete;

  // The latencies since the load began or since the last call.
  LoadLatencies TakeLatencies();

  // Ends the enqueues, waits until all jobs are finished, and ends the workers. Jobs that remain
  // after `limit` are a violation.
  void Finish(std::chrono::milliseconds limit);
  // To be called after Finish(): waits up to `limit` until the nodes of `cluster` have the same
  // state, and compares it with the ledger. Differences are violations, and so are counts of the
  // states that do not add up to the number of jobs.
  void Verify(LocalCluster* cluster, std::chrono::milliseconds limit);

 private:
  void Produce();
  void Work(int index);
  // Answers jobs that were leased with `worker_id`.
  void Handle(const std::vector<client::Job>& jobs, const std::string& worker_id,
              std::minstd_rand* random);
  void WaitUntilDrained(std::chrono::milliseconds limit);
  void Add(Latencies LoadLatencies::*kind, std::chrono::steady_clock::duration time);

  const LoadOptions options_;
  JobLedger* const ledger_;
  client::Client client_;
  std::mutex mutex_;
  LoadLatencies latencies_;  // guarded by mutex_
  std::atomic<bool> producing_{true};
  std::atomic<bool> working_{true};
  std::vector<std::jthread> producers_;
  std::vector<std::jthread> workers_;
};

}  // namespace dqueue::cmd
