// /tasks and /jobs: one job for each request, in the form of the HTTP APIs that dqueue imitates.
// The two families differ only where docs/http.md says so. Also GET /stats.
#pragma once

#include "transport/http/routes/rpc_bridge.h"
#include "transport/http/server/router.h"

namespace dqueue::transport {

// The bridge must outlive the router.
void AddJobRoutes(RpcBridge* bridge, Router* router);

}  // namespace dqueue::transport
