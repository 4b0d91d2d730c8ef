// /tasks and /jobs: one job a request, in the shapes of the HTTP APIs that dqueue stands in for,
// and the same for both but where docs/http.md says otherwise. Also GET /stats.
#pragma once

#include "transport/http/routes/rpc_bridge.h"
#include "transport/http/server/router.h"

namespace dqueue::transport {

// The bridge must outlive the router.
void AddJobRoutes(RpcBridge* bridge, Router* router);

}  // namespace dqueue::transport
