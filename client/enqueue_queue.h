// Gathers concurrently enqueued jobs into batches, one call each. While max_batches_in_flight calls
// wait for an answer, new jobs form the next batch; otherwise a job is sent at once. Thread-safe.
// Calls are asynchronous, except that a blocking caller sends a batch of one job in its own thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_set>
#include <vector>

#include "client/rpc.h"
#include "client/timer.h"

namespace dqueue::client {

class EnqueueQueue : public std::enable_shared_from_this<EnqueueQueue> {
 public:
  using Done = std::function<void(Result<Enqueued>)>;

  static constexpr size_t kWaitingJobsMax = 1000000;
  static constexpr size_t kWaitingBytesMax = 256 << 20;

  EnqueueQueue(Rpc* rpc, const ClientOptions& options) : rpc_(rpc), options_(options) {}

  // Adds a job. `done` is called exactly once, on a thread of the client or in this thread. Without
  // room, CLIENT_QUEUE_FULL is the result; with `block`, only after the job's time limit.
  void Add(JobSpec spec, bool block, Done done);
  // Refuses waiting jobs and later ones, and cancels calls in flight. Returns when every job has
  // its result.
  void Stop();

 private:
  struct Waiting {
    JobSpec spec;
    size_t cost = 0;
    bool id_made_here = false;
    Clock::time_point deadline;
    Done done;
  };
  struct Batch;

  // Forms and sends batches while the limits allow. `in_this_thread`: the caller blocks anyway, so
  // the first batch may be sent in this thread.
  void Pump(bool in_this_thread);
  std::vector<Waiting> TakeLocked();
  void Fill(Batch& batch, std::vector<Waiting> jobs);
  // `in_this_thread`: returns when the attempt has ended.
  void Send(const std::shared_ptr<Batch>& batch, bool in_this_thread);
  void OnSent(const std::shared_ptr<Batch>& batch, const grpc::Status& status);
  void OnFailed(const std::shared_ptr<Batch>& batch, const grpc::Status& status);
  // Answers jobs beyond their deadline and removes them from the request. False: no job is left.
  static bool DropLate(Batch& batch);
  void Answer(Batch& batch);
  static void AnswerAll(Batch& batch, const Status& status);
  // A call has ended and will not be retried. Sends the next batch.
  void Landed();
  // Removes a batch whose callers have been answered.
  void Forget(const std::shared_ptr<Batch>& batch);
  void Fail(const std::shared_ptr<Batch>& batch, const Status& status);

  Rpc* const rpc_;
  const ClientOptions options_;
  Timer timer_;

  std::mutex mutex_;
  std::condition_variable room_;
  std::condition_variable idle_;
  std::deque<Waiting> waiting_;
  size_t waiting_bytes_ = 0;
  int in_flight_ = 0;
  bool stop_ = false;
  std::unordered_set<std::shared_ptr<Batch>> batches_;
};

}  // namespace dqueue::client
