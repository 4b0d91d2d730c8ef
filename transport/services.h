// The gRPC services of proto/dqueue/v1, each a thin layer over CallRouter.
#pragma once

#include <grpcpp/impl/codegen/service_type.h>

#include <memory>
#include <string>

#include "transport/call_router.h"

namespace dqueue::transport {

std::unique_ptr<grpc::Service> MakeJobService(std::shared_ptr<CallRouter> router);
std::unique_ptr<grpc::Service> MakeWorkerService(std::shared_ptr<CallRouter> router);
std::unique_ptr<grpc::Service> MakeClusterService(std::shared_ptr<CallRouter> router);

// Metadata on a stream between members, both ways: the sender's name.
inline constexpr char kNodeKey[] = "dqueue-node";

// Receives what other members send. Its streams last until StopStreams().
class PeerServiceBase {
 public:
  virtual ~PeerServiceBase() = default;
  virtual grpc::Service* service() = 0;
  virtual void StopStreams() = 0;
};
std::unique_ptr<PeerServiceBase> MakePeerService(std::shared_ptr<CallRouter> router,
                                                 std::string self_name);

}  // namespace dqueue::transport
