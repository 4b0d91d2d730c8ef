// Leases that their worker will never hear of.
#pragma once

#include "dqueue/v1/service.pb.h"

namespace dqueue::transport {

// What gives them back; without items if there are none.
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
