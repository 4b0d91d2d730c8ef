// The gRPC services of proto/dqueue/v1, each a thin layer over CallRouter.
#pragma once

#include <grpcpp/impl/codegen/service_type.h>

#include <memory>
#include <string>

#include "transport/calls/call_entry.h"

namespace dqueue::transport {

std::unique_ptr<grpc::Service> MakeJobService(CallEntry entry);
std::unique_ptr<grpc::Service> MakeWorkerService(CallEntry entry);
std::unique_ptr<grpc::Service> MakeClusterService(CallEntry entry);
std::unique_ptr<grpc::Service> MakeKeyService(CallEntry entry);

// Receives what other members send. Its streams last until StopStreams().
class PeerServiceBase {
 public:
  virtual ~PeerServiceBase() = default;
  virtual grpc::Service* service() = 0;
  virtual void StopStreams() = 0;
};
std::unique_ptr<PeerServiceBase> MakePeerService(CallEntry entry, std::string self_name);

}  // namespace dqueue::transport
