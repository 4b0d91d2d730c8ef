// gRPC's callback threads, kept for the life of the process.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <functional>

namespace dqueue::transport {

// A call that fails at once, because its channel has no credentials. gRPC keeps its callback
// threads while one exists.
class LameCall {
 public:
  // `done` runs on a callback thread.
  void Begin(std::function<void()> done);

 private:
  grpc::GenericStub stub_{grpc::CreateChannel("", nullptr)};
  grpc::ClientContext context_;
  grpc::Slice nothing_;
  grpc::ByteBuffer request_{&nothing_, 1};
  grpc::ByteBuffer response_;
};

// Keeps gRPC's callback threads from now on. gRPC 1.51 would end them with the last channel or
// server that uses them, and a thread that destroys that one would join itself.
void KeepCallbackThreads();

}  // namespace dqueue::transport
