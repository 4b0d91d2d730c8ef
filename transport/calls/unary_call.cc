#include "transport/calls/unary_call.h"

#include "base/check.h"
#include "node/runner.h"
#include "transport/calls/rpc_error.h"
#include "transport/keys/credentials.h"

namespace dqueue::transport {
namespace {

queue::Error TooLargeError(size_t bytes) {
  queue::Error error;
  error.code = absl::StatusCode::kResourceExhausted;
  error.reason = kReasonTooLarge;
  error.message = "the request has " + std::to_string(bytes) + " bytes, the limit is " +
                  std::to_string(kClientRequestBytesMax) + ": send several smaller ones";
  error.metadata = {{"limit", std::to_string(kClientRequestBytesMax)},
                    {"value", std::to_string(bytes)}};
  return error;
}

queue::Error TooManyBytesError() {
  queue::Error error;
  error.code = absl::StatusCode::kResourceExhausted;
  error.reason = "OVERLOADED";
  error.message = "too many large requests wait to be read by this node";
  error.metadata = {{"cause", "bytes"}, {"limit", std::to_string(WorkPool::Limits().bytes_max)}};
  error.retry_after = std::chrono::seconds(1);
  return error;
}

queue::CallKind KindOf(const RpcMethod& method) {
  if (method.scope == Scope::kJobsLease || method.scope == Scope::kJobsAck) {
    return queue::CallKind::kLeases;
  }
  return method.changes ? queue::CallKind::kMutations : queue::CallKind::kReads;
}

// nullopt: `request` is a message of a size that is taken.
std::optional<queue::Error> ProblemOf(const grpc::ByteBuffer& request) {
  // The caller ended the stream, or went away, without a message. gRPC would abort this process if
  // it were asked to forward that.
  if (!request.Valid()) return MalformedError("it has no message");
  const size_t bytes = request.Length();
  if (bytes > kClientRequestBytesMax) return TooLargeError(bytes);
  return std::nullopt;
}

}  // namespace

UnaryCall::UnaryCall(const CallEntry& entry, const RpcMethod& method,
                     grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                     grpc::ByteBuffer* response)
    : entry_(entry),
      router_(entry.router()),
      context_(context),
      response_(response),
      request_(*request),
      call_(router_, method, ReadCallFacts(entry, *context)) {}

void UnaryCall::Begin() {
  self_ = shared_from_this();
  router_->Register(this);
  Carry(call_.Begin(ProblemOf(request_)));
}

void UnaryCall::Retry() {
  if (!answered()) Carry(call_.Retry());
}

void UnaryCall::Carry(const ClientCall::Step& step) {
  using Kind = ClientCall::Step::Kind;
  switch (step.kind) {
    case Kind::kServe:
      return SubmitLocal();
    case Kind::kForward:
      return ForwardTo(step.leader);
    case Kind::kWait:
      return router_->WaitForLeader(shared_from_this(), call_.seen(), call_.wait_until());
    case Kind::kAnswer:
      return Answer(step.status);
  }
}

bool UnaryCall::DecodeOrAnswer(google::protobuf::Message* message) {
  if (Decode(message)) return true;
  Answer(ToGrpcStatus(MalformedError("it is damaged, or a text in it is not UTF-8")));
  return false;
}

void UnaryCall::SubmitLocal() {
  const size_t bytes = request_bytes();
  if (bytes <= kDecodedAtOnceMax) return SubmitHere();
  const auto submit = [self = Self<UnaryCall>()] {
    if (!self->answered()) self->SubmitHere();
  };
  if (router_->requests().TryPost(WorkPool::LaneOf(bytes), bytes, submit)) return;
  const queue::Error busy = TooManyBytesError();
  router_->rejections().Add(KindOf(call_.method()), busy);
  OnError(busy);
}

void UnaryCall::SubmitHere() {
  const auto remaining = std::chrono::duration_cast<Duration>(Remaining());
  if (!SubmitToNode(node::MonotonicNow() + remaining)) Answer(ToGrpcStatus(ShuttingDownError()));
}

void UnaryCall::Conclude(size_t bytes, WorkPool::Work work) {
  if (bytes <= kEncodedAtOnceMax) return work();
  router_->answers().Post(WorkPool::LaneOf(bytes), bytes, std::move(work));
}

void UnaryCall::OnResult(grpc::ByteBuffer response) {
  AnswerResponse(std::move(response), nullptr);
}

void UnaryCall::OnError(const queue::Error& error) {
  if (!answered()) Carry(call_.OnNodeError(error, [this] { return Repeatable(); }));
}

void UnaryCall::ForwardTo(const Leader& leader) {
  auto forward = std::make_shared<Forward>();
  forward->to = leader;
  forward->context.set_deadline(call_.deadline());
  forward->context.AddMetadata(kForwardedKey, "1");
  forward->context.AddMetadata(kCallerKey, call_.source());
  AddAuthorization(credentials(), &forward->context);
  {
    const std::lock_guard lock(forward_mutex_);
    forward_ = forward;
  }
  router_->StubFor(leader.address, leader.name)
      ->UnaryCall(&forward->context, call_.method().path, grpc::StubOptions(), &request_,
                  &forward->response, [self = Self<UnaryCall>(), forward](grpc::Status status) {
                    self->OnForwardDone(*forward, status);
                  });
  // OnCancel may have come before there was anything to cancel.
  if (answered()) forward->context.TryCancel();
}

void UnaryCall::OnForwardDone(Forward& forward, const grpc::Status& status) {
  bool abandoned = false;
  {
    const std::lock_guard lock(forward_mutex_);
    forward_.reset();
    abandoned = forward.abandoned;
  }
  // A node of this cluster never answers without a message.
  if (status.ok() && forward.response.Valid()) {
    AnswerResponse(std::move(forward.response), &forward.to);
    return;
  }
  if (answered()) return;
  Carry(call_.OnForwardError(forward.to, status, abandoned, [this] { return Repeatable(); }));
}

void UnaryCall::OnLeaderChange(const std::string& address, bool late) {
  if (!late && call_.method().changes && !Repeatable()) return;
  const std::lock_guard lock(forward_mutex_);
  if (forward_ == nullptr || forward_->to.address == address) return;
  forward_->abandoned = true;
  forward_->context.TryCancel();
}

void UnaryCall::OnKeyLoss(std::chrono::steady_clock::time_point now) {
  if (answered()) return;
  const std::optional<grpc::Status> lost = call_.LostRights();
  if (!lost) return;
  if (call_.MayHaveEffect() && !call_.method().grants) {
    if (!rights_lost_at_) rights_lost_at_ = now;
    if (now - *rights_lost_at_ < kChangesEndIn) return;
  }
  Abandon(*lost);
}

void UnaryCall::OnCancel() {
  // The caller is gone; the call ends so that its resources are free.
  Abandon(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled by the caller"));
}

void UnaryCall::Abandon(const grpc::Status& status) {
  cancelled_.store(true);
  // Claimed first: the end of the forward that is cancelled here must not be the answer.
  const bool claimed = Claim();
  {
    const std::lock_guard lock(forward_mutex_);
    if (forward_ != nullptr) forward_->context.TryCancel();
  }
  if (claimed) FinishClaimed(status);
}

void UnaryCall::OnDone() {
  if (granted_ && context_->IsCancelled()) TakeBack(*granted_);
  self_.reset();
}

void UnaryCall::Answer(const grpc::Status& status) {
  if (Claim()) FinishClaimed(status);
}

void UnaryCall::AnswerResponse(grpc::ByteBuffer response, const Leader* by) {
  const bool grants = call_.method().grants;
  // A key that was revoked while the call ran gets no payload. An answer to a change has none.
  std::optional<grpc::Status> lost;
  if (grants || !call_.method().changes) lost = call_.LostRights();
  if (lost || !Claim()) {
    if (grants) TakeBack(response);
    if (lost) Answer(*lost);
    return;
  }
  if (by != nullptr && entry_.names_leader()) {
    // So that the caller can go straight to the leader next time.
    if (!by->name.empty()) context_->AddInitialMetadata(kLeaderKey, by->name);
    context_->AddInitialMetadata(kLeaderAddressKey, by->address);
  }
  if (grants) granted_ = response;
  response_->Swap(&response);
  FinishClaimed(grpc::Status::OK);
}

void UnaryCall::FinishClaimed(const grpc::Status& status) {
  DQ_CHECK(answered());
  router_->Unregister(this);
  if (call_.audited()) call_.Audit(Subject(), status);
  // gRPC may call OnDone() here; the caller of this function holds a reference.
  Finish(status);
}

std::shared_ptr<std::atomic<bool>> UnaryCall::CancelledFlag() {
  return {shared_from_this(), &cancelled_};
}

}  // namespace dqueue::transport
