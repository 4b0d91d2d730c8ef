#include "queue/broker/commands/sweeps.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "queue/api/error_fingerprint.h"
#include "queue/api/limits.h"
#include "queue/api/validate.h"
#include "queue/broker/refusals.h"

namespace dqueue::queue {
namespace {

// Commands that one part proposes at most.
constexpr size_t kFoundInAStepMax = 500;
// The cost of looking at the jobs of one part, for WorkBudget.
constexpr int64_t kPickNs = 400'000;
constexpr size_t kSweepsMax = 100;

void SetCount(uint64_t count, v1::PurgeQueueResponse* out) {
  out->set_purged(static_cast<int64_t>(count));
}
void SetCount(uint64_t count, v1::RedriveJobsResponse* out) {
  out->set_redriven(static_cast<int64_t>(count));
}

}  // namespace

// A sweep, and how far it has come.
class SweepWork : public Work {
 public:
  SweepWork(Time deadline, const Admission& admission, CommandKind command, const JobFilter& filter)
      : Work(deadline, admission),
        kind(command),
        queue(filter.queue),
        type_(filter.type),
        error_contains_(filter.error_contains),
        error_fingerprint_(filter.error_fingerprint),
        states_(filter.states),
        access_(filter.access) {}

  JobFilter filter() const {
    return {.queue = queue,
            .type = type_,
            .states = states_,
            .error_contains = error_contains_,
            .access = access_,
            .error_fingerprint = error_fingerprint_};
  }
  void Set(Time, uint32_t, const CommandResult& result, bool) override {
    // Otherwise another call has deleted, retried, finished or replaced the job meanwhile.
    if (result.code == ResultCode::kOk) ++changed;
  }
  // The caller is gone, or its key was revoked.
  virtual bool Cancelled() const = 0;
  // Where the present walk ends.
  uint32_t walk_end() const { return came_round ? begin : end; }

  const CommandKind kind;  // kDelete or kRetry
  const std::string queue;
  size_t jobs_max = 0;
  size_t picked = 0;
  uint64_t changed = 0;
  bool more = false;
  std::optional<Error> refusal;
  // The walk is over [begin, end), then over [0, begin).
  uint32_t begin = 0;
  uint32_t end = 0;
  uint32_t position = 0;
  bool came_round = false;

