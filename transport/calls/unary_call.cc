#include "transport/calls/unary_call.h"

#include <algorithm>

#include "base/check.h"
#include "node/runner.h"
#include "transport/calls/audit.h"
#include "transport/keys/credentials.h"

namespace dqueue::transport {
namespace {

using std::chrono::system_clock;

// Of a call's time, what is kept for the way of its answer.
constexpr std::chrono::milliseconds kAnswerSlackMax{100};

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

std::string OutcomeOf(const grpc::Status& status) {
  if (status.ok()) return "OK";
  const std::string reason = ReadRemoteError(status).reason;
  return reason.empty() ? "refused" : reason;
}

}  // namespace

UnaryCall::UnaryCall(const CallEntry& entry, const RpcMethod& method,
                     grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                     grpc::ByteBuffer* response)
    : entry_(entry),
      router_(entry.router()),
      method_(method),
      context_(context),
      response_(response),
      request_(*request),
      credentials_(CredentialsOf(*context, router_->authenticator().on() || IsAudited(method))) {}

void UnaryCall::Begin() {
  self_ = shared_from_this();
  const system_clock::time_point cap = system_clock::now() + kCallTimeMax + method_.wait_max;
  deadline_ = std::min(context_->deadline(), cap);
  const auto& metadata = context_->client_metadata();
  forwarded_ = metadata.find(kForwardedKey) != metadata.end();
  router_->Register(this);
  const std::optional<queue::Error> refused = entry_.Refuse(*context_, forwarded_);
  const size_t bytes = request_.Length();
  if (refused) {
    Answer(ToGrpcStatus(*refused));
  } else if (!request_.Valid()) {
    // The caller ended the stream, or went away, without a message. gRPC would end this process if
    // it were asked to forward that.
    Answer(ToGrpcStatus(MalformedError("it has no message")));
  } else if (bytes > kClientRequestBytesMax) {
    Answer(ToGrpcStatus(TooLargeError(bytes)));
  } else if (router_->stopping()) {
    Answer(ToGrpcStatus(ShuttingDownError()));
  } else {
    Admit();
    if (!answered()) Dispatch();
  }
}

bool UnaryCall::DecodeOrAnswer(google::protobuf::Message* message) {
  if (Decode(message)) return true;
  Answer(ToGrpcStatus(MalformedError("it is damaged, or a text in it is not UTF-8")));
  return false;
}

void UnaryCall::Admit() {
  Authenticator::Ruling ruling = router_->authenticator().Check(credentials_, method_.scope);
  const bool ours = forwarded_ || router_->leader().self;
  if (ruling.standing == Authenticator::Standing::kAllowed) {
    caller_ = std::move(ruling.caller);
    admitted_ = true;
  } else if (ruling.standing == Authenticator::Standing::kRefused || ours) {
    Answer(ToGrpcStatus(ruling.error));
  }
}

void UnaryCall::Dispatch() {
  const Leader leader = router_->leader();
  if (!forwarded_ && leader.known() && !leader.self && !leader.address.empty()) {
    ForwardTo(leader);
  } else if (admitted_) {
    SubmitLocal();
  } else if (leader.self) {
    // It has become the leader meanwhile.
    Admit();
    if (admitted_) SubmitLocal();
  } else {
    OnNoLeader(ToGrpcStatus(NoLeaderError()), false);
  }
}

void UnaryCall::SubmitLocal() {
  submitted_.store(true);
  const auto remaining = std::chrono::duration_cast<Duration>(Remaining());
  if (!SubmitToNode(node::MonotonicNow() + remaining)) Answer(ToGrpcStatus(ShuttingDownError()));
}

void UnaryCall::OnResult(grpc::ByteBuffer response) {
  AnswerResponse(std::move(response), nullptr);
}

void UnaryCall::OnError(const queue::Error& error) {
  if (answered()) return;
  const grpc::Status status = ToGrpcStatus(error);
  if (forwarded_) {
    Answer(status);
  } else if (error.reason == kReasonNotLeader) {
    submitted_.store(unknown_);
    const auto it = error.metadata.find("leader_address");
    if (it == error.metadata.end() || it->second.empty() || hops_ >= kForwardHopsMax) {
      OnNoLeader(status, false);
      return;
    }
    const auto name = error.metadata.find("leader_id");
    ForwardTo(Leader{.name = name == error.metadata.end() ? "" : name->second,
                     .address = it->second,
                     .self = false});
  } else if (error.reason == kReasonNoLeader || error.reason == kReasonShuttingDown) {
    // Of a node that is drained: its successor leads in a moment.
    OnNoLeader(status, false);
  } else if (error.reason == kReasonCommitUnknown) {
    OnNoLeader(status, true);
  } else {
    Answer(status);
  }
}

void UnaryCall::ForwardTo(const Leader& leader) {
  ++hops_;
  auto forward = std::make_shared<Forward>();
  forward->to = leader;
  forward->context.set_deadline(deadline_);
  forward->context.AddMetadata(kForwardedKey, "1");
  AddAuthorization(credentials_, &forward->context);
  {
    const std::lock_guard lock(forward_mutex_);
    forward_ = forward;
  }
  submitted_.store(true);
  router_->StubFor(leader.address, leader.name)
      ->UnaryCall(&forward->context, method_.path, grpc::StubOptions(), &request_,
                  &forward->response, [self = shared_from_this(), forward](grpc::Status status) {
                    self->OnForwardDone(*forward, status);
                  });
  // OnCancel may have come before there was anything to cancel.
  if (answered()) forward->context.TryCancel();
}

void UnaryCall::OnForwardDone(Forward& forward, const grpc::Status& status) {
  bool given_up = false;
  {
    const std::lock_guard lock(forward_mutex_);
    forward_.reset();
    given_up = forward.given_up;
  }
  // An answer without a message is none; whoever said that is no node of this cluster.
  if (status.ok() && forward.response.Valid()) {
    AnswerResponse(std::move(forward.response), &forward.to);
    return;
  }
  if (answered()) return;
  const RemoteError remote = ReadRemoteError(status);
  if (remote.reason == kReasonNotLeader) {
    const bool new_hint =
        !remote.leader_address.empty() && remote.leader_address != forward.to.address;
    if (new_hint && hops_ < kForwardHopsMax) {
      ForwardTo(Leader{.name = "", .address = remote.leader_address, .self = false});
    } else {
      OnNoLeader(status, false);
    }
  } else if (remote.reason == kReasonNoLeader || remote.reason == kReasonShuttingDown) {
    OnNoLeader(status, false);
  } else if (remote.reason == kReasonCommitUnknown) {
    OnNoLeader(status, true);
  } else if (!remote.reason.empty() ||
             (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED && !given_up)) {
    Answer(status);
  } else {
    // gRPC's own words: the connection broke, or there was none.
    OnNoLeader(ToGrpcStatus(CommitUnknownError("the connection to the leader " + forward.to.name +
                                               " broke")),
               !NeverSent(status));
  }
}

void UnaryCall::OnNoLeader(const grpc::Status& status, bool sent) {
  if (sent && method_.changes) {
    last_status_ = status;
    unknown_ = true;
    if (!Repeatable()) {
      Answer(status);
      return;
    }
  } else if (!unknown_) {
    // What was certainly not done, and what changes nothing, is told as a lack of a leader.
    last_status_ = ToGrpcStatus(NoLeaderError());
  }
  submitted_.store(unknown_);
  hops_ = 0;
  if (!wait_until_) {
    // Told a little before the caller's own deadline, or it would learn nothing but that.
    const std::chrono::microseconds left = Remaining();
    const auto wait = std::min<std::chrono::microseconds>(
        kLeaderWaitMax, left - std::min<std::chrono::microseconds>(kAnswerSlackMax, left / 4));
    wait_until_ = std::chrono::steady_clock::now() + wait;
  }
  router_->WaitForLeader(shared_from_this());
}

bool UnaryCall::WaitIsOver() const { return std::chrono::steady_clock::now() >= *wait_until_; }

void UnaryCall::Retry() {
  if (!answered()) Dispatch();
}

void UnaryCall::GiveUp() { Answer(last_status_); }

void UnaryCall::OnLeaderChange(const std::string& address, bool late) {
  if (!late && method_.changes && !Repeatable()) return;
  const std::lock_guard lock(forward_mutex_);
  if (forward_ == nullptr || forward_->to.address == address) return;
  forward_->given_up = true;
  forward_->context.TryCancel();
}

void UnaryCall::OnStop() {
  Answer(ToGrpcStatus(ChangeUnderWay() ? CommitUnknownError("this node is shutting down")
                                       : ShuttingDownError()));
}

void UnaryCall::OnCancel() {
  cancelled_.store(true);
  {
    const std::lock_guard lock(forward_mutex_);
    if (forward_ != nullptr) forward_->context.TryCancel();
  }
  // Nobody listens any more; the call ends so that its resources are free.
  Answer(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled by the caller"));
}

void UnaryCall::OnDone() {
  if (granted_ && context_->IsCancelled()) TakeBack(*granted_);
  self_.reset();
}

void UnaryCall::Answer(const grpc::Status& status) {
  if (Claim()) FinishClaimed(status);
}

void UnaryCall::AnswerResponse(grpc::ByteBuffer response, const Leader* by) {
  if (!Claim()) {
    if (method_.grants) TakeBack(response);
    return;
  }
  if (by != nullptr && entry_.names_leader()) {
    // So that the caller can go straight to the leader next time.
    if (!by->name.empty()) context_->AddInitialMetadata(kLeaderKey, by->name);
    context_->AddInitialMetadata(kLeaderAddressKey, by->address);
  }
  if (method_.grants) granted_ = response;
  response_->Swap(&response);
  FinishClaimed(grpc::Status::OK);
}

void UnaryCall::FinishClaimed(const grpc::Status& status) {
  DQ_CHECK(answered());
  router_->Unregister(this);
  if (IsAudited(method_)) {
    WriteAudit(method_, caller_, credentials_.source, Subject(), OutcomeOf(status));
  }
  // After this the object may be gone as far as gRPC is concerned; the caller holds a reference.
  Finish(status);
}

std::chrono::microseconds UnaryCall::Remaining() const {
  const auto left =
      std::chrono::duration_cast<std::chrono::microseconds>(deadline_ - system_clock::now());
  return std::max(left, std::chrono::microseconds(0));
}

std::shared_ptr<std::atomic<bool>> UnaryCall::CancelledFlag() {
  return {shared_from_this(), &cancelled_};
}

}  // namespace dqueue::transport
