#include "cmd/bench/bench.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "cmd/cluster/latencies.h"

namespace dqueue::cmd {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kLeaseWait{500};
constexpr milliseconds kRecoverLimit{30000};
constexpr size_t kNumberDigits = 12;

client::ClientOptions ClientFor(const BenchOptions& options) {
  client::ClientOptions result = options.access;
  result.timeout = options.timeout;
  return result;
}

// A new queue: its counts are those of this run.
std::string FreshQueue(const std::string& mode) {
  return "bench-" + mode + "-" + client::NewUuidV7();
}

// The payload begins with the job's number, for NumberOf().
client::JobSpec MakeJob(const std::string& queue, int64_t number, int payload_bytes) {
  client::JobSpec spec;
  spec.queue = queue;
  spec.type = "bench";
  char digits[32];
  std::snprintf(digits, sizeof digits, "%0*lld", static_cast<int>(kNumberDigits),
                static_cast<long long>(number));
  spec.payload = digits;
  spec.payload.resize(std::max<size_t>(kNumberDigits, static_cast<size_t>(payload_bytes)), 'x');
  return spec;
}

int64_t NumberOf(const client::Job& job) {
  return std::strtoll(job.payload.substr(0, kNumberDigits).c_str(), nullptr, 10);
}

// The first failure in any thread. All threads stop after it.
class Failure {
 public:
  void Set(const std::string& text) {
    const std::lock_guard lock(mutex_);
    if (text_.empty()) text_ = text;
    failed_ = true;
  }
  bool failed() const { return failed_; }
  std::string text() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;
  std::atomic<bool> failed_{false};
};

// Wall-clock and CPU time since its creation.
class Meter {
 public:
  explicit Meter(const BenchOptions& options)
      : cluster_(options.cluster),
        server_cpu_(cluster_ != nullptr ? cluster_->CpuSeconds() : 0),
        client_cpu_(OwnCpuSeconds()),
        start_(Clock::now()) {}

  void Stop(uint64_t jobs, const Latencies& latencies, BenchResult* result) const {
    result->seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    result->jobs = jobs;
    const double count = static_cast<double>(std::max<uint64_t>(jobs, 1));
    result->rate = static_cast<double>(jobs) / result->seconds;
    result->client_cpu_per_million = (OwnCpuSeconds() - client_cpu_) / count * 1e6;
    if (cluster_ != nullptr) {
      result->server_cpu_per_million = (cluster_->CpuSeconds() - server_cpu_) / count * 1e6;
    }
    result->p50_ms = latencies.Percentile(0.50);
    result->p99_ms = latencies.Percentile(0.99);
    result->max_ms = latencies.Percentile(1.0);
  }

 private:
  LocalCluster* cluster_;
  double server_cpu_;
  double client_cpu_;
  Clock::time_point start_;
};

// Threads that enqueue one job per call, each with its own client.
class OneByOne {
 public:
  OneByOne(const BenchOptions& options, const std::string& queue) : calls_(options.producers) {
    for (int i = 0; i < options.producers; ++i) {
      threads_.emplace_back([this, options, queue, i] { Run(options, queue, i); });
    }
  }
  ~OneByOne() { Stop(); }

  // Waits until every thread has ended kSomeCalls more calls, or one has failed.
  void AwaitCalls() {
    std::unique_lock lock(mutex_);
    const std::vector<uint64_t> before = calls_;
    changed_.wait(lock, [&] {
      for (size_t i = 0; i < calls_.size(); ++i) {
        if (calls_[i] < before[i] + kSomeCalls && !failure_.failed()) return false;
      }
      return true;
    });
  }
  // The longest call since the last TakeLongest().
  Clock::duration TakeLongest() {
    const std::lock_guard lock(mutex_);
    return std::exchange(longest_, Clock::duration::zero());
  }
  // Joins the threads. Returns the number of acknowledged jobs.
  uint64_t Stop() {
    stop_ = true;
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
    return acknowledged_;
  }
  std::string failure() const { return failure_.text(); }

 private:
  static constexpr uint64_t kSomeCalls = 10;

