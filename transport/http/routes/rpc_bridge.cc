#include "transport/http/routes/rpc_bridge.h"

#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>

#include <condition_variable>
#include <mutex>
#include <unordered_set>

#include "queue/api/limits.h"
#include "transport/calls/message_bytes.h"
#include "transport/calls/rpc_error.h"
#include "transport/calls/unary_call.h"
#include "transport/http/message/error_response.h"
#include "transport/keys/credentials.h"

namespace dqueue::transport {
namespace {

using google::protobuf::Message;

// Above the server's own limit, which ends a call first.
constexpr std::chrono::milliseconds kCallTime =
    kCallTimeMax + std::chrono::milliseconds(queue::kWaitMsMax) + std::chrono::seconds(5);

}  // namespace

// The calls under way. Shared with their callbacks.
class RpcBridge::Calls : public std::enable_shared_from_this<Calls> {
 public:
  using Done = std::function<void(const grpc::Status&, grpc::ByteBuffer*)>;
  struct One {
    grpc::ClientContext context;
    grpc::ByteBuffer request;
    grpc::ByteBuffer response;
  };

  explicit Calls(std::shared_ptr<grpc::Channel> channel) : stub_(std::move(channel)) {}

  // False: this bridge has stopped, and `done` is not called.
  bool Begin(const std::shared_ptr<One>& call, const RpcMethod& method, const Message& request,
             const Credentials& credentials, std::chrono::milliseconds time, Done done) {
    call->request = EncodeMessage(request);
    call->context.set_deadline(std::chrono::system_clock::now() + time);
    call->context.AddMetadata(kSourceKey, SourceMetadata(credentials.source));
    AddAuthorization(credentials, &call->context);
    {
      const std::lock_guard lock(mutex_);
      if (stopped_) return false;
      running_.insert(call);
    }
    stub_.UnaryCall(&call->context, method.path, grpc::StubOptions(), &call->request,
                    &call->response,
                    [self = shared_from_this(), call,
                     done = std::move(done)](const grpc::Status& status) mutable {
                      done(status, &call->response);
                      done = nullptr;
                      self->End(call);
                    });
    return true;
  }

  void Stop() {
    std::unique_lock lock(mutex_);
    stopped_ = true;
    for (const std::shared_ptr<One>& call : running_) call->context.TryCancel();
    none_.wait(lock, [this] { return running_.empty(); });
  }

 private:
  void End(const std::shared_ptr<One>& call) {
    const std::lock_guard lock(mutex_);
    running_.erase(call);
    if (running_.empty()) none_.notify_all();
  }

  grpc::GenericStub stub_;
  std::mutex mutex_;
  std::condition_variable none_;
  bool stopped_ = false;
  std::unordered_set<std::shared_ptr<One>> running_;
};

RpcBridge::RpcBridge(std::shared_ptr<grpc::Channel> channel, WorkPool* pool)
    : pool_(pool), calls_(std::make_shared<Calls>(std::move(channel))) {}

RpcBridge::~RpcBridge() { calls_->Stop(); }

void RpcBridge::InPool(WorkPool::Lane lane, size_t bytes, WorkPool::Work work) const {
  if (pool_ == nullptr) return work();
  pool_->Post(lane, bytes, std::move(work));
}

void RpcBridge::CallAny(const RpcMethod& method, const Message& request,
                        std::shared_ptr<Message> response, const HttpReply& reply,
                        std::function<void(const Message&)> done,
                        std::function<void(const grpc::Status&)> failed) {
  const auto answer = [reply, response, done = std::move(done), failed = std::move(failed)](
                          const grpc::Status& status, const grpc::ByteBuffer& bytes) {
    if (!status.ok()) {
      if (failed) return failed(status);
      return reply.Send(ErrorResponse(status));
    }
    if (DecodeMessage(bytes, response.get())) return done(*response);
    reply.Send(HttpProblem(500, "INTERNAL", "the node's answer cannot be decoded"));
  };
  const auto on_end = [this, answer](const grpc::Status& status, grpc::ByteBuffer* bytes) {
    const size_t size = status.ok() ? bytes->Length() : 0;
    InPool(WorkPool::LaneOf(size), size,
           [answer, status, bytes = std::move(*bytes)] { answer(status, bytes); });
  };
  auto call = std::make_shared<Calls::One>();
  // Before the call begins, because its end may begin another call for the same reply. In the pool,
  // because the end of a cancelled call may decode its request.
  reply.OnGone(
      [this, call] { InPool(WorkPool::Lane::kSmall, 0, [call] { call->context.TryCancel(); }); });
  if (!calls_->Begin(call, method, request, reply.credentials(), kCallTime, on_end)) {
    reply.Send(ErrorResponse(ToGrpcStatus(ShuttingDownError())));
  }
}

void RpcBridge::AskAny(const RpcMethod& method, const Message& request,
                       const Credentials& credentials, std::chrono::milliseconds time,
                       Message* response, std::function<void(const grpc::Status&)> done) {
  const auto answer = [response, done = std::move(done)](const grpc::Status& status,
                                                         const grpc::ByteBuffer& bytes) {
    if (!status.ok() || DecodeMessage(bytes, response)) return done(status);
    done(grpc::Status(grpc::StatusCode::INTERNAL, "the node's answer cannot be decoded"));
  };
  calls_->Begin(std::make_shared<Calls::One>(), method, request, credentials, time,
                [this, answer](const grpc::Status& status, grpc::ByteBuffer* bytes) {
                  const size_t size = status.ok() ? bytes->Length() : 0;
                  InPool(WorkPool::Lane::kWatch, size,
                         [answer, status, bytes = std::move(*bytes)] { answer(status, bytes); });
                });
}

void RpcBridge::Tell(const RpcMethod& method, std::shared_ptr<const Message> request,
                     const Credentials& credentials) {
  InPool(WorkPool::Lane::kSmall, 0,
         [calls = calls_, &method, request = std::move(request), credentials] {
           calls->Begin(std::make_shared<Calls::One>(), method, *request, credentials, kCallTime,
                        [](const grpc::Status&, grpc::ByteBuffer*) {});
         });
}

}  // namespace dqueue::transport
