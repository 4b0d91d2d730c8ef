// Gathers jobs that are enqueued at the same time into few calls. While max_batches_in_flight calls
// are on their way the next batch forms; a job that finds none on its way leaves at once, alone.
// No thread waits for a call but the one whose job it carries.
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

  // `done` is called exactly once: in this thread if the job is refused, else on one of the
  // client's. With `block`, waits for room instead of refusing.
  void Add(JobSpec spec, bool block, Done done);
  // Jobs that have not left are refused, calls on their way are cut off; returns when all have been
  // answered.
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

  // Forms and sends batches while the limits allow. `in_this_thread`: the caller waits for the job
  // that it added last.
  void Pump(bool in_this_thread);
  std::vector<Waiting> TakeLocked();
  void Fill(Batch& batch, std::vector<Waiting> jobs);
  // `in_this_thread`: returns when the attempt has ended.
  void Send(const std::shared_ptr<Batch>& batch, bool in_this_thread);
  void OnSent(const std::shared_ptr<Batch>& batch, const grpc::Status& status);
  void OnFailed(const std::shared_ptr<Batch>& batch, const grpc::Status& status);
  // Answers the jobs whose time is over and takes them out of the request; false if none are left.
  static bool DropLate(Batch& batch);
  void Answer(Batch& batch);
  static void AnswerAll(Batch& batch, const Status& status);
  // A call has come back for good: another may leave.
  void Landed();
  // Its callers have been answered.
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
