// A unary call of a client: bytes in, bytes out. The request stays as the bytes that came in until
// the call is answered, so that a follower forwards the same bytes, and a call that lost its leader
// can be repeated. A follower decodes them only for the audit log, and to learn whether the request
// can be repeated.
//
// Decisions are ClientCall's (client_call.h); this class carries its steps out with gRPC and
// answers. Answers may come from the node's loop, from gRPC's threads and from the router; the
// first one counts. The object lives until gRPC, the node and the router have let go of it.
#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "queue/broker/broker.h"
#include "transport/calls/call_entry.h"
#include "transport/calls/call_router.h"
#include "transport/calls/client_call.h"
#include "transport/calls/message_bytes.h"
#include "transport/calls/rpc_methods.h"
#include "transport/calls/work_pool.h"

namespace dqueue::transport {

inline constexpr size_t kClientRequestBytesMax = 20 << 20;
// Up to these sizes a request is decoded on gRPC's thread, and an answer is encoded on the node's
// loop: that takes less time than waking another thread. More is work for the router's pools. The
// loop must not be late, nor gRPC's threads, which also carry the messages of the members. The
// SDK's gathered enqueues are mostly smaller: with 4 KiB they took a fifth longer.
inline constexpr size_t kDecodedAtOnceMax = 16 << 10;
inline constexpr size_t kEncodedAtOnceMax = 16 << 10;

// Response metadata: name and address of the node that served the call.
inline constexpr char kLeaderKey[] = "dqueue-leader";
inline constexpr char kLeaderAddressKey[] = "dqueue-leader-address";

class UnaryCall : public grpc::ServerUnaryReactor, public RoutedCall {
 public:
  UnaryCall(const CallEntry& entry, const RpcMethod& method, grpc::CallbackServerContext* context,
            const grpc::ByteBuffer* request, grpc::ByteBuffer* response);
  ~UnaryCall() override = default;

  void Begin();

  bool answered() const override { return answered_.load(std::memory_order_acquire); }
  bool MayHaveEffect() const override { return call_.MayHaveEffect(); }
  void Retry() override;
  void GiveUp() override { Answer(call_.WaitFailed()); }
  // Cancels a forward to another address: a frozen leader never answers. A leader that handed over
  // has answers on their way, so a call that cannot be repeated is cancelled only if `late` is set.
  void OnLeaderChange(const std::string& address, bool late) override;
  void OnKeyLoss(std::chrono::steady_clock::time_point now) override;
  void OnStop() override { Answer(call_.Stopped()); }

  void OnCancel() final;
  void OnDone() final;
  // gRPC would call OnDone() on a thread made for that, and waking it costs more than OnDone()
  // takes. OnDone() waits for nothing and is never called with a lock held.
  bool InternalInlineable() final { return true; }

 protected:
  // Decodes the request and hands it to the node; OnResult() or OnError() follows. False if the
  // node is gone.
  virtual bool SubmitToNode(Time deadline) = 0;
  // Carrying the request out twice has the same effect as once.
  virtual bool Repeatable() const = 0;
  // Takes back what the client will never see; `response` was its answer.
  virtual void TakeBack(const grpc::ByteBuffer& response) { (void)response; }
  // The request, for the audit log: without secrets.
  virtual std::string Subject() const = 0;

  const Caller& caller() const { return call_.caller(); }
  const std::string& fair_caller() const { return call_.fair_caller(); }
  const Credentials& credentials() const { return call_.credentials(); }

  // Runs `work`, which decodes or encodes about `bytes` bytes, in this thread or in the router's
  // pool.
  void Conclude(size_t bytes, WorkPool::Work work);
  size_t request_bytes() const { return request_.Length(); }
  bool audited() const { return call_.audited(); }
  void OnResult(grpc::ByteBuffer response);
  void OnError(const queue::Error& error);
  void Answer(const grpc::Status& status);
  std::chrono::microseconds Remaining() const { return call_.Remaining(); }
  std::shared_ptr<std::atomic<bool>> CancelledFlag();
  // This call, as the type that the node's callback needs.
  template <class Derived>
  std::shared_ptr<Derived> Self() {
    return std::static_pointer_cast<Derived>(shared_from_this());
  }

  bool Decode(google::protobuf::Message* message) const { return DecodeMessage(request_, message); }
  // For SubmitToNode(): false, and the call is answered, if the request is no such message.
  bool DecodeOrAnswer(google::protobuf::Message* message);
  // For Subject(): the request as it is.
  template <class Request>
  std::string RequestText() const {
    Request request;
    return Decode(&request) ? request.ShortDebugString() : "";
  }

  const CallEntry entry_;
  const std::shared_ptr<CallRouter> router_;

 private:
  struct Forward {
    grpc::ClientContext context;
    grpc::ByteBuffer response;
    Leader to;
    bool abandoned = false;  // cancelled because another leader appeared
  };

  void Carry(const ClientCall::Step& step);
  void SubmitLocal();
  // Decodes the request; OnResult() or OnError() follows.
  void SubmitHere();
  void ForwardTo(const Leader& leader);
  void OnForwardDone(Forward& forward, const grpc::Status& status);
  // Answers a call that the node or another node may still work on, and cancels that work.
  void Abandon(const grpc::Status& status);
  bool Claim() { return !answered_.exchange(true, std::memory_order_acq_rel); }
  void FinishClaimed(const grpc::Status& status);
  void AnswerResponse(grpc::ByteBuffer response, const Leader* by);

