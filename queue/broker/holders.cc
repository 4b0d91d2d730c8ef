// Who may speak for a job: the tokens of workers against the lease table and, for leases of earlier
// leaders, against what the log has seen. Extend and release are decided here alone; they are
// answered after a confirmation round, because a deposed leader can promise nothing.
#include <algorithm>
#include <memory>
#include <utility>

#include "base/check.h"
#include "queue/api/validate.h"
#include "queue/broker/broker_impl.h"

namespace dqueue::queue {

Duration BrokerImpl::LeaseFor(const JobView& view) const {
  if (view.lease_duration_ms == 0) return options_.lease_timeout;
  return std::chrono::milliseconds(view.lease_duration_ms);
}

void BrokerImpl::EndLease(JobRef job, bool remember, bool release) {
  const LeaseInfo* lease = leases_.Find(job);
  DQ_CHECK(lease != nullptr);
  if (lease->request != 0) {
    LeaseRequest& request = lease_requests_[lease->request];
    DQ_CHECK(request.held > 0);
    if (--request.held == 0) ForgetLeaseRequest(lease->request);
  }
  workers_.Release(lease->owner.worker);
  leases_.Remove(job, remember);
  if (release) ReleaseJob(job);
}

std::optional<Error> BrokerImpl::CheckAdoption(JobRef job, const JobView& view, LeaseToken token,
                                               bool ended_too) const {
  const auto stale = [&view](bool newer) { return LeaseStaleError(view.id, newer); };
  const LeaseInfo* lease = leases_.Find(job);
  if (lease != nullptr && lease->token > token) return stale(true);
  const LeaseToken fence = leases_.Fence(job);
  if (token <= fence) return stale(token < fence);
  if (token < view.last_token) return stale(true);
  if (token == view.last_token) {
    if (!ended_too || lease != nullptr) return stale(false);
    return std::nullopt;
  }
  // This leader remembers every lease of its own term that has not ended in the log: such a token
  // belongs to another job, or was never granted.
  if (token.term >= term_) return stale(false);
  return std::nullopt;
}

bool BrokerImpl::Adopt(Time now, JobRef job, const JobView& view, LeaseToken token, uint32_t worker,
                       bool hold_required) {
  const LeaseInfo* lease = leases_.Find(job);
  const Time expires = now + LeaseFor(view);
  // It could end any moment.
  if (hold_required && deletions_.contains(view.sequence)) return false;
  if (lease != nullptr) {
    // Held with an older token of an earlier term.
    if (hold_required && !lease->held) return false;
    workers_.Release(lease->owner.worker);
    workers_.Hold(worker);
    leases_.TakeOver(job, token, {.worker = worker, .queue = lease->owner.queue}, expires);
    return true;
  }
  const bool held = state_->Hold(job);
  if (hold_required && !held) return false;
  workers_.Hold(worker);
  leases_.Adopt(job, token, {.worker = worker, .queue = times_.Number(view.queue)}, expires, held);
  return true;
}

std::optional<Error> BrokerImpl::Claim(Time now, JobRef job, const JobView& view, LeaseToken token,
                                       uint32_t worker, const LeaseInfo** claimed) {
  const LeaseInfo* lease = leases_.Find(job);
  if (lease == nullptr || lease->token != token) {
    if (auto error = CheckAdoption(job, view, token, /*ended_too=*/true)) return error;
    Adopt(now, job, view, token, worker, /*hold_required=*/false);
  }
  leases_.AddCommand(job);
  *claimed = leases_.Find(job);
  workers_.Heard((*claimed)->owner.worker, now, wall_ms_);
  return std::nullopt;
}

int64_t BrokerImpl::HeldMs(Time now, const LeaseInfo& lease) {
  if (lease.owner.granted == Time::min()) return -1;
  const auto held = std::chrono::ceil<std::chrono::milliseconds>(now - lease.owner.granted);
  return std::max<int64_t>(held.count(), 1);
}

// item(i, worker): nullopt if item i of the request is done, else why not.
template <class C, class F>
void BrokerImpl::SubmitLocal(Time now, C call, const F& item) {
  std::unique_ptr<StatusWork<C>> owned = CheckedWork(std::move(call));
  if (owned == nullptr) return;
  StatusWork<C>* const work = owned.get();
  if (auto error = AdmitWork(now, work->deadline)) return work->Answer(std::move(error));
  const uint32_t worker = workers_.Heard(work->call.request.worker_id(), now, wall_ms_);
  for (int i = 0; i < work->Size(); ++i) {
    if (work->Refused(i)) continue;
    if (auto error = item(work->call.request.items(i), worker)) {
      work->Refuse(i, *error);
    }
  }
  GatherWork(owned.release());
}

void BrokerImpl::Submit(Time now, int64_t, ExtendCall call) {
  const Time expires =
      now + (call.request.has_lease_duration()
                 ? Duration(std::chrono::milliseconds(DurationMs(call.request.lease_duration())))
                 : options_.lease_timeout);
  const QueueAccessPtr access = call.access;
  SubmitLocal(now, std::move(call),
              [&](const v1::ExtendLeasesRequest::Item& item, uint32_t worker) {
                return ExtendOne(now, item, access, worker, expires);
              });
}

void BrokerImpl::Submit(Time now, int64_t, ReleaseCall call) {
  const QueueAccessPtr access = call.access;
  SubmitLocal(now, std::move(call), [&](const v1::ReleaseJobsRequest::Item& item, uint32_t worker) {
    return ReleaseOne(now, item, access, worker);
  });
}

std::optional<Error> BrokerImpl::ExtendOne(Time now, const v1::ExtendLeasesRequest::Item& item,
                                           const QueueAccessPtr& access, uint32_t worker,
                                           Time expires) {
  JobRef job;
  JobView view;
  if (auto error = FindLeased(item, access, &job, &view)) return error;
  if (IsOver(view.state)) return InvalidStateError(view.id, view.state);
  const LeaseToken token = ToToken(item.token());
  const LeaseInfo* lease = leases_.Find(job);
  if (lease == nullptr || lease->token != token) {
    if (auto error = CheckAdoption(job, view, token, /*ended_too=*/false)) return error;
    if (!Adopt(now, job, view, token, worker, /*hold_required=*/true)) {
      return LeaseStaleError(view.id, false);
    }
  } else if (!lease->held || lease->expires <= now) {
    return LeaseStaleError(view.id,
                           false);  // it has ended, or its expiry is on its way into the log
  }
  leases_.Extend(job, expires);
  workers_.Heard(leases_.Find(job)->owner.worker, now, wall_ms_);
  return std::nullopt;
}

std::optional<Error> BrokerImpl::ReleaseOne(Time now, const v1::ReleaseJobsRequest::Item& item,
                                            const QueueAccessPtr& access, uint32_t worker) {
  JobRef job;
  JobView view;
  if (auto error = FindLeased(item, access, &job, &view)) return error;
  if (IsOver(view.state)) return InvalidStateError(view.id, view.state);
  const LeaseToken token = ToToken(item.token());
  const LeaseInfo* lease = leases_.Find(job);
  if (lease == nullptr && leases_.Fence(job) == token) return std::nullopt;  // released already
  // It is ending in the log, by this token or an older one: nobody may have the job before that is
  // decided.
  if (lease != nullptr && lease->acking()) return LeaseStaleError(view.id, lease->token > token);
  if (lease == nullptr || lease->token != token) {
    // Of an earlier leader: adopted for a moment, so that its token is remembered as given back.
    if (auto error = CheckAdoption(job, view, token, /*ended_too=*/false)) return error;
    if (!Adopt(now, job, view, token, worker, /*hold_required=*/true)) {
      return LeaseStaleError(view.id, false);
    }
  } else if (lease->expires <= now) {
    return LeaseStaleError(view.id, false);  // its expiry is on its way into the log
  }
  EndLease(job, /*remember=*/true, /*release=*/true);
  return std::nullopt;
}

}  // namespace dqueue::queue
