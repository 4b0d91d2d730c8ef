// /admin/keys and /keys: API keys in the shapes of the HTTP API that dqueue stands in for. The rest
// of what can be said of keys is under /v1/keys.
#pragma once

#include "transport/http/routes/rpc_bridge.h"
#include "transport/http/server/router.h"

namespace dqueue::transport {

// The bridge must outlive the router.
void AddKeyRoutes(RpcBridge* bridge, Router* router);

}  // namespace dqueue::transport
