// /v1: the gRPC API in Protobuf's JSON mapping; one route for each method.
#pragma once

#include <optional>
#include <string>

#include "google/protobuf/message.h"
#include "transport/http/routes/rpc_bridge.h"
#include "transport/http/server/router.h"

namespace dqueue::transport {

// A message as JSON, as in answers of /v1. nullopt: it has text that is not UTF-8.
std::optional<std::string> MessageJson(const google::protobuf::Message& message);

// The bridge must outlive the router.
void AddV1Routes(RpcBridge* bridge, Router* router);

}  // namespace dqueue::transport
