// Runs handlers for jobs.
//
//   dqueue::client::Worker worker({.servers = {"10.0.0.1:9090"}}, {.queues = {"mail"}});
//   worker.Handle("welcome", [](dqueue::client::JobContext& job) {
//     …                                        // returns Complete(), Fail(), Reject() or Release()
//   });
//   worker.RunUntilSignal();
//
// A Worker leases only as many jobs as it can start at once. It extends all leases from its own
// thread, so a handler may run for any time. It repeats a verdict through changes of leadership
// until the answer is definite or the lease is long lost. If the servers cannot be reached or
// refuse its calls, it says so once (WorkerOptions::on_trouble) and goes on trying.
//
// Delivery is at least once: a job whose lease is lost runs again elsewhere. Handlers protect their
// side effects with JobContext::fence().
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "client/client.h"

namespace dqueue::client {

// The outcome of a handler. Make it with the functions below.
struct Verdict {
  enum class Kind { kComplete, kFail, kReject, kRelease };
  Kind kind = Kind::kComplete;
  std::string text{};                     // result of kComplete; error of kFail and kReject
  std::optional<Duration> retry_delay{};  // of kFail
};
// The job has succeeded. `result` is up to 1 MiB of any bytes; a larger one fails the job.
Verdict Complete(std::string result = "");
// The job is retried by its RetryPolicy or after `retry_delay` (0 to 30 days); it is dead if no
// retry is left. `error` is cut to 4 KiB.
Verdict Fail(std::string error, std::optional<Duration> retry_delay = {});
// The job is dead without a retry.
Verdict Reject(std::string error);
// The job is ready again for any worker. No counter changes.
Verdict Release();

// The job of a running handler. Valid until the handler returns.
class JobContext {
 public:
  JobContext(const Job& job, std::stop_token stop) : job_(job), stop_(std::move(stop)) {}
  const Job& job() const { return job_; }
  const std::string& payload() const { return job_.payload; }
  // Counts from 1: failures and expired leases so far, plus one.
  int attempt() const { return 1 + job_.failed + job_.expired; }
  // The token of this lease. A later lease of the job has a greater one. Store it with side effects
  // and refuse writes with a smaller token.
  FencingToken fence() const { return job_.token; }
  // Requested when the lease is lost, so that the verdict will probably not count, or when the
  // drain limit has passed. The verdict is reported all the same; the cluster decides. Stop
  // callbacks run on a thread of the worker or in Drain().
  std::stop_token stop() const { return stop_; }

 private:
  const Job& job_;
  std::stop_token stop_;
};

// Runs on one of the worker's threads, several at the same time. An exception fails the job with
// its what().
using Handler = std::function<Verdict(JobContext&)>;

struct WorkerOptions {
  std::string worker_id{};                        // 1 to 128 bytes; empty: host:pid:random
  std::vector<std::string> queues = {"default"};  // up to 100
  int concurrency = 1;                            // handlers that run at the same time, 1 to 1000
  // 1 s to 12 h; unset: each job's JobSpec::lease_duration, else the node's --lease-timeout.
  std::optional<Duration> lease_duration{};
  Duration drain_limit{30000};  // see Worker::Drain()
  // RunUntilSignal() ends when the servers have refused to lease for this long, with an answer that
  // no retry can change: a wrong API key, a queue that it does not allow, or an invalid option.
  Duration refusal_limit{10000};
  // Gets problems and progress as text for a log, without payloads. Called from any thread
  // of the worker, several at the same time, and from RunUntilSignal(). Null: no log.
  std::function<void(const std::string&)> log_line{};
  // Gets why calls fail: once for each cause, when it begins, and a status that is OK when calls
  // succeed again. Retries go on meanwhile. Called from any thread of the worker, one at a time. It
  // must not call the worker. Null: log_line gets the same as text.
  std::function<void(const Status&)> on_trouble{};
};

struct WorkerStats {
  uint64_t leased = 0;
  // Verdicts that took effect. `failed` includes rejected jobs.
  uint64_t completed = 0, failed = 0, released = 0;
  uint64_t lost = 0;  // leases lost before the verdict took effect
};

// Handle(), Start(), Drain() and RunUntilSignal() must be called from one thread; stats() is
// thread-safe.
class Worker {
 public:
  // Does not connect. Errors in the options are reported to on_trouble while it runs.
  Worker(ClientOptions client, WorkerOptions options);
  ~Worker();  // calls Drain()
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Sets the handler of a type. Call it before Start(). The handler of type "" gets all types that
  // have no handler; without it, only types with a handler are leased.
  void Handle(const std::string& type, Handler handler);
  // Starts the worker's threads and returns. A second call does nothing.
  void Start();
  // Stops leasing, releases jobs whose handler has not started and waits for running handlers.
  // After drain_limit it requests their stop and waits until they return. Verdicts that no server
  // accepts within drain_limit plus 0.8 s from the call, or 0.8 s after the last handler returned,
  // are lost: their jobs run again when the leases end. Returns when all threads have ended. The
  // worker cannot be started again.
  void Drain();
  // Calls Start(), waits for SIGINT, SIGTERM or SIGQUIT, then calls Drain() and returns OK. Returns
  // the refusal of the servers if it has lasted for refusal_limit. A second signal ends the process
  // at once with exit status 128 + signal. It handles the signals whichever thread gets them, and
  // also if they are blocked in this thread; it restores mask and handlers at its end. One call at
  // a time in a process.
  Status RunUntilSignal();
  WorkerStats stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dqueue::client
