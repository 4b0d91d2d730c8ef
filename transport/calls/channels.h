// gRPC channels to other nodes. No proxy, large messages, and a lost connection is tried again
// within milliseconds.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "transport/listeners/tls.h"

namespace dqueue::transport {

// What a stream may send ahead of its reader.
inline constexpr int kStreamWindowBytes = 4 << 20;

// Never null; nothing is connected before the first use. With `tls` the node must show the
// certificate of `member`, and is shown this node's, as they are now.
std::shared_ptr<grpc::Channel> MakeNodeChannel(const std::string& address,
                                               const TlsStore* tls = nullptr,
                                               const std::string& member = "");

}  // namespace dqueue::transport
