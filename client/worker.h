// Runs handlers for jobs. Leases only as many jobs as it can start at once; extends all leases from
// a thread of its own, so a handler may take as long as it likes; keeps retrying a completion
// through a change of leader while there is a chance that it counts.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "client/client.h"

namespace dqueue::client {

// What a handler makes of a job.
struct Verdict {
  enum class Kind { kComplete, kFail, kReject, kRelease };
  Kind kind = Kind::kComplete;
  std::string text{};                     // result, or error
  std::optional<Duration> retry_delay{};  // of kFail
};
Verdict Complete(std::string result = "");
Verdict Fail(std::string error, std::optional<Duration> retry_delay = {});
Verdict Reject(std::string error);  // to the dead-letter set, no retry
Verdict Release();                  // somebody else's turn; no counter changes

class JobContext {
 public:
  JobContext(const Job& job, std::stop_token stop) : job_(job), stop_(std::move(stop)) {}
  const Job& job() const { return job_; }
  const std::string& payload() const { return job_.payload; }
  // 1 for the first attempt.
  int attempt() const { return 1 + job_.failed + job_.expired; }
  // Guard side effects with it: refuse writes with a smaller one.
  FencingToken fence() const { return job_.token; }
  // Requested when the lease is lost (the verdict will not count) or the worker must stop now.
  std::stop_token stop() const { return stop_; }

 private:
  const Job& job_;
  std::stop_token stop_;
};

// Runs on one of the worker's threads. An exception fails the job with its what().
using Handler = std::function<Verdict(JobContext&)>;

struct WorkerOptions {
  std::string worker_id{};  // empty: host:pid:random
  std::vector<std::string> queues = {"default"};
  int concurrency = 1;  // handlers at a time, 1 to 1000
  Duration lease_duration{30000};
  Duration drain_limit{30000};  // how long Drain() waits for handlers before it asks them to stop
  // Problems that a person should see (no payloads). May be called from any of the worker's
  // threads.
  std::function<void(const std::string&)> log_line{};
};

struct WorkerStats {
  uint64_t leased = 0, completed = 0, failed = 0, released = 0;
  uint64_t lost = 0;  // leases lost before the verdict counted
};

class Worker {
 public:
  Worker(ClientOptions client, WorkerOptions options);
  ~Worker();  // Drain()
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Before Start(). Type "" handles every type without a handler of its own; without it only types
  // with handlers are leased.
  void Handle(const std::string& type, Handler handler);
  void Start();
  // No new jobs; waits for running handlers (then asks them to stop, and waits for as long as they
  // take), reports their verdicts, releases jobs that no handler has begun.
  void Drain();
  // Start(), then Drain() on SIGINT or SIGTERM; a second signal ends the process at once. Call it
  // before other threads exist.
  void RunUntilSignal();
  WorkerStats stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dqueue::client
