// gRPC channels to other nodes. No proxy, large messages, and a lost connection is tried again
// within milliseconds.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <functional>
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

// A call that fails at once, because its channel has no credentials; it counts as use of gRPC's
// callback threads while it exists.
class LameCall {
 public:
  // `done` runs on one of those threads.
  void Begin(std::function<void()> done);

 private:
  grpc::GenericStub stub_{grpc::CreateChannel("", nullptr)};
  grpc::ClientContext context_;
  grpc::Slice nothing_;
  grpc::ByteBuffer request_{&nothing_, 1};
  grpc::ByteBuffer response_;
};

// gRPC 1.51 ends its callback threads with the last channel or server that uses them; if that is
// destroyed on one of these threads, the thread would join itself. From the first call on, this
// process keeps them.
void KeepCallbackThreads();

}  // namespace dqueue::transport
