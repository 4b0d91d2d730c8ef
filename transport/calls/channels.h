// gRPC channels to other nodes: no proxy, large messages, reconnection within milliseconds.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "transport/listeners/tls.h"

namespace dqueue::transport {

// Flow-control window of a stream.
inline constexpr int kStreamWindowBytes = 4 << 20;

// Never null. Connects at the first use. With `tls` both sides present certificates (this node's is
// the current one), and the other node's must name `member`.
std::shared_ptr<grpc::Channel> MakeNodeChannel(const std::string& address,
                                               const TlsStore* tls = nullptr,
                                               const std::string& member = "");

}  // namespace dqueue::transport
