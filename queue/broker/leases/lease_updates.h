// ExtendLeases and ReleaseJobs calls. They are decided from the lease table alone, without the log,
// and answered after a confirmation round: a deposed leader can promise nothing. Owns no state.
// Used on the loop's thread.
#pragma once

#include "queue/broker/calls.h"
#include "queue/broker/item_calls.h"
#include "queue/broker/leases/grants.h"
#include "queue/broker/log_clock.h"
#include "queue/broker/options.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

class LeaseUpdates {
 public:
  LeaseUpdates(const BrokerOptions& options, const LogClock& clock, Grants& grants,
               ItemCalls& items)
      : options_(options), clock_(clock), grants_(grants), items_(items) {}

  void Submit(Time now, ExtendCall call);
  void Submit(Time now, ReleaseCall call);

 private:
  const BrokerOptions& options_;
  const LogClock& clock_;
  Grants& grants_;
  ItemCalls& items_;
};

}  // namespace dqueue::queue
