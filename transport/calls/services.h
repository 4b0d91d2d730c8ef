// The gRPC services of proto/dqueue/v1. Each method begins a call (unary_call.h).
#pragma once

#include <grpcpp/impl/codegen/service_type.h>

#include <memory>

#include "transport/calls/call_entry.h"

namespace dqueue::transport {

std::unique_ptr<grpc::Service> MakeJobService(CallEntry entry);
std::unique_ptr<grpc::Service> MakeWorkerService(CallEntry entry);
std::unique_ptr<grpc::Service> MakeClusterService(CallEntry entry);
std::unique_ptr<grpc::Service> MakeKeyService(CallEntry entry);

}  // namespace dqueue::transport
