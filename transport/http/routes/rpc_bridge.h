// Calls from HTTP routes to the node's own gRPC services, inside the process, so that validation,
// forwarding, waiting for a leader and errors are implemented once. Asynchronous.
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
#include "transport/calls/work_pool.h"
#include "transport/http/server/http_server.h"

namespace dqueue::transport {

class RpcBridge {
 public:
  // Answers are decoded, and callbacks run, in `pool`, which must be stopped before this object is
  // destroyed; null: on gRPC's threads.
  explicit RpcBridge(std::shared_ptr<grpc::Channel> channel, WorkPool* pool = nullptr);
  // Cancels the calls under way and waits for their end. No callback runs later.
  ~RpcBridge();
  RpcBridge(const RpcBridge&) = delete;
  RpcBridge& operator=(const RpcBridge&) = delete;

  // `done` gets the response in the lane for its size and must not block. An error goes to
  // `failed`, or is sent to `reply` if `failed` is null. The call is cancelled when the HTTP client
  // disconnects.
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
  // All pages of a listing, as one response.
  template <class Response, class Request>
  void CallPages(const RpcMethod& method, Request request, const HttpReply& reply,
                 std::function<void(const Response&)> done,
                 std::shared_ptr<Response> so_far = std::make_shared<Response>()) {
    const Request next = request;
    Call<Response>(method, next, reply,
                   [this, &method, request = std::move(request), reply, done = std::move(done),
                    so_far = std::move(so_far)](const Response& page) mutable {
                     so_far->MergeFrom(page);
                     if (page.next_page_token().empty()) return done(*so_far);
                     request.set_page_token(page.next_page_token());
                     CallPages(method, std::move(request), reply, std::move(done),
                               std::move(so_far));
                   });
  }
  // As Call, for a type known only at run time. The response is stored in `response`.
  void CallAny(const RpcMethod& method, const google::protobuf::Message& request,
               std::shared_ptr<google::protobuf::Message> response, const HttpReply& reply,
               std::function<void(const google::protobuf::Message&)> done,
               std::function<void(const grpc::Status&)> failed = nullptr);
  // A call for this caller without an HTTP request. `done` gets status and response in the lane for
  // events; DEADLINE_EXCEEDED after `time`. Not called if this bridge has stopped.
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
  // A call for this caller without an answer. Any thread; does not block.
  void Tell(const RpcMethod& method, std::shared_ptr<const google::protobuf::Message> request,
            const Credentials& credentials);

 private:
  // `response` must live until `done` is destroyed.
  void AskAny(const RpcMethod& method, const google::protobuf::Message& request,
              const Credentials& credentials, std::chrono::milliseconds time,
              google::protobuf::Message* response, std::function<void(const grpc::Status&)> done);

  // In the pool, or in this thread if there is none.
  void InPool(WorkPool::Lane lane, size_t bytes, WorkPool::Work work) const;

  WorkPool* const pool_;
  class Calls;
  const std::shared_ptr<Calls> calls_;
};

}  // namespace dqueue::transport
