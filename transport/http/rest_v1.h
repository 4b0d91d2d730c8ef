// /v1: the gRPC API in Protobuf's JSON mapping, call for call.
#pragma once

#include "transport/http/router.h"
#include "transport/http/rpc_bridge.h"

namespace dqueue::transport {

// The bridge must outlive the router.
void AddV1Routes(RpcBridge* bridge, Router* router);

}  // namespace dqueue::transport
