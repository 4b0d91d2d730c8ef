// Complete, fail, cancel, retry, delete: commands about jobs that exist. The leader looks before it
// proposes, so that what is plainly wrong costs no log entry; the log has the last word on the
// rest. A refusal from the leader's own knowledge waits for a confirmation round: a deposed leader
// knows nothing.
#include <algorithm>
#include <memory>
#include <utility>

#include "base/check.h"
#include "queue/api/limits.h"
#include "queue/api/validate.h"
#include "queue/broker/commands/backoff.h"
#include "queue/broker/broker_impl.h"
#include "queue/broker/mutants.h"
#include "queue/state/lease_rules.h"
#include "queue/state/mutants.h"

namespace dqueue::queue {
namespace {

// For a caller that may not see every queue, a command is about the very job that was looked at:
// before it is applied, the id may come to be of a job in another queue.
uint64_t OnlyIfRestricted(const QueueAccessPtr& access, const JobView& view) {
  return access == nullptr ? 0 : view.sequence;
}

}  // namespace

// item(work, i) appends a command and returns true, or decides the item at once and returns false.
template <class C, class F>
void BrokerImpl::SubmitItems(Time now, C call, const F& item) {
  std::unique_ptr<StatusWork<C>> owned = CheckedWork(std::move(call));
  if (owned == nullptr) return;
  StatusWork<C>* const work = owned.get();
  const int items = work->Size();
  if (auto error = AdmitCommands(now, work->deadline, items, work->call.request.GetCachedSize())) {
    return work->Answer(std::move(error));
  }
  owned.release();  // from here on its parts own it
  bool decided_here = false;
  work->remaining = 1;
  if constexpr (requires { work->call.request.worker_id(); }) {
    work->worker = workers_.Heard(work->call.request.worker_id(), now, wall_ms_);
  }
  for (int i = 0; i < items; ++i) {
    if (work->Refused(i)) continue;
    if (item(work, i)) {
      ++work->remaining;
    } else {
      decided_here = true;
    }
  }
  if (decided_here) GatherWork(work);
  PartDone(work);
}

void BrokerImpl::Submit(Time now, int64_t, CompleteCall call) {
  SubmitItems(now, std::move(call),
              [&](StatusWork<CompleteCall>* work, int i) { return MakeComplete(now, work, i); });
}

void BrokerImpl::Submit(Time now, int64_t wall_ms, FailCall call) {
  SubmitItems(now, std::move(call),
              [&](StatusWork<FailCall>* work, int i) { return MakeFail(now, wall_ms, work, i); });
}

// Not for the log to decide: there the job may have been brought back meanwhile, and somebody else
// may hold it.
template <class C>
bool BrokerImpl::DecideOver(LeaseCommand command, const JobView& view, LeaseToken token,
                            StatusWork<C>* work, int i) {
  const Ruling ruling = Rule(command, view.state, Relate(token, view.last_token, view.token_end));
  if (ruling != Ruling::kRepeated) work->Refuse(i, InvalidStateError(view.id, view.state));
  return false;
}

bool BrokerImpl::MakeComplete(Time now, StatusWork<CompleteCall>* work, int i) {
  v1::CompleteJobsRequest::Item* item = work->call.request.mutable_items(i);
  JobRef job;
  JobView view;
  const QueueAccessPtr no_limits;
  const QueueAccessPtr& access =
      DQ_MUTANT(mutants::kAccessNotCheckedOnComplete) ? no_limits : work->call.access;
  if (auto error = FindLeased(*item, access, &job, &view)) {
    work->Refuse(i, *error);
    return false;
  }
  LeaseToken token = ToToken(item->token());
  if (IsOver(view.state)) return DecideOver(LeaseCommand::kComplete, view, token, work, i);
  if (DQ_MUTANT(mutants::kCompleteUnfenced)) {
    // Whoever completes is taken for the holder.
    const LeaseInfo* holder = leases_.Find(job);
    if (holder != nullptr) {
      token = holder->token;
    } else if (token <= view.last_token) {
      token = {view.last_token.term, view.last_token.sequence + 1};
    }
  }
  const LeaseInfo* lease = nullptr;
  if (auto error = Claim(now, job, view, token, work->worker, &lease)) {
    if (!DQ_MUTANT(mutants::kCompleteUnfenced)) {
      work->Refuse(i, *error);
      return false;
    }
  }
  const CommandRef ref{.work = work,
                       .item = static_cast<uint32_t>(i),
                       .job = job,
                       .token = token,
                       .lease = lease == nullptr ? 0 : lease->number,
                       .kind = CommandKind::kComplete,
                       .ended_before = token == view.last_token,
                       .counts_as = lease != nullptr && lease->commands == 1
                                        ? AttemptEnd::kCompleted
                                        : AttemptEnd::kNone};
  log_complete_.Clear();
  log_complete_.set_id(item->id());
  SetToken(token, view.sequence, log_complete_.mutable_token());
  log_complete_.set_result(std::move(*item->mutable_result()));
  Append(log::v1::Command::kCompleteFieldNumber, log_complete_, ref);
  if (DQ_MUTANT(mutants::kAckingNotGuarded) && leases_.Find(job) != nullptr) {
    EndLease(job, /*remember=*/false, /*release=*/true);
  }
  return true;
}

bool BrokerImpl::MakeFail(Time now, int64_t wall_ms, StatusWork<FailCall>* work, int i) {
  const v1::FailJobsRequest::Item& item = work->call.request.items(i);
  JobRef job;
  JobView view;
  if (auto error = FindLeased(item, work->call.access, &job, &view)) {
    work->Refuse(i, *error);
    return false;
  }
  const LeaseToken token = ToToken(item.token());
  if (IsOver(view.state)) return DecideOver(LeaseCommand::kFail, view, token, work, i);
  const LeaseInfo* lease = nullptr;
  if (auto error = Claim(now, job, view, token, work->worker, &lease)) {
    work->Refuse(i, *error);
    return false;
  }
  log_fail_.Clear();
  log_fail_.set_id(item.id());
  SetToken(token, view.sequence, log_fail_.mutable_token());
  const std::string_view error = CutUtf8(item.error(), kErrorBytesMax);
  log_fail_.set_error(error.data(), error.size());
  log_fail_.set_reject(item.reject());
  log_fail_.set_next_run_time_ms(NextRunTimeMs(item, view, LogTimeMs(now, wall_ms)));
  log_fail_.set_worker_id(workers_.id(lease->owner.worker));
  log_fail_.set_held_ms(HeldMs(now, *lease));
  const bool ended_before = token == view.last_token;
  // A failure that the log has seen already is repeated, not a new one.
  const bool counts = lease->commands == 1 && !ended_before;
  Append(log::v1::Command::kFailFieldNumber, log_fail_,
         {.work = work,
          .item = static_cast<uint32_t>(i),
          .job = job,
          .token = token,
          .lease = lease->number,
          .kind = CommandKind::kFail,
          .ended_before = ended_before,
          .counts_as = !counts         ? AttemptEnd::kNone
                       : item.reject() ? AttemptEnd::kRejected
                                       : AttemptEnd::kFailed});
  return true;
}

int64_t BrokerImpl::NextRunTimeMs(const v1::FailJobsRequest::Item& item, const JobView& view,
                                  int64_t now_ms) {
  if (item.reject()) return 0;
  const int64_t delay_ms = item.has_retry_delay()
                               ? DurationMs(item.retry_delay())
                               : RetryDelayMs({.backoff = view.backoff,
                                               .base_ms = view.backoff_base_ms,
                                               .max_ms = view.backoff_max_ms,
                                               .jitter_permille = view.jitter_permille},
                                              uint64_t{view.failed} + 1, random_());
  return delay_ms == 0 ? 0 : now_ms + delay_ms;
}

void BrokerImpl::Submit(Time now, int64_t, CancelCall call) {
  SubmitItems(now, std::move(call), [this](StatusWork<CancelCall>* work, int i) {
    const std::string& id = work->Id(i);
    const JobRef job = FindVisible(id, work->call.access);
    if (job == JobRef{}) {
      work->Refuse(i, JobNotFoundError(id));
      return false;
    }
    const JobView view = state_->View(job);
    if (IsOver(view.state)) {
      if (view.state != v1::JOB_STATE_CANCELLED) work->Refuse(i, InvalidStateError(id, view.state));
      return false;
    }
    log::v1::Cancel cancel;
    cancel.set_id(id);
    cancel.set_job_sequence(OnlyIfRestricted(work->call.access, view));
    Append(log::v1::Command::kCancelFieldNumber, cancel,
           {.work = work, .item = static_cast<uint32_t>(i), .kind = CommandKind::kCancel});
    return true;
  });
}

void BrokerImpl::Submit(Time now, int64_t, RetryCall call) {
  SubmitItems(now, std::move(call), [this](StatusWork<RetryCall>* work, int i) {
    const std::string& id = work->Id(i);
    const JobRef job = FindVisible(id, work->call.access);
    if (job == JobRef{}) {
      work->Refuse(i, JobNotFoundError(id));
      return false;
    }
    const JobView view = state_->View(job);
    if (view.state != v1::JOB_STATE_DEAD && view.state != v1::JOB_STATE_CANCELLED) {
      work->Refuse(i, InvalidStateError(id, view.state));
      return false;
    }
    log::v1::Retry retry;
    retry.set_id(id);
    retry.set_job_sequence(OnlyIfRestricted(work->call.access, view));
    Append(log::v1::Command::kRetryFieldNumber, retry,
           {.work = work, .item = static_cast<uint32_t>(i), .kind = CommandKind::kRetry});
    return true;
  });
}

void BrokerImpl::Submit(Time now, int64_t, DeleteCall call) {
  SubmitItems(now, std::move(call), [this](StatusWork<DeleteCall>* work, int i) {
    const std::string& id = work->Id(i);
    const JobRef job = FindVisible(id, work->call.access);
    if (job == JobRef{}) {
      work->Refuse(i, JobNotFoundError(id));
      return false;
    }
    const JobView view = state_->View(job);
    if (!IsOver(view.state) && leases_.Find(job) != nullptr) {
      work->Refuse(i, InvalidStateError(id, v1::JOB_STATE_LEASED));
      return false;
    }
    AppendDelete(work, static_cast<uint32_t>(i), job, view, /*states=*/0);
    return true;
  });
}

void BrokerImpl::AppendDelete(Work* work, uint32_t item, JobRef job, const JobView& view,
                              uint32_t states) {
  log::v1::Delete message;
  message.set_id(std::string(view.id));
  message.set_job_sequence(view.sequence);
  message.set_states(states);
  Append(log::v1::Command::kDeleteJobFieldNumber, message,
         {.work = work, .item = item, .kind = CommandKind::kDelete, .deletes = view.sequence});
  Deletion& deletion = deletions_[view.sequence];
  deletion.job = job;
  ++deletion.commands;
}

bool BrokerImpl::KeptForDeletion(JobRef job) {
  if (deletions_.empty() || DQ_MUTANT(mutants::kDeletingNotGuarded)) return false;
  const auto it = deletions_.find(state_->Sequence(job));
  if (it == deletions_.end()) return false;
  it->second.held = true;
  return true;
}

void BrokerImpl::SettleDeletion(uint64_t job_sequence) {
  const auto it = deletions_.find(job_sequence);
  DQ_CHECK(it != deletions_.end() && it->second.commands > 0);
  if (--it->second.commands > 0) return;
  const Deletion deletion = it->second;
  deletions_.erase(it);
  if (deletion.held) ReleaseJob(deletion.job);
}

}  // namespace dqueue::queue
