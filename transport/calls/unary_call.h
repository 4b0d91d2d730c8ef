// One unary call of a client on the server: bytes in, bytes out. The request stays as the bytes
// that came in until the call is answered, so a follower forwards it without decoding it, and a
// call that lost its leader can be repeated. Decoding is for the leader.
//
//   Begin -> [this node] or [forward] or [wait for a leader, then again] -> Answer -> OnDone
//
// Answers may come from the node's loop, from gRPC's threads and from the router; the first one
// counts. The object lives until gRPC and all who may still answer have let go of it.
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
#include "transport/calls/message_bytes.h"
#include "transport/calls/rpc_error.h"
#include "transport/calls/rpc_methods.h"
#include "transport/keys/authenticator.h"

namespace dqueue::transport {

inline constexpr size_t kClientRequestBytesMax = 20 << 20;
// How long a call without a deadline may take, without its own wait.
inline constexpr std::chrono::seconds kCallTimeMax{60};

inline constexpr char kForwardedKey[] = "dqueue-forwarded";
inline constexpr char kLeaderKey[] = "dqueue-leader";
inline constexpr char kLeaderAddressKey[] = "dqueue-leader-address";

class UnaryCall : public grpc::ServerUnaryReactor, public std::enable_shared_from_this<UnaryCall> {
 public:
  UnaryCall(const CallEntry& entry, const RpcMethod& method, grpc::CallbackServerContext* context,
            const grpc::ByteBuffer* request, grpc::ByteBuffer* response);
  ~UnaryCall() override = default;

  void Begin();

  // From the router.
  void Retry();
  void GiveUp();
  bool answered() const { return answered_.load(std::memory_order_acquire); }
  bool WaitIsOver() const;
  // Somebody else leads now, and a frozen leader answers nobody. But one that handed leadership
  // over has answers on their way: a call that cannot be repeated is left only when it is `late`.
  void OnLeaderChange(const std::string& address, bool late);
  // True for a call that cannot be left without a COMMIT_UNKNOWN.
  bool ChangeUnderWay() const { return method_.changes && submitted_.load(); }
  void OnStop();

  void OnCancel() final;
  void OnDone() final;
  // gRPC leaves OnDone() to a thread made for that, and waking it costs more than ours takes, which
  // waits for nothing and is not called with anybody's lock held.
  bool InternalInlineable() final { return true; }

 protected:
  // Decodes the request and hands it to the node; OnResult() or OnError() follow. False if the node
  // is gone.
  virtual bool SubmitToNode(Time deadline) = 0;
  // Whether doing it twice is the same as doing it once.
  virtual bool Repeatable() const = 0;
  // Takes back what the client will never see; `response` was its answer.
  virtual void TakeBack(const grpc::ByteBuffer& response) { (void)response; }
  // What the call is about, for the audit log: without secrets.
  virtual std::string Subject() const = 0;

  // Once it has been let in.
  const Caller& caller() const { return caller_; }
  const Credentials& credentials() const { return credentials_; }

  void OnResult(grpc::ByteBuffer response);
  void OnError(const queue::Error& error);
  void Answer(const grpc::Status& status);
  // What is left of the call's time.
  std::chrono::microseconds Remaining() const;
  std::shared_ptr<std::atomic<bool>> CancelledFlag();

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
    bool given_up = false;  // cancelled because another leader appeared
  };

  // Whether the caller may do this: then it is admitted_. Else it is answered, or the leader has to
  // say.
  void Admit();
  void Dispatch();
  void SubmitLocal();
  void ForwardTo(const Leader& leader);
  void OnForwardDone(Forward& forward, const grpc::Status& status);
  // The leader is gone or unknown; `sent`: the request may have had an effect.
  void OnNoLeader(const grpc::Status& status, bool sent);
  bool Claim() { return !answered_.exchange(true, std::memory_order_acq_rel); }
  void FinishClaimed(const grpc::Status& status);
  void AnswerResponse(grpc::ByteBuffer response, const Leader* by);

  const RpcMethod& method_;
  // Valid until the answer.
  grpc::CallbackServerContext* const context_;
  grpc::ByteBuffer* const response_;
  grpc::ByteBuffer request_;
  const Credentials credentials_;
  Caller caller_;
  bool admitted_ = false;
  std::chrono::system_clock::time_point deadline_;
  bool forwarded_ = false;
  int hops_ = 0;
  std::optional<std::chrono::steady_clock::time_point> wait_until_;
  grpc::Status last_status_;
  bool unknown_ = false;  // an earlier attempt may have had an effect

  std::atomic<bool> answered_{false};
  std::atomic<bool> submitted_{false};
  std::atomic<bool> cancelled_{false};
  std::optional<grpc::ByteBuffer> granted_;  // what was answered by a method that grants

  std::mutex forward_mutex_;
  std::shared_ptr<Forward> forward_;

  std::shared_ptr<UnaryCall> self_;  // until OnDone
};

// Rules that differ from method to method; CallRules is specialised beside the services.
template <class CallT>
struct DefaultRules {
  using Request = typename CallT::RequestType;
  static bool Repeatable(const Request&) { return false; }
  // Before the request goes to the node.
  static void Adjust(Request*, std::chrono::microseconds /*remaining*/) {}
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

  std::shared_ptr<NodeCall> Self() {
    return std::static_pointer_cast<NodeCall>(this->shared_from_this());
  }

  bool SubmitToNode(Time deadline) override {
    CallT call;
    if (!DecodeOrAnswer(&call.request)) return true;
    Rules::Adjust(&call.request, Remaining());
    call.deadline = deadline;
    call.cancelled = CancelledFlag();
    call.access = caller().access;
    call.done = [self = Self()](queue::Outcome<Response> outcome) {
      if (outcome.ok()) {
        self->OnResult(EncodeMessage(outcome.value));
      } else {
        self->OnError(outcome.error);
      }
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

// In a service's method.
template <class CallT>
grpc::ServerUnaryReactor* BeginCall(const CallEntry& entry, const RpcMethod& method,
                                    grpc::CallbackServerContext* context,
                                    const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  auto call = std::make_shared<NodeCall<CallT>>(entry, method, context, request, response);
  call->Begin();
  return call.get();
}

}  // namespace dqueue::transport
