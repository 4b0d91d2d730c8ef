#include "client/enqueue_queue.h"

#include <google/protobuf/arena.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "client/convert.h"
#include "google/rpc/status.pb.h"

namespace dqueue::client {
namespace {

Status Closed() { return {Code::kUnavailable, "CLIENT_CLOSED", "the client is being destroyed"}; }

Status Full() {
  return {Code::kResourceExhausted, "CLIENT_QUEUE_FULL",
          "too many jobs wait in this client; enqueue more slowly"};
}

}  // namespace

// A call with its retries. Request and response live in one arena.
struct EnqueueQueue::Batch {
  struct Caller {
    Clock::time_point deadline;
    bool id_made_here = false;
    Done done;
  };

  google::protobuf::Arena arena;
  v1::EnqueueJobsRequest* request = nullptr;
  v1::EnqueueJobsResponse* response = nullptr;
  std::vector<Caller> callers;  // in the order of request->jobs()
  std::optional<RetryState> retry;
  std::shared_ptr<Server> server;
  // Of the current attempt. Guarded by the queue's mutex, because Stop() cancels it.
  std::unique_ptr<grpc::ClientContext> context;
  std::optional<WatchedAttempt> watched;

  Clock::time_point EarliestDeadline() const {
    Clock::time_point earliest = Clock::time_point::max();
    for (const Caller& caller : callers) earliest = std::min(earliest, caller.deadline);
    return earliest;
  }
};

void EnqueueQueue::Add(JobSpec spec, bool block, Done done) {
  const std::string bad_field = FieldNotUtf8(spec);
  if (!bad_field.empty()) {
    done({{Code::kInvalidArgument, "INVALID_FIELD", bad_field + ": not valid UTF-8"}, {}});
    return;
  }
  Waiting job;
  job.id_made_here = spec.id.empty();
  if (job.id_made_here) spec.id = NewUuidV7();
  job.cost = CostOf(spec);
  job.deadline = Clock::now() + options_.timeout;
  job.spec = std::move(spec);
  job.done = std::move(done);
  std::optional<Status> refused;
  {
    std::unique_lock lock(mutex_);
    const auto has_room = [&] {
      return stop_ || waiting_.empty() ||
             (waiting_.size() < kWaitingJobsMax && waiting_bytes_ + job.cost <= kWaitingBytesMax);
    };
    if (block) {
      if (!room_.wait_until(lock, job.deadline, has_room)) refused = Full();
    } else if (!has_room()) {
      refused = Full();
    }
    if (stop_) refused = Closed();
    if (!refused) {
      waiting_bytes_ += job.cost;
      waiting_.push_back(std::move(job));
    }
  }
  if (refused) {
    job.done({*refused, {}});
    return;
  }
  Pump(block);
}

void EnqueueQueue::Pump(bool in_this_thread) {
  while (true) {
    auto batch = std::make_shared<Batch>();
    std::vector<Waiting> jobs;
    {
      const std::lock_guard lock(mutex_);
      if (stop_ || waiting_.empty() || in_flight_ >= std::max(1, options_.max_batches_in_flight)) {
        return;
      }
      jobs = TakeLocked();
      ++in_flight_;
      batches_.insert(batch);
    }
    room_.notify_all();
    Fill(*batch, std::move(jobs));
    // A batch of one job is sent in the waiting caller's thread, which saves two thread switches.
    Send(batch, in_this_thread && batch->callers.size() == 1);
    in_this_thread = false;
  }
}

std::vector<EnqueueQueue::Waiting> EnqueueQueue::TakeLocked() {
  const size_t most = std::min<size_t>(waiting_.size(), std::max(1, options_.max_batch_jobs));
  std::vector<Waiting> jobs;
  jobs.reserve(most);
  size_t bytes = 0;
  while (jobs.size() < most) {
    Waiting& job = waiting_.front();
    if (bytes > 0 && bytes + job.cost > options_.max_batch_bytes) break;
    bytes += job.cost;
    jobs.push_back(std::move(job));
    waiting_.pop_front();
  }
  waiting_bytes_ -= bytes;
  return jobs;
}

void EnqueueQueue::Fill(Batch& batch, std::vector<Waiting> jobs) {
  batch.request = google::protobuf::Arena::CreateMessage<v1::EnqueueJobsRequest>(&batch.arena);
  batch.response = google::protobuf::Arena::CreateMessage<v1::EnqueueJobsResponse>(&batch.arena);
  batch.request->mutable_jobs()->Reserve(static_cast<int>(jobs.size()));
  batch.callers.reserve(jobs.size());
  Clock::time_point latest = Clock::time_point::min();
  for (Waiting& job : jobs) {
    latest = std::max(latest, job.deadline);
    ToProto(std::move(job.spec), batch.request->add_jobs());
    batch.callers.push_back({job.deadline, job.id_made_here, std::move(job.done)});
  }
  batch.request->set_request_id(NewUuidV7());
  batch.retry.emplace(latest, Effect::kIdempotent, rpc_->servers().count(), NextSeed());
}

void EnqueueQueue::Send(const std::shared_ptr<Batch>& batch, bool in_this_thread) {
  batch->server = rpc_->servers().Pick();
  if (batch->server == nullptr) {
    Fail(batch, rpc_->servers().NoServers());
    return;
  }
  if (!DropLate(*batch)) {
    Landed();
    Forget(batch);
    return;
  }
  const auto left = std::chrono::duration_cast<std::chrono::microseconds>(
      batch->EarliestDeadline() - Clock::now());
  auto context = std::make_unique<grpc::ClientContext>();
  rpc_->servers().access().Authorize(context.get());
  context->set_deadline(std::chrono::system_clock::now() +
                        std::min<std::chrono::microseconds>(left, kAttemptMax));
  grpc::ClientContext* const raw = context.get();
  bool stopped = false;
  {
    const std::lock_guard lock(mutex_);
    stopped = stop_;
    if (!stopped) batch->context = std::move(context);
  }
  if (stopped) {
    Status status = Closed();
    if (batch->retry->unknown()) status.code = Code::kUnknownOutcome;
    Fail(batch, status);
    return;
  }
  batch->response->Clear();
  batch->watched.emplace(&rpc_->watch(), batch->server, raw);
  if (in_this_thread) {
    OnSent(batch, batch->server->jobs->EnqueueJobs(raw, *batch->request, batch->response));
    return;
  }
  KeepCallbackThreads();
  batch->server->jobs->async()->EnqueueJobs(
      raw, batch->request, batch->response,
      [self = shared_from_this(), batch](grpc::Status status) { self->OnSent(batch, status); });
}

void EnqueueQueue::OnSent(const std::shared_ptr<Batch>& batch, const grpc::Status& status) {
  batch->watched.reset();
  std::unique_ptr<grpc::ClientContext> context;
  {
    const std::lock_guard lock(mutex_);
    context = std::move(batch->context);
  }
  if (!status.ok()) {
    OnFailed(batch, status);
    return;
  }
  rpc_->servers().OnSuccess(batch->server, *context);
  // Sends the next batch before it wakes the callers, whose next jobs form the batch after it.
  Landed();
  Answer(*batch);
  Forget(batch);
}

void EnqueueQueue::OnFailed(const std::shared_ptr<Batch>& batch, const grpc::Status& status) {
  const FailedAttempt failure = ReadFailure(status);
  Step step = batch->retry->OnFailure(failure, Clock::now());
  if (step.kind == Step::Kind::kRetry || failure.transport) {
    rpc_->servers().OnFailure(batch->server, failure, step.avoid_server);
  }
  if (step.kind == Step::Kind::kRetry && rpc_->HopesNoMore()) {
    step.kind = Step::Kind::kGiveUp;
    step.status = batch->retry->OutOfTime();
  }
  if (step.kind == Step::Kind::kGiveUp) {
    if (failure.transport) rpc_->servers().Explain(*batch->server, &step.status);
    Fail(batch, step.status);
  } else if (step.wait.count() == 0) {
    Send(batch, false);
  } else {
    timer_.After(step.wait, [self = shared_from_this(), batch] { self->Send(batch, false); });
  }
}

bool EnqueueQueue::DropLate(Batch& batch) {
  const Clock::time_point now = Clock::now();
  if (batch.EarliestDeadline() > now) return true;
  auto* jobs = batch.request->mutable_jobs();
  int kept = 0;
  for (int i = 0; i < jobs->size(); ++i) {
    Batch::Caller& caller = batch.callers[i];
    if (caller.deadline <= now) {
      caller.done({batch.retry->OutOfTime(), {jobs->Get(i).id(), false}});
      continue;
    }
    if (kept != i) {
      jobs->SwapElements(kept, i);
      std::swap(batch.callers[kept], batch.callers[i]);
    }
    ++kept;
  }
  jobs->DeleteSubrange(kept, jobs->size() - kept);
  batch.callers.erase(batch.callers.begin() + kept, batch.callers.end());
  return kept > 0;
}

void EnqueueQueue::Answer(Batch& batch) {
  if (batch.response->results_size() != batch.request->jobs_size()) {
    AnswerAll(batch, {Code::kInternal, "", "the server returned a wrong number of results"});
    return;
  }
  for (size_t i = 0; i < batch.callers.size(); ++i) {
    auto* result = batch.response->mutable_results(static_cast<int>(i));
    Batch::Caller& caller = batch.callers[i];
    Result<Enqueued> answer;
    if (result->has_error()) answer.status = FromRpcStatus(result->error());
    answer.value.id = std::move(*result->mutable_id());
    const std::string& asked = batch.request->jobs(static_cast<int>(i)).id();
    // An id made by this client is new, so an existing job was created by an earlier attempt.
    answer.value.created = result->created() || (caller.id_made_here && answer.value.id == asked);
    caller.done(std::move(answer));
  }
}

void EnqueueQueue::AnswerAll(Batch& batch, const Status& status) {
  for (size_t i = 0; i < batch.callers.size(); ++i) {
    const std::string& id = batch.request->jobs(static_cast<int>(i)).id();
    batch.callers[i].done({status, {id, false}});
  }
}

void EnqueueQueue::Landed() {
  {
    const std::lock_guard lock(mutex_);
    --in_flight_;
  }
  Pump(false);
}

void EnqueueQueue::Forget(const std::shared_ptr<Batch>& batch) {
  const std::lock_guard lock(mutex_);
  batches_.erase(batch);
  idle_.notify_all();
}

void EnqueueQueue::Fail(const std::shared_ptr<Batch>& batch, const Status& status) {
  Landed();
  AnswerAll(*batch, status);
  Forget(batch);
}

void EnqueueQueue::Stop() {
  std::deque<Waiting> waiting;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    waiting.swap(waiting_);
    waiting_bytes_ = 0;
    for (const auto& batch : batches_) {
      if (batch->context != nullptr) batch->context->TryCancel();
    }
  }
  room_.notify_all();
  for (Waiting& job : waiting) job.done({Closed(), {job.spec.id, false}});
  timer_.Stop();
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return batches_.empty(); });
}

}  // namespace dqueue::client