  void Run(const BenchOptions& options, const std::string& queue, int thread) {
    client::Client client(ClientFor(options));
    for (int64_t i = 0; !stop_ && !failure_.failed(); ++i) {
      const Clock::time_point start = Clock::now();
      const auto one = client.Enqueue(MakeJob(queue, i, options.payload_bytes));
      const Clock::duration time = Clock::now() - start;
      if (!one.ok()) failure_.Set("an enqueue failed: " + one.status.message);
      const std::lock_guard lock(mutex_);
      if (one.ok()) ++acknowledged_;
      longest_ = std::max(longest_, time);
      ++calls_[thread];
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<uint64_t> calls_;  // ended calls, by thread
  Clock::duration longest_{};
  uint64_t acknowledged_ = 0;
  std::atomic<bool> stop_{false};
  Failure failure_;
  std::vector<std::thread> threads_;
};

// Threads that work on one queue until all jobs are done or one thread fails.
class Crew {
 public:
  void Join() {
    for (std::jthread& thread : threads_) thread.join();
    threads_.clear();
  }
  // Complete after Join().
  const Latencies& latencies() const { return latencies_; }

 protected:
  Crew(const BenchOptions& options, std::string queue, Failure* failure)
      : options_(options), queue_(std::move(queue)), failure_(failure) {}
  ~Crew() { Join(); }

  // Each call of `run` gets its own latencies, which are merged when it returns.
  void StartThreads(int count, const std::function<void(int index, Latencies*)>& run) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this, run, i] {
        Latencies latencies;
        run(i, &latencies);
        const std::lock_guard lock(mutex_);
        latencies_.Add(latencies);
      });
    }
  }

  const BenchOptions& options_;
  const std::string queue_;
  Failure* const failure_;
  std::mutex mutex_;

 private:
  Latencies latencies_;
  std::vector<std::jthread> threads_;
};

// Numbers jobs and enqueues them in batches. Latencies are those of batches.
class Producers : public Crew {
 public:
  Producers(const BenchOptions& options, std::string queue, Failure* failure)
      : Crew(options, std::move(queue), failure), started_(static_cast<size_t>(options.jobs)) {
    for (auto& time : started_) time.store(0, std::memory_order_relaxed);
  }
  ~Producers() { Join(); }

  // Before a batch is sent, `admit(number after its last job)` waits until the batch may be sent.
  // If it returns false the thread ends.
  void Start(const std::function<bool(int64_t)>& admit) {
    StartThreads(options_.producers,
                 [this, admit](int, Latencies* latencies) { Run(admit, latencies); });
  }
  uint64_t acknowledged() const { return acknowledged_; }
  Clock::time_point started(int64_t number) const {
    return Clock::time_point(Clock::duration(started_[static_cast<size_t>(number)].load()));
  }

 private:
  void Run(const std::function<bool(int64_t)>& admit, Latencies* latencies) {
    client::Client client(ClientFor(options_));
    while (!failure_->failed()) {
      const int64_t first = next_.fetch_add(options_.batch);
      if (first >= options_.jobs) break;
      const int64_t end = std::min<int64_t>(first + options_.batch, options_.jobs);
      if (!admit(end)) break;
      std::vector<client::JobSpec> specs;
      specs.reserve(static_cast<size_t>(end - first));
      for (int64_t i = first; i < end; ++i) {
        specs.push_back(MakeJob(queue_, i, options_.payload_bytes));
      }
      const Clock::time_point start = Clock::now();
      for (int64_t i = first; i < end; ++i) {
        started_[static_cast<size_t>(i)] = start.time_since_epoch().count();
      }
      const auto result = client.EnqueueMany(std::move(specs));
      latencies->Add(Clock::now() - start);
      if (!result.ok()) return failure_->Set("enqueue: " + result.status.message);
      for (const client::Result<client::Enqueued>& item : result.value) {
        if (!item.ok()) return failure_->Set("enqueue: " + item.status.message);
        ++acknowledged_;
      }
    }
  }

  std::atomic<int64_t> next_{0};
  std::atomic<uint64_t> acknowledged_{0};
  std::vector<std::atomic<int64_t>> started_;
};

