#include "sim/clients/worker.h"

#include <utility>

#include "google/protobuf/util/time_util.h"
#include "queue/api/proto_time.h"
#include "sim/clients/tenant.h"

namespace dqueue::sim {
namespace {

using google::protobuf::util::TimeUtil;

constexpr int kHeldMax = 12;

}  // namespace

Worker::Worker(World* world, int number, const LoadProfile& load, JobBook* book)
    : world_(world),
      caller_(world, number),
      load_(load),
      book_(book),
      id_("worker-" + std::to_string(number)) {
  if (load_.restricted > 0 && caller_.random().Chance(load_.restricted)) {
    caller_.SetAccess(DrawAccess(caller_.random(), load_.queues));
  }
}

void Worker::Start() { Next(load_.think_mean); }

void Worker::Next(Duration pause) {
  const Duration delay = draining_ ? Duration(10ms) : caller_.random().Exponential(pause);
  world_->After(1ms + delay, [this] { Lease(); });
}

void Worker::Lease() {
  if (stopped_) return;
  if (held_ >= kHeldMax) {
    Next(load_.think_mean);
    return;
  }
  RandomStream& random = caller_.random();
  request_.Clear();
  request_.set_worker_id(id_);
  if (draining_) caller_.SetAccess(nullptr);
  for (uint64_t queue = 0; queue < static_cast<uint64_t>(load_.queues); ++queue) {
    if (draining_ || random.Chance(0.7)) request_.add_queues(QueueName(queue));
  }
  if (!draining_ && random.Chance(0.15))
    request_.add_types(random.Chance(0.5) ? "mail" : "default");
  request_.set_max_jobs(static_cast<int>(random.Between(1, load_.lease_batch_max)));
  wait_ = draining_ ? Duration(1s) : random.Uniform(0us, load_.wait_max);
  if (wait_ > 0us) queue::SetTime(wait_, request_.mutable_wait());
  if (random.Chance(0.7)) {
    queue::SetTime(load_.lease, request_.mutable_lease_duration());
  }
  repeats_left_ = 0;
  if (random.Chance(load_.repeat_lease_call)) {
    request_.set_lease_request_id(id_ + "-" + std::to_string(++calls_));
    repeats_left_ = 3;
  }
  SendLease();
}

void Worker::SendLease() {
  caller_.Call<queue::LeaseCall>(
      request_, wait_ + caller_.random().Uniform(100ms, 2s),
      [this](std::optional<queue::Outcome<v1::LeaseJobsResponse>> outcome) {
        Leased(std::move(outcome));
      });
}

void Worker::Leased(std::optional<queue::Outcome<v1::LeaseJobsResponse>> outcome) {
  RandomStream& random = caller_.random();
  if (!outcome || !outcome->ok()) {
    caller_.Redirect(outcome ? &outcome->error : nullptr);
    if (!outcome && repeats_left_ > 0 && !stopped_) {
      --repeats_left_;
      if (random.Chance(0.5)) caller_.Redirect(nullptr);
      world_->After(random.Uniform(1ms, 50ms), [this] { SendLease(); });
      return;
    }
    Next(50ms);
    return;
  }
  for (const v1::Job& job : outcome->value.jobs()) Handle(job);
  if (repeats_left_ > 0 && random.Chance(0.1)) {
    // Repeats an answered lease call: the worker gets the same jobs again and completes them twice.
    --repeats_left_;
    SendLease();
    return;
  }
  Next(load_.think_mean);
}

void Worker::After(Duration hold, Task task, void (Worker::*then)(Task)) {
  ++held_;
  world_->After(1ms + hold, [this, task = std::move(task), then]() mutable {
    --held_;
    (this->*then)(std::move(task));
  });
}

void Worker::Handle(const v1::Job& job) {
  RandomStream& random = caller_.random();
  book_->RecordLease(job);
  Task task;
  task.id = job.id();
  task.token = job.lease().token();
  task.lease = Duration(TimeUtil::DurationToMicroseconds(job.lease().remaining()));
  if (draining_) {
    After(random.Uniform(1ms, 20ms), task, &Worker::Complete);
    return;
  }
  const Duration hold = random.Exponential(load_.hold_mean);
  if (random.Chance(load_.abandon)) return;
  if (random.Chance(load_.wrong_token)) {
    Task wrong = task;
    wrong.token.set_sequence(task.token.sequence() + random.Below(3));
    if (random.Chance(0.3)) wrong.token.set_term(task.token.term() + 1);
    if (random.Chance(0.3)) wrong.token.set_job(task.token.job() + random.Below(2));
    After(hold / 2, wrong, random.Chance(0.5) ? &Worker::Complete : &Worker::Extend);
  }
  if (random.Chance(load_.zombie)) {
    After(task.lease + random.Exponential(task.lease), task,
          random.Chance(0.8) ? &Worker::Complete : &Worker::Fail);
    return;
  }
  if (random.Chance(load_.release)) {
    After(hold / 2, task, &Worker::Release);
    // Sometimes completes the job although it was released.
    if (random.Chance(0.3)) After(hold, task, &Worker::Complete);
    return;
  }
  if (random.Chance(load_.fail)) {
    After(hold, task, &Worker::Fail);
    return;
  }
  if (random.Chance(load_.extend)) After(hold / 2, task, &Worker::Extend);
  After(hold, task, &Worker::Complete);
  if (random.Chance(load_.complete_twice)) After(hold, task, &Worker::Complete);
}

template <class Response>
void Worker::Retry(const std::optional<queue::Outcome<Response>>& outcome, Task task,
                   void (Worker::*again)(Task)) {
  if (outcome && outcome->ok()) return;
  caller_.Redirect(outcome ? &outcome->error : nullptr);
  if (--task.attempts_left <= 0) return;
  After(caller_.random().Uniform(5ms, 150ms), std::move(task), again);
}

void Worker::Complete(Task task) {
  v1::CompleteJobsRequest request;
  request.set_worker_id(id_);
  auto* item = request.add_items();
  item->set_id(task.id);
  *item->mutable_token() = task.token;
  if (caller_.random().Chance(0.3)) item->set_result("done");
  caller_.Call<queue::CompleteCall>(
      std::move(request), caller_.random().Uniform(200ms, 2s),
      [this, task = std::move(task)](auto outcome) { Retry(outcome, task, &Worker::Complete); });
}

void Worker::Fail(Task task) {
  RandomStream& random = caller_.random();
  v1::FailJobsRequest request;
  request.set_worker_id(id_);
  auto* item = request.add_items();
  item->set_id(task.id);
  *item->mutable_token() = task.token;
  item->set_error("it did not work");
  item->set_reject(random.Chance(load_.reject));
  if (random.Chance(0.3)) {
    queue::SetTime(random.Uniform(0us, 2s), item->mutable_retry_delay());
  }
  caller_.Call<queue::FailCall>(
      std::move(request), random.Uniform(200ms, 2s),
      [this, task = std::move(task)](auto outcome) { Retry(outcome, task, &Worker::Fail); });
}

void Worker::Release(Task task) {
  v1::ReleaseJobsRequest request;
  request.set_worker_id(id_);
  auto* item = request.add_items();
  item->set_id(task.id);
  *item->mutable_token() = task.token;
  caller_.Call<queue::ReleaseCall>(
      std::move(request), caller_.random().Uniform(200ms, 2s),
      [this, task = std::move(task)](auto outcome) { Retry(outcome, task, &Worker::Release); });
}

void Worker::Extend(Task task) {
  v1::ExtendLeasesRequest request;
  request.set_worker_id(id_);
  auto* item = request.add_items();
  item->set_id(task.id);
  *item->mutable_token() = task.token;
  if (caller_.random().Chance(0.7)) {
    queue::SetTime(caller_.random().Uniform(1s, 4s), request.mutable_lease_duration());
  }
  caller_.Call<queue::ExtendCall>(
      std::move(request), caller_.random().Uniform(200ms, 2s),
      [this, task = std::move(task)](auto outcome) { Retry(outcome, task, &Worker::Extend); });
}

}  // namespace dqueue::sim
