// For routes that lease or enqueue: protection against lost answers.
#pragma once

#include <functional>
#include <string>

#include "dqueue/v1/service.pb.h"
#include "transport/http/routes/rpc_bridge.h"

namespace dqueue::transport {

// For HttpResponse::undelivered: releases the jobs at once, with the caller's key. Null: no jobs.
std::function<void()> ReleaseLater(RpcBridge* bridge, const Credentials& credentials,
                                   const v1::LeaseJobsResponse& leased);

// A unique request id, with which the node may repeat a call that lost its leader.
std::string MakeRequestId();

}  // namespace dqueue::transport