// Leases and completes in batches until all jobs are completed.
class Workers : public Crew {
 public:
  Workers(const BenchOptions& options, std::string queue, Failure* failure)
      : Crew(options, std::move(queue), failure), executions_(static_cast<size_t>(options.jobs)) {
    for (auto& count : executions_) count.store(0, std::memory_order_relaxed);
  }
  ~Workers() { Join(); }

  // Called after each batch, on the worker's thread: the numbers of its jobs, the start of the
  // lease call, and the latencies to add to.
  using OnCompleted =
      std::function<void(const std::vector<int64_t>&, Clock::time_point, Latencies*)>;
  void Start(const OnCompleted& on_completed) {
    StartThreads(options_.workers, [this, on_completed](int index, Latencies* latencies) {
      Run(on_completed, index, latencies);
    });
  }
  int64_t completed() const { return completed_; }

  // Waits until no more than `room` jobs before number `end` are uncompleted. False: a thread
  // failed.
  bool WaitForRoom(int64_t end, int64_t room) {
    std::unique_lock lock(mutex_);
    while (end - completed_ > room && !failure_->failed()) {
      progress_.wait_for(lock, milliseconds(100));
    }
    return !failure_->failed();
  }

  void Judge(BenchResult* result) const {
    for (const auto& count : executions_) {
      if (count == 0) ++result->lost;
      if (count > 1) ++result->repeated;
    }
  }

 private:
  void Run(const OnCompleted& on_completed, int index, Latencies* latencies) {
    client::Client client(ClientFor(options_));
    client::LeaseOptions lease;
    lease.worker_id = "bench-" + std::to_string(index);
    lease.queues = {queue_};
    lease.max_jobs = std::min(options_.batch, 1000);
    lease.wait = kLeaseWait;
    std::vector<int64_t> numbers;
    std::vector<client::Completion> completions;
    while (!failure_->failed() && completed_ < options_.jobs) {
      const Clock::time_point start = Clock::now();
      const auto jobs = client.Lease(lease);
      if (!jobs.ok()) return failure_->Set("lease: " + jobs.status.message);
      if (jobs.value.empty()) continue;
      numbers.clear();
      completions.clear();
      for (const client::Job& job : jobs.value) {
        const int64_t number = NumberOf(job);
        if (number < 0 || number >= options_.jobs) {
          return failure_->Set("a job that was never enqueued: " + job.id);
        }
        ++executions_[static_cast<size_t>(number)];
        numbers.push_back(number);
        completions.push_back({job.id, job.token, ""});
      }
      const auto results = client.Complete(completions);
      if (!results.ok()) return failure_->Set("complete: " + results.status.message);
      for (const client::Status& status : results.value) {
        if (!status.ok()) return failure_->Set("complete: " + status.message);
      }
      on_completed(numbers, start, latencies);
      const std::lock_guard lock(mutex_);
      completed_ += static_cast<int64_t>(numbers.size());
      progress_.notify_all();
    }
  }

  std::vector<std::atomic<uint32_t>> executions_;
  std::condition_variable progress_;
  std::atomic<int64_t> completed_{0};
};

// Compares the cluster's counts for the queue with the acknowledgements.
void CheckCounts(const BenchOptions& options, const std::string& queue, uint64_t enqueued,
                 uint64_t completed, BenchResult* result) {
  client::Client client(ClientFor(options));
  const client::Result<client::Stats> stats = client.GetStats(queue);
  if (!stats.ok()) {
    if (result->problem.empty()) result->problem = "stats: " + stats.status.message;
    return;
  }
  const client::QueueStats& q = stats.value.total;
  if (q.enqueued < enqueued) result->lost += enqueued - q.enqueued;
  const uint64_t sum =
      q.scheduled + q.ready + q.leased + q.succeeded + q.dead + q.cancelled + q.purged;
  std::string problem;
  if (sum != q.enqueued) {
    problem = "the states add up to " + std::to_string(sum) + ", but " +
              std::to_string(q.enqueued) + " jobs were enqueued";
  } else if (q.enqueued != enqueued || q.completions != completed) {
    problem = "the cluster counts " + std::to_string(q.enqueued) + " enqueued and " +
              std::to_string(q.completions) + " completed; acknowledged were " +
              std::to_string(enqueued) + " and " + std::to_string(completed);
  } else if (result->lost > 0) {
    problem = std::to_string(result->lost) + " jobs were lost";
  }
  if (result->problem.empty()) result->problem = problem;
}

