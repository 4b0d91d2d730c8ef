// GET /workers: the active workers by machine, in the form of an HTTP API that dqueue imitates.
#pragma once

#include <chrono>
#include <string>

#include "dqueue/v1/service.pb.h"
#include "transport/http/routes/rpc_bridge.h"
#include "transport/http/server/router.h"

namespace dqueue::transport {

// The bridge must outlive the router.
void AddWorkersRoute(RpcBridge* bridge, Router* router);

// {"total_workers", "total_machines", "busy_workers", "leased_jobs", "machines": [{"host",
// "total_workers", "workers": […]}]}, machines sorted by name.
std::string WorkersJson(const v1::ListWorkersResponse& workers);

}  // namespace dqueue::transport
