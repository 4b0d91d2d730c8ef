// Jobs as callers see them: as the log has them, with the leases of this leader on top. Used on the
// loop's thread.
#pragma once

#include "dqueue/v1/job.pb.h"
#include "queue/broker/leases/grants.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

class JobPresenter {
 public:
  JobPresenter(const StateMachine& state, const Grants& grants) : state_(state), grants_(grants) {}

  // The whole job, as GetJob shows it.
  void Fill(Time now, JobRef ref, v1::Job* job) const;
  // Shows a held job as LEASED.
  void OverlayLease(Time now, JobRef ref, v1::Job* job) const;

 private:
  const StateMachine& state_;
  const Grants& grants_;
};

}  // namespace dqueue::queue