// The cluster must count all acknowledged jobs. It may count more: an enqueue whose outcome is
// unknown may have taken effect.
void CheckNothingLost(client::Client* client, const std::string& queue, uint64_t acknowledged,
                      BenchResult* result) {
  const client::Result<client::Stats> stats = client->GetStats(queue);
  if (!stats.ok()) {
    if (result->problem.empty()) result->problem = "stats: " + stats.status.message;
  } else if (stats.value.total.enqueued < acknowledged) {
    result->lost = acknowledged - stats.value.total.enqueued;
    result->problem = std::to_string(result->lost) + " jobs were lost";
  }
}

}  // namespace

BenchResult RunEndToEnd(const BenchOptions& options) {
  BenchResult result;
  result.mode = "e2e";
  const std::string queue = FreshQueue("e2e");
  Failure failure;
  Producers producers(options, queue, &failure);
  Workers workers(options, queue, &failure);
  const Meter meter(options);
  workers.Start(
      [&producers](const std::vector<int64_t>& numbers, Clock::time_point, Latencies* latencies) {
        const Clock::time_point now = Clock::now();
        for (int64_t number : numbers) latencies->Add(now - producers.started(number));
      });
  producers.Start([&](int64_t end) { return workers.WaitForRoom(end, options.outstanding); });
  producers.Join();
  workers.Join();
  meter.Stop(static_cast<uint64_t>(workers.completed()), workers.latencies(), &result);
  result.problem = failure.text();
  workers.Judge(&result);
  CheckCounts(options, queue, producers.acknowledged(), static_cast<uint64_t>(workers.completed()),
              &result);
  return result;
}

BenchResult RunEnqueueBatches(const BenchOptions& options) {
  BenchResult result;
  result.mode = "enqueue-batches";
  const std::string queue = FreshQueue("batches");
  Failure failure;
  Producers producers(options, queue, &failure);
  const Meter meter(options);
  producers.Start([](int64_t) { return true; });
  producers.Join();
  meter.Stop(producers.acknowledged(), producers.latencies(), &result);
  result.problem = failure.text();
  CheckCounts(options, queue, producers.acknowledged(), 0, &result);
  return result;
}

BenchResult RunDrain(const BenchOptions& options) {
  BenchResult result;
  result.mode = "drain";
  const std::string queue = FreshQueue("drain");
  Failure failure;
  Producers producers(options, queue, &failure);
  producers.Start([](int64_t) { return true; });
  producers.Join();
  Workers workers(options, queue, &failure);
  const Meter meter(options);
  workers.Start([](const std::vector<int64_t>&, Clock::time_point start, Latencies* latencies) {
    latencies->Add(Clock::now() - start);
  });
  workers.Join();
  meter.Stop(static_cast<uint64_t>(workers.completed()), workers.latencies(), &result);
  result.problem = failure.text();
  workers.Judge(&result);
  CheckCounts(options, queue, producers.acknowledged(), static_cast<uint64_t>(workers.completed()),
              &result);
  return result;
}

