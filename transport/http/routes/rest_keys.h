// /admin/keys and /keys: API keys in the form of the HTTP API that dqueue imitates. /v1/keys offers
// all operations on keys.
#pragma once

#include "transport/http/routes/rpc_bridge.h"
#include "transport/http/server/router.h"

namespace dqueue::transport {

// The bridge must outlive the router.
void AddKeyRoutes(RpcBridge* bridge, Router* router);

}  // namespace dqueue::transport