 private:
  const std::string type_;
  const std::string error_contains_;
  const std::optional<uint64_t> error_fingerprint_;
  const uint32_t states_;
  const QueueAccess* const access_;  // of the call, which outlives this
};

namespace {

template <class C>
class SweepCallWork : public SweepWork {
 public:
  SweepCallWork(C c, const Admission& admission, CommandKind command, const JobFilter& filter)
      : SweepWork(c.deadline, admission, command, filter), call_(std::move(c)) {
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
  bool Cancelled() const override { return IsCancelled(call_); }

 private:
  C call_;
};

}  // namespace

Sweeps::Sweeps(const BrokerOptions& options, const StateMachine& state, const Admission& admission,
               const CommandLog& commands, const Grants& grants, const Deletions& deletions,
               JobChangeProposer& proposer, Confirmations& confirmations)
    : options_(options),
      state_(state),
      admission_(admission),
      commands_(commands),
      grants_(grants),
      deletions_(deletions),
      proposer_(proposer),
      confirmations_(confirmations) {}

Sweeps::~Sweeps() = default;

template <class C>
void Sweeps::Begin(Time now, C call, CommandKind kind, JobFilter filter) {
  if (!filter.queue.empty() && !Allows(call.access, filter.queue)) {
    return call.done(QueueDeniedError(filter.queue));
  }
  filter.access = call.access.get();  // the work keeps the call
  if (auto error = admission_.AdmitWork(now, call.deadline)) return call.done(*std::move(error));
  if (sweeps_.size() >= kSweepsMax) {
    return call.done(OverloadedError("purges and redrives at a time", kSweepsMax));
  }
  auto owned = std::make_unique<SweepCallWork<C>>(std::move(call), admission_, kind, filter);
  SweepWork& work = *owned;
  WorkPart part(std::move(owned));
  // Whether the queue exists, and whether anything more matches, is the leader's own knowledge.
  confirmations_.AddPart(part.Another());
  if (!work.queue.empty() && !state_.HasQueue(work.queue)) {
    work.refusal = QueueNotFoundError(work.queue);
    return part.Done();
  }
  work.end = state_.pick_end();
  work.begin = std::min(next_begin_, work.end);
  work.position = work.begin;
  sweeps_.push_back({std::move(part), &work});
}

void Sweeps::Submit(Time now, PurgeCall call) {
  if (auto error = CheckRequest(call.request)) return call.done(*std::move(error));
  const std::string queue = call.request.queue();
  JobFilter filter{.queue = queue};
  for (const int state : call.request.states()) {
    filter.states |= JobStateBit(static_cast<v1::JobState>(state));
  }
  if (filter.states == 0) {
    filter.states = JobStateBit(v1::JOB_STATE_SCHEDULED) | JobStateBit(v1::JOB_STATE_READY);
  }
  Begin(now, std::move(call), CommandKind::kDelete, filter);
}

void Sweeps::Submit(Time now, RedriveCall call) {
  if (auto error = CheckRequest(call.request)) return call.done(*std::move(error));
  const v1::RedriveJobsRequest request = call.request;
  std::optional<uint64_t> fingerprint;
  if (!request.error_fingerprint().empty()) {
    fingerprint = ParseFingerprint(request.error_fingerprint());
  }
  Begin(now, std::move(call), CommandKind::kRetry,
        {.queue = request.queue(),
         .type = request.type(),
         .states = JobStateBit(v1::JOB_STATE_DEAD),
         .error_contains = request.error_contains(),
         .error_fingerprint = fingerprint});
}

void Sweeps::Step(Time now) {
  if (sweeps_.empty() || commands_.pending_commands() >= options_.max_pending_commands) return;
  Sweep sweep = std::move(sweeps_.front());
  sweeps_.pop_front();
  SweepWork& work = *sweep.work;
  if (work.deadline() <= now) {
    work.more = true;
    // The commands proposed so far are carried out.
    if (work.picked == 0) return sweep.part.Fail(Work::Failure::kDeadline);
    return sweep.part.Done();
  }
  if (work.Cancelled()) {
    work.more = true;
    return sweep.part.Done();
  }
  std::vector<JobRef> found;
  admission_.pace().Spend(kPickNs);
  state_.Pick(work.filter(), kFoundInAStepMax, work.walk_end(), &work.position, &found);
  if (!ProposeFound(sweep, found)) return sweep.part.Done();
  if (work.position >= work.walk_end()) {
    if (work.came_round || work.begin == 0) return sweep.part.Done();
    work.came_round = true;
    work.position = 0;
  }
  sweeps_.push_back(std::move(sweep));
}

bool Sweeps::ProposeFound(const Sweep& sweep, const std::vector<JobRef>& found) {
  SweepWork& work = *sweep.work;
  for (const JobRef job : found) {
    const JobView view = state_.View(job);
    const bool deletes = work.kind == CommandKind::kDelete;
    if (deletes && IsTaken(job, view)) continue;
    if (work.picked == work.jobs_max) {
      work.more = true;
      next_begin_ = job.slot;
      return false;
    }
    ++work.picked;
    admission_.pace().Spend(kFindNs);
    if (deletes) {
      proposer_.Delete(sweep.part.Another(), 0, job, view, work.filter().states);
    } else {
      proposer_.Retry(sweep.part.Another(), 0, view, view.sequence);
    }
  }
  return true;
}

bool Sweeps::IsTaken(JobRef job, const JobView& view) const {
  // A late command for it may be in flight, though no worker holds it.
  return deletions_.Contains(view.sequence) ||
         (!IsFinished(view.state) && grants_.Find(job) != nullptr);
}

void Sweeps::FailAll(Work::Failure failure) {
  for (Sweep& sweep : std::exchange(sweeps_, {})) sweep.part.Fail(failure);
}

}  // namespace dqueue::queue