BenchResult RunEnqueue(const BenchOptions& options) {
  BenchResult result;
  result.mode = "enqueue-" + std::to_string(options.in_flight) + (options.gather ? "" : "-unary");
  const std::string queue = FreshQueue("enqueue");
  client::ClientOptions client_options = ClientFor(options);
  if (!options.gather) {
    client_options.max_batch_jobs = 1;
    client_options.max_batches_in_flight = options.in_flight;
  }
  client::Client client(client_options);
  Failure failure;
  std::mutex mutex;
  std::condition_variable freed;
  int in_flight = 0;
  uint64_t acknowledged = 0;
  Latencies latencies;

  const Meter meter(options);
  for (int64_t i = 0; i < options.jobs && !failure.failed(); ++i) {
    client::JobSpec spec = MakeJob(queue, i, options.payload_bytes);
    if (options.in_flight == 1) {
      const Clock::time_point start = Clock::now();
      const client::Result<client::Enqueued> one = client.Enqueue(std::move(spec));
      latencies.Add(Clock::now() - start);
      if (!one.ok()) {
        failure.Set("enqueue: " + one.status.message);
      } else {
        ++acknowledged;
      }
      continue;
    }
    {
      std::unique_lock lock(mutex);
      freed.wait(lock, [&] { return in_flight < options.in_flight; });
      ++in_flight;
    }
    const Clock::time_point start = Clock::now();
    client.EnqueueAsync(std::move(spec), [&, start](client::Result<client::Enqueued> one) {
      const std::lock_guard lock(mutex);
      latencies.Add(Clock::now() - start);
      --in_flight;
      if (!one.ok()) {
        failure.Set("enqueue: " + one.status.message);
      } else {
        ++acknowledged;
      }
      freed.notify_one();
    });
  }
  std::unique_lock lock(mutex);
  freed.wait(lock, [&] { return in_flight == 0; });
  meter.Stop(acknowledged, latencies, &result);
  result.problem = failure.text();
  CheckCounts(options, queue, acknowledged, 0, &result);
  return result;
}

BenchResult RunFailover(const BenchOptions& options) {
  BenchResult result;
  result.mode = "failover";
  if (options.cluster == nullptr) {
    result.problem = "failover needs its own nodes instead of --server";
    return result;
  }
  LocalCluster& cluster = *options.cluster;
  const std::string queue = FreshQueue("failover");
  client::Client client(ClientFor(options));
  Latencies gaps;
  uint64_t acknowledged = 0;
  uint64_t submitted = 0;
  const auto enqueue = [&] {
    const auto one =
        client.Enqueue(MakeJob(queue, static_cast<int64_t>(submitted++), options.payload_bytes));
    if (one.ok()) ++acknowledged;
    return one;
  };
  const Meter meter(options);
  for (int kill = 0; kill < options.kills && result.problem.empty(); ++kill) {
    // Connects the client to the current leader.
    for (int i = 0; i < 20; ++i) enqueue();
    const absl::StatusOr<int> leader = cluster.FindLeader(kRecoverLimit);
    if (!leader.ok()) {
      result.problem = std::string(leader.status().message());
      break;
    }
    const Clock::time_point start = Clock::now();
    cluster.Kill(*leader);
    const auto first = enqueue();
    gaps.Add(Clock::now() - start);
    if (!first.ok()) {
      result.problem = "no enqueue succeeded after the leader was killed: " + first.status.message;
    }
    absl::Status back = cluster.Restart(*leader);
    if (back.ok()) back = cluster.WaitUntilEqual(kRecoverLimit);
    if (!back.ok() && result.problem.empty()) result.problem = std::string(back.message());
  }
  meter.Stop(acknowledged, gaps, &result);
  result.server_cpu_per_million = -1;  // mostly elections and restarts, so not a cost of jobs
  CheckNothingLost(&client, queue, acknowledged, &result);
  return result;
}

BenchResult RunTransfer(const BenchOptions& options) {
  BenchResult result;
  result.mode = "transfer";
  const std::string queue = FreshQueue("transfer");
  OneByOne load(options, queue);
  client::Client client(ClientFor(options));
  Latencies gaps;
  const Meter meter(options);
  for (int i = 0; i < options.transfers && result.problem.empty(); ++i) {
    load.AwaitCalls();
    load.TakeLongest();
    const auto moved = client.TransferLeadership();
    if (!moved.ok()) result.problem = "leadership did not move: " + moved.status.message;
    load.AwaitCalls();
    gaps.Add(load.TakeLongest());
  }
  const uint64_t acknowledged = load.Stop();
  meter.Stop(acknowledged, gaps, &result);
  if (result.problem.empty()) result.problem = load.failure();
  CheckNothingLost(&client, queue, acknowledged, &result);
  return result;
}

}  // namespace dqueue::cmd
