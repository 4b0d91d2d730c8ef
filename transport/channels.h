// gRPC channels to other nodes. No proxy, large messages, and a lost connection is tried again
// within milliseconds.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>

namespace dqueue::transport {

// Never null; nothing is connected before the first use.
std::shared_ptr<grpc::Channel> MakeNodeChannel(const std::string& address);

}  // namespace dqueue::transport
