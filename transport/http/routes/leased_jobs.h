// What every route that leases or enqueues needs, so that nothing is lost on the way.
#pragma once

#include <functional>
#include <string>

#include "dqueue/v1/service.pb.h"
#include "transport/http/routes/rpc_bridge.h"

namespace dqueue::transport {

// For HttpResponse::undelivered: gives the jobs back at once, for the caller who leased them. Null
// if there are none.
std::function<void()> ReleaseLater(RpcBridge* bridge, const Credentials& credentials,
                                   const v1::LeaseJobsResponse& leased);

// A fresh one, unlike any other: with it the node may repeat a call that lost its leader.
std::string MakeRequestId();

}  // namespace dqueue::transport
