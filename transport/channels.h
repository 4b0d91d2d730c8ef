// gRPC channels to other nodes. No proxy, large messages, and a lost connection is tried again
// within milliseconds.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>

namespace dqueue::transport {

// What a stream may send ahead of its reader.
inline constexpr int kStreamWindowBytes = 4 << 20;

// Never null; nothing is connected before the first use.
std::shared_ptr<grpc::Channel> MakeNodeChannel(const std::string& address);

// gRPC 1.51 ends its callback threads with the last channel or server that uses them; if that is
// destroyed on one of these threads, the thread would join itself. From the first call on, this
// process keeps them.
void KeepCallbackThreads();

}  // namespace dqueue::transport
