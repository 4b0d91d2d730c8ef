#include "queue/broker/commands/propose_job_changes.h"

#include <string>
#include <utility>

#include "dqueue/v1/command.pb.h"
#include "queue/broker/refusals.h"
#include "queue/broker/visible_job.h"

namespace dqueue::queue {
namespace {

// The leader's decision about one job of a call.
enum class Check : uint8_t {
  kPropose,
  kDone,    // it is so already
  kRefuse,  // its state does not allow it
  kLeased,  // a worker holds it
};

Check CheckCancel(const JobView& view) {
  if (!IsFinished(view.state)) return Check::kPropose;
  return view.state == v1::JOB_STATE_CANCELLED ? Check::kDone : Check::kRefuse;
}

Check CheckRetry(const JobView& view) {
  const bool can = view.state == v1::JOB_STATE_DEAD || view.state == v1::JOB_STATE_CANCELLED;
  return can ? Check::kPropose : Check::kRefuse;
}

}  // namespace

JobChangeProposer::JobChangeProposer(const StateMachine& state, const Grants& grants,
                                     Deletions& deletions, CommandLog& commands, ItemCalls& items)
    : state_(state), grants_(grants), deletions_(deletions), commands_(commands), items_(items) {}

template <class C, class CheckJob, class Propose>
void JobChangeProposer::SubmitChanges(Time now, C call, const CheckJob& check,
                                      const Propose& propose) {
  items_.Propose(now, std::move(call),
                 [this, check, propose](Time, ItemWork<C>& work, const WorkPart& part, int i) {
                   const std::string& id = work.Id(i);
                   const JobRef job = FindVisible(state_, id, work.call.access);
                   if (job == JobRef{}) {
                     work.Refuse(i, JobNotFoundError(id));
                     return false;
                   }
                   const JobView view = state_.View(job);
                   switch (check(job, view)) {
                     case Check::kPropose:
                       break;
                     case Check::kDone:
                       return false;
                     case Check::kRefuse:
                       work.Refuse(i, InvalidStateError(id, view.state));
                       return false;
                     case Check::kLeased:
                       work.Refuse(i, InvalidStateError(id, v1::JOB_STATE_LEASED));
                       return false;
                   }
                   // For a restricted caller the command is only about the job that was checked:
                   // before it is applied, the id may become that of a job in another queue.
                   const uint64_t job_sequence = work.call.access == nullptr ? 0 : view.sequence;
                   propose(part.Another(), static_cast<uint32_t>(i), job, view, job_sequence);
                   return true;
                 });
}

void JobChangeProposer::Submit(Time now, CancelCall call) {
  SubmitChanges(
      now, std::move(call), [](JobRef, const JobView& view) { return CheckCancel(view); },
      [this](WorkPart part, uint32_t item, JobRef, const JobView& view, uint64_t job_sequence) {
        Cancel(std::move(part), item, view, job_sequence);
      });
}

void JobChangeProposer::Submit(Time now, RetryCall call) {
  SubmitChanges(
      now, std::move(call), [](JobRef, const JobView& view) { return CheckRetry(view); },
      [this](WorkPart part, uint32_t item, JobRef, const JobView& view, uint64_t job_sequence) {
        Retry(std::move(part), item, view, job_sequence);
      });
}

void JobChangeProposer::Submit(Time now, DeleteCall call) {
  SubmitChanges(
      now, std::move(call),
      [this](JobRef job, const JobView& view) {
        const bool leased = !IsFinished(view.state) && grants_.Find(job) != nullptr;
        return leased ? Check::kLeased : Check::kPropose;
      },
      [this](WorkPart part, uint32_t item, JobRef job, const JobView& view, uint64_t) {
        Delete(std::move(part), item, job, view, /*states=*/0);
      });
}

void JobChangeProposer::Cancel(WorkPart part, uint32_t item, const JobView& view,
                               uint64_t job_sequence) {
  log::v1::Cancel cancel;
  cancel.set_id(std::string(view.id));
  cancel.set_job_sequence(job_sequence);
  commands_.Append(log::v1::Command::kCancelFieldNumber, cancel,
                   {.part = std::move(part), .item = item, .kind = CommandKind::kCancel});
}

void JobChangeProposer::Retry(WorkPart part, uint32_t item, const JobView& view,
                              uint64_t job_sequence) {
  log::v1::Retry retry;
  retry.set_id(std::string(view.id));
  retry.set_job_sequence(job_sequence);
  commands_.Append(log::v1::Command::kRetryFieldNumber, retry,
                   {.part = std::move(part), .item = item, .kind = CommandKind::kRetry});
}

void JobChangeProposer::Delete(WorkPart part, uint32_t item, JobRef job, const JobView& view,
                               uint32_t states) {
  log::v1::Delete message;
  message.set_id(std::string(view.id));
  message.set_job_sequence(view.sequence);
  message.set_states(states);
  commands_.Append(log::v1::Command::kDeleteJobFieldNumber, message,
                   {.part = std::move(part),
                    .item = item,
                    .kind = CommandKind::kDelete,
                    .deletes = view.sequence});
  deletions_.Add(job, view.sequence);
}

}  // namespace dqueue::queue
