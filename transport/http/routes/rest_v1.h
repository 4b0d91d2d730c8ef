// /v1: the gRPC API in JSON (v1_json.h); one route for each method.
#pragma once

#include "transport/http/routes/rpc_bridge.h"
#include "transport/http/server/router.h"

namespace dqueue::transport {

// The bridge must outlive the router.
void AddV1Routes(RpcBridge* bridge, Router* router);

}  // namespace dqueue::transport
