// Receives raft messages from the other members.
#pragma once

#include <grpcpp/impl/codegen/service_type.h>

#include <memory>
#include <string>

#include "transport/calls/call_entry.h"

namespace dqueue::transport {

// The service that other members connect to. Streams end with the connection or StopStreams().
class PeerServiceBase {
 public:
  virtual ~PeerServiceBase() = default;
  virtual grpc::Service* service() = 0;
  virtual void StopStreams() = 0;
};
std::unique_ptr<PeerServiceBase> MakePeerService(CallEntry entry, std::string self_name);

}  // namespace dqueue::transport
