// What operators do to a queue, or to many jobs at once: pause, resume, purge, redrive.
//
// Purge and redrive look for their jobs a bounded part at a time, one part in a turn of the loop,
// and every job that is found becomes a command of its own at once. Looking goes round: it begins
// where the last one stopped for having enough, because what is before that was just worked off.
#include <algorithm>
#include <memory>
#include <utility>

#include "base/check.h"
#include "queue/api/error_fingerprint.h"
#include "queue/api/limits.h"
#include "queue/api/validate.h"
#include "queue/broker/broker_impl.h"

namespace dqueue::queue {
namespace {

// Commands that one part makes at most.
constexpr size_t kPickedInATurnMax = 1000;
// Calls that look for jobs at the same time.
constexpr size_t kPickingCallsMax = 100;

// Pause and resume: one command, answered with the queue as it then is.
template <class C>
class QueueWork : public Work {
 public:
  QueueWork(C c, const StateMachine* state)
      : Work(c.deadline), call_(std::move(c)), state_(state) {}

  void Set(uint32_t, const CommandResult& result, bool) override {
    const std::string& queue = call_.request.queue();
    if (result.code == ResultCode::kNotFound) {
      refusal_ = QueueNotFoundError(queue);
    } else if (result.code == ResultCode::kTooManyQueues) {
      refusal_ = TooManyQueuesError();
    } else {
      DQ_CHECK(result.code == ResultCode::kOk);
      v1::GetStatsResponse stats;
      DQ_CHECK(state_->Stats(queue, &stats).ok());
      *response_.mutable_stats() = std::move(*stats.mutable_queues(0));
    }
  }
  void Answer(std::optional<Error> error) override {
    if (!error) error = std::move(refusal_);
    if (error) return call_.done(*std::move(error));
    call_.done(std::move(response_));
  }

 private:
  C call_;
  const StateMachine* const state_;
  typename C::ResponseType response_;
  std::optional<Error> refusal_;
};

void SetCount(uint64_t count, v1::PurgeQueueResponse* out) {
  out->set_purged(static_cast<int64_t>(count));
}
void SetCount(uint64_t count, v1::RedriveJobsResponse* out) {
  out->set_redriven(static_cast<int64_t>(count));
}

template <class C>
class PickCallWork : public PickWork {
 public:
  PickCallWork(C c, CommandKind command, const JobFilter& filter)
      : PickWork(c.deadline, command, filter), call_(std::move(c)) {
    const int32_t max = call_.request.max_jobs();
    jobs_max = static_cast<size_t>(max == 0 ? kPickJobsDefault : max);
  }
  void Answer(std::optional<Error> error) override {
    if (!error) error = std::move(refusal);
    if (error) return call_.done(*std::move(error));
    typename C::ResponseType response;
    SetCount(changed, &response);
    response.set_more(more);
    call_.done(std::move(response));
  }

