// Releases leases that did not reach their worker.
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
  }
  return request;
}

}  // namespace dqueue::transport
