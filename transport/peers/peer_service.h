// Raft messages from the other members.
#pragma once

#include <grpcpp/impl/codegen/service_type.h>

#include <memory>
#include <string>

#include "transport/calls/call_entry.h"

namespace dqueue::transport {

// Receives what other members send. Its streams last until StopStreams().
class PeerServiceBase {
 public:
  virtual ~PeerServiceBase() = default;
  virtual grpc::Service* service() = 0;
  virtual void StopStreams() = 0;
};
std::unique_ptr<PeerServiceBase> MakePeerService(CallEntry entry, std::string self_name);

}  // namespace dqueue::transport