 private:
  C call_;
};

}  // namespace

template <class C>
void BrokerImpl::SetQueue(Time now, C call, bool paused, bool refuse_enqueues) {
  if (auto error = CheckRequest(call.request)) return call.done(*std::move(error));
  if (!Allows(call.access, call.request.queue())) {
    return call.done(QueueDeniedError(call.request.queue()));
  }
  if (auto error = AdmitCommands(now, call.deadline, 1, call.request.ByteSizeLong())) {
    return call.done(*std::move(error));
  }
  log::v1::SetQueue set;
  set.set_queue(call.request.queue());
  set.set_paused(paused);
  set.set_refuse_enqueues(refuse_enqueues);
  Work* const work = std::make_unique<QueueWork<C>>(std::move(call), state_).release();
  work->remaining = 1;
  Append(log::v1::Command::kSetQueueFieldNumber, set,
         {.work = work, .kind = CommandKind::kSetQueue});
}

void BrokerImpl::Submit(Time now, int64_t, PauseCall call) {
  const bool refuse_enqueues = call.request.refuse_enqueues();
  SetQueue(now, std::move(call), /*paused=*/true, refuse_enqueues);
}

void BrokerImpl::Submit(Time now, int64_t, ResumeCall call) {
  SetQueue(now, std::move(call), /*paused=*/false, /*refuse_enqueues=*/false);
}

template <class C>
void BrokerImpl::SubmitPick(Time now, C call, CommandKind kind, JobFilter filter) {
  if (!filter.queue.empty() && !Allows(call.access, filter.queue)) {
    return call.done(QueueDeniedError(filter.queue));
  }
  filter.access = call.access.get();  // the work keeps the call
  if (auto error = AdmitWork(now, call.deadline)) return call.done(*std::move(error));
  if (picking_.size() >= kPickingCallsMax) {
    return call.done(OverloadedError("purges and redrives at a time", kPickingCallsMax));
  }
  auto work = std::make_unique<PickCallWork<C>>(std::move(call), kind, filter);
  const bool unknown = !work->queue.empty() && !state_->HasQueue(work->queue);
  if (unknown) work->refusal = QueueNotFoundError(work->queue);
  PickWork* const raw = work.release();
  raw->remaining = 1;
  // That there is no such queue, and that nothing more matches, is known from here alone.
  GatherWork(raw);
  if (unknown) return PartDone(raw);
  raw->end = state_->pick_end();
  raw->begin = std::min(pick_from_, raw->end);
  raw->position = raw->begin;
  picking_.push_back(raw);
}

void BrokerImpl::Submit(Time now, int64_t, PurgeCall call) {
  if (auto error = CheckRequest(call.request)) return call.done(*std::move(error));
  const std::string queue = call.request.queue();
  JobFilter filter{.queue = queue};
  for (const int state : call.request.states()) {
    filter.states |= JobStateBit(static_cast<v1::JobState>(state));
  }
  if (filter.states == 0) {
    filter.states = JobStateBit(v1::JOB_STATE_SCHEDULED) | JobStateBit(v1::JOB_STATE_READY);
  }
  SubmitPick(now, std::move(call), CommandKind::kDelete, filter);
}

void BrokerImpl::Submit(Time now, int64_t, RedriveCall call) {
  if (auto error = CheckRequest(call.request)) return call.done(*std::move(error));
  const v1::RedriveJobsRequest request = call.request;
  std::optional<uint64_t> fingerprint;
  if (!request.error_fingerprint().empty()) {
    fingerprint = ParseFingerprint(request.error_fingerprint());
  }
  SubmitPick(now, std::move(call), CommandKind::kRetry,
             {.queue = request.queue(),
              .type = request.type(),
              .states = JobStateBit(v1::JOB_STATE_DEAD),
              .error_contains = request.error_contains(),
              .error_fingerprint = fingerprint});
}

void BrokerImpl::PickSome(Time now) {
  if (picking_.empty() || pending_commands_ >= options_.max_pending_commands) return;
  PickWork* const work = picking_.front();
  picking_.pop_front();
  if (work->deadline <= now) {
    work->more = true;
    // What was picked goes on.
    if (work->picked == 0) return PartFailed(work, Work::Failure::kDeadline);
    return PartDone(work);
  }
  const uint32_t end = work->came_round ? work->begin : work->end;
  std::vector<JobRef> found;
  state_->Pick(work->filter(), kPickedInATurnMax, end, &work->position, &found);
  for (const JobRef job : found) {
    const JobView view = state_->View(job);
    if (work->kind == CommandKind::kDelete && IsTaken(job, view)) continue;
    if (work->picked == work->jobs_max) {
      work->more = true;
      pick_from_ = job.slot;
      return PartDone(work);
    }
    ++work->picked;
    ++work->remaining;
    AppendPicked(work, job, view);
  }
  if (work->position < end) return picking_.push_back(work);
  if (work->came_round || work->begin == 0) return PartDone(work);
  work->came_round = true;
  work->position = 0;
  picking_.push_back(work);
}

bool BrokerImpl::IsTaken(JobRef job, const JobView& view) const {
  // A late command for it may be in flight, though nobody holds it.
  return deletions_.contains(view.sequence) ||
         (!IsOver(view.state) && leases_.Find(job) != nullptr);
}

void BrokerImpl::AppendPicked(PickWork* work, JobRef job, const JobView& view) {
  if (work->kind == CommandKind::kDelete) {
    return AppendDelete(work, 0, job, view, work->filter().states);
  }
  log::v1::Retry retry;
  retry.set_id(std::string(view.id));
  retry.set_job_sequence(view.sequence);
  Append(log::v1::Command::kRetryFieldNumber, retry, {.work = work, .kind = CommandKind::kRetry});
}

}  // namespace dqueue::queue
