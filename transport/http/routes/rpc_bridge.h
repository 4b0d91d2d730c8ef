// From HTTP to the node's own gRPC services, in the process: so that validation, forwarding to the
// leader, waiting for one, and errors exist once. Asynchronous; an error is answered here.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "google/protobuf/message.h"
#include "transport/calls/rpc_methods.h"
#include "transport/http/server/http_server.h"

namespace dqueue::transport {

class RpcBridge {
 public:
  explicit RpcBridge(std::shared_ptr<grpc::Channel> channel);
  // Cancels what runs and waits for its end: no callback runs later.
  ~RpcBridge();
  RpcBridge(const RpcBridge&) = delete;
  RpcBridge& operator=(const RpcBridge&) = delete;

  // `done` gets the answer, on one of gRPC's threads,
  // where it must not wait. An error answers `reply` instead, or goes to `failed` if that is given.
  // The call is cancelled when the HTTP client goes.
  template <class Response>
  void Call(const RpcMethod& method, const google::protobuf::Message& request,
            const HttpReply& reply, std::function<void(const Response&)> done,
            std::function<void(const grpc::Status&)> failed = nullptr) {
    CallAny(
        method, request, std::make_shared<Response>(), reply,
        [done = std::move(done)](const google::protobuf::Message& response) {
          done(static_cast<const Response&>(response));
        },
        std::move(failed));
  }
  // The same for a type that is known at run time only; `response` is where the answer goes.
  void CallAny(const RpcMethod& method, const google::protobuf::Message& request,
               std::shared_ptr<google::protobuf::Message> response, const HttpReply& reply,
               std::function<void(const google::protobuf::Message&)> done,
               std::function<void(const grpc::Status&)> failed = nullptr);
  // For this caller, but without an HTTP request that is answered: `done` gets the answer, or the
  // error, as above; after `time` DEADLINE_EXCEEDED. Not called if this bridge has stopped.
  template <class Response>
  void Ask(const RpcMethod& method, const google::protobuf::Message& request,
           const Credentials& credentials, std::chrono::milliseconds time,
           std::function<void(const grpc::Status&, const Response&)> done) {
    auto response = std::make_shared<Response>();
    AskAny(method, request, credentials, time, response.get(),
           [response, done = std::move(done)](const grpc::Status& status) {
             done(status, *response);
           });
  }
  // For this caller, who does not wait for an answer.
  void Tell(const RpcMethod& method, const google::protobuf::Message& request,
            const Credentials& credentials);

 private:
  // `response` must stay until `done` is gone.
  void AskAny(const RpcMethod& method, const google::protobuf::Message& request,
              const Credentials& credentials, std::chrono::milliseconds time,
              google::protobuf::Message* response, std::function<void(const grpc::Status&)> done);

  class Calls;
  const std::shared_ptr<Calls> calls_;
};

}  // namespace dqueue::transport
