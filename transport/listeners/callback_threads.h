// gRPC's callback threads, kept for the life of the process.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <functional>

namespace dqueue::transport {

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