  // Valid until the answer.
  grpc::CallbackServerContext* const context_;
  grpc::ByteBuffer* const response_;
  grpc::ByteBuffer request_;
  ClientCall call_;

  std::atomic<bool> answered_{false};
  std::atomic<bool> cancelled_{false};
  std::optional<grpc::ByteBuffer> granted_;  // the answer of a method that grants
  // Since when the call, which changes something, goes on without rights. On the router's thread.
  std::optional<std::chrono::steady_clock::time_point> rights_lost_at_;

  std::mutex forward_mutex_;
  std::shared_ptr<Forward> forward_;

  std::shared_ptr<RoutedCall> self_;  // until OnDone
};

// About the encoded size of a job, and of an answer. Takes less time than encoding it.
inline size_t AboutBytes(const v1::Job& job) {
  constexpr size_t kOther = 256;
  constexpr size_t kPair = 64;
  constexpr size_t kAttempt = 128;
  return kOther + job.payload().size() + job.result().size() + job.last_error().size() +
         kPair * (job.headers().size() + job.labels().size()) +
         kAttempt * static_cast<size_t>(job.attempts_size());
}
template <class Response>
size_t AboutBytes(const Response& response) {
  constexpr size_t kItem = 256;
  constexpr size_t kResult = 48;
  size_t bytes = 0;
  if constexpr (requires { response.job(); }) bytes += AboutBytes(response.job());
  if constexpr (requires { response.jobs(); }) {
    for (const auto& job : response.jobs()) bytes += AboutBytes(job);
  }
  if constexpr (requires { response.results(); }) {
    for (const auto& result : response.results()) {
      bytes += kResult;
      if constexpr (requires { result.job(); }) {
        if (result.has_job()) bytes += AboutBytes(result.job());
      }
    }
  }
  if constexpr (requires { response.queues(); }) bytes += kItem * response.queues_size();
  if constexpr (requires { response.keys(); }) bytes += kItem * response.keys_size();
  if constexpr (requires { response.workers(); }) bytes += kItem * response.workers_size();
  if constexpr (requires { response.groups(); }) bytes += kItem * response.groups_size();
  return bytes;
}

// The rules of one method. CallRules is specialised beside the services.
template <class CallT>
struct DefaultRules {
  using Request = typename CallT::RequestType;
  static bool Repeatable(const Request&) { return false; }
  // Before the request goes to the node.
  static void Adjust(Request*, std::chrono::microseconds /*remaining*/, const Caller&) {}
  static void TakeBack(CallRouter&, const Credentials&, const typename CallT::ResponseType&) {}
};
template <class CallT>
struct CallRules : DefaultRules<CallT> {};

template <class CallT>
class NodeCall final : public UnaryCall {
 public:
  using UnaryCall::UnaryCall;

 private:
  using Response = typename CallT::ResponseType;
  using Rules = CallRules<CallT>;

  bool SubmitToNode(Time deadline) override {
    CallT call;
    if (!DecodeOrAnswer(&call.request)) return true;
    Rules::Adjust(&call.request, Remaining(), caller());
    call.deadline = deadline;
    call.cancelled = CancelledFlag();
    call.access = caller().access;
    call.caller = fair_caller();
    call.done = [self = this->template Self<NodeCall>()](queue::Outcome<Response> outcome) {
      if (!outcome.ok()) self->router_->rejections().Add(queue::kKindOf<CallT>, outcome.error);
      // The audit log and a repetition decode the request.
      const bool request = self->audited() || !outcome.ok();
      const size_t bytes =
          AboutBytes(outcome.value) + (request ? self->request_bytes() : size_t{0});
      self->Conclude(bytes, [self, outcome = std::move(outcome)] {
        if (!outcome.ok()) {
          self->OnError(outcome.error);
        } else if (self->answered()) {
          // Nobody reads it, so it is not serialised.
          Rules::TakeBack(*self->router_, self->credentials(), outcome.value);
        } else {
          self->OnResult(EncodeMessage(outcome.value));
        }
      });
    };
    return router_->node().With([&](node::Node& node) { node.Submit(std::move(call)); });
  }

  bool Repeatable() const override {
    typename CallT::RequestType request;
    return Decode(&request) && Rules::Repeatable(request);
  }

  std::string Subject() const override { return RequestText<typename CallT::RequestType>(); }

  void TakeBack(const grpc::ByteBuffer& bytes) override {
    Response response;
    if (DecodeMessage(bytes, &response)) Rules::TakeBack(*router_, credentials(), response);
  }
};

// The body of a service's method.
template <class CallT>
grpc::ServerUnaryReactor* BeginCall(const CallEntry& entry, const RpcMethod& method,
                                    grpc::CallbackServerContext* context,
                                    const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  auto call = std::make_shared<NodeCall<CallT>>(entry, method, context, request, response);
  call->Begin();
  return call.get();
}

}  // namespace dqueue::transport
