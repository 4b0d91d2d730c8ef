// Releases leases that did not reach their worker. Each item names the delivery that it takes back,
// so that it has no effect if a repetition of the call has delivered the lease again.
#pragma once

#include "dqueue/v1/service.pb.h"

namespace dqueue::transport {

// The request that releases all jobs of `leased`. No items: there were no jobs.
inline v1::ReleaseJobsRequest GiveBack(const v1::LeaseJobsResponse& leased) {
  v1::ReleaseJobsRequest request;
  for (const v1::Job& job : leased.jobs()) {
    auto* item = request.add_items();
    item->set_id(job.id());
    *item->mutable_token() = job.lease().token();
    item->set_delivery(job.lease().delivery());
  }
  return request;
}

}  // namespace dqueue::transport
