#include "queue/broker/leases/job_presenter.h"

namespace dqueue::queue {

void JobPresenter::Fill(Time now, JobRef ref, v1::Job* job) const {
  state_.FillJob(ref, /*full=*/true, job);
  state_.FillAttempts(ref, job);
  OverlayLease(now, ref, job);
}

void JobPresenter::OverlayLease(Time now, JobRef ref, v1::Job* job) const {
  if (!state_.View(ref).held) return;
  job->set_state(v1::JOB_STATE_LEASED);
  // A job that is being deleted is held without a lease.
  const LeaseInfo* lease = grants_.Find(ref);
  if (lease != nullptr && lease->held) grants_.FillLease(now, *lease, job);
}

}  // namespace dqueue::queue
