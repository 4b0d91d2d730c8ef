#include "transport/calls/client_call.h"

#include <algorithm>
#include <utility>

#include "queue/broker/refusals.h"
#include "transport/calls/audit.h"
#include "transport/keys/credentials.h"

namespace dqueue::transport {
namespace {

using std::chrono::system_clock;

// Of an address that a member names.
constexpr size_t kSourceBytesMax = 64;

std::string OutcomeOf(const grpc::Status& status) {
  if (status.ok()) return "OK";
  const std::string reason = ReadRemoteError(status).reason;
  return reason.empty() ? "refused" : reason;
}

std::string MetadataOf(const queue::Error& error, const std::string& key) {
  const auto it = error.metadata.find(key);
  return it == error.metadata.end() ? "" : it->second;
}

}  // namespace

std::chrono::microseconds WithoutAnswerTime(std::chrono::microseconds left) {
  constexpr std::chrono::microseconds kAnswerTimeMax{100'000};
  return left - std::min(kAnswerTimeMax, left / 4);
}

CallFacts ReadCallFacts(const CallEntry& entry, const grpc::CallbackServerContext& context) {
  const auto& metadata = context.client_metadata();
  const bool forwarded = metadata.count(kForwardedKey) > 0;
  Credentials credentials = CredentialsOf(context, /*with_source=*/true);
  std::string source = credentials.source;
  if (forwarded) {
    const auto caller = metadata.find(kCallerKey);
    if (caller != metadata.end() && caller->second.size() <= kSourceBytesMax) {
      source = std::string(caller->second.data(), caller->second.size());
    }
  }
  return {.credentials = std::move(credentials),
          .forwarded = forwarded,
          .source = std::move(source),
          .deadline = context.deadline(),
          .refused = entry.Refuse(context, forwarded)};
}

ClientCall::ClientCall(std::shared_ptr<CallRouter> router, const RpcMethod& method, CallFacts facts)
    : router_(std::move(router)),
      method_(method),
      facts_(std::move(facts)),
      deadline_(std::min(facts_.deadline, system_clock::now() + kCallTimeMax + method.wait_max)),
      losses_seen_(router_->authenticator().losses()) {}

ClientCall::Step ClientCall::Begin(const std::optional<queue::Error>& problem) {
  if (facts_.refused) return Answer(ToGrpcStatus(*facts_.refused));
  if (problem) return Answer(ToGrpcStatus(*problem));
  if (router_->stopping()) return Answer(ToGrpcStatus(ShuttingDownError()));
  if (std::optional<Step> refusal = Admit()) return *std::move(refusal);
  return Dispatch();
}

std::optional<ClientCall::Step> ClientCall::Admit() {
  Authenticator::Ruling ruling = router_->authenticator().Check(facts_.credentials, method_.scope);
  const bool last_word = facts_.forwarded || router_->leader().self;
  if (ruling.standing == Authenticator::Standing::kAllowed) {
    caller_ = std::move(ruling.caller);
    admitted_.store(true, std::memory_order_release);
  } else if (ruling.standing == Authenticator::Standing::kRefused || last_word) {
    return Answer(ToGrpcStatus(ruling.error));
  }
  return std::nullopt;
}

ClientCall::Step ClientCall::Dispatch() {
  if (Remaining() == std::chrono::microseconds(0)) {
    return Answer(uncertain_ ? last_status_ : ToGrpcStatus(queue::DeadlinePassedError()));
  }
  const Leader leader = router_->leader();
  seen_ = leader.change;
  attempt_began_ = std::chrono::steady_clock::now();
  if (!facts_.forwarded && leader.known() && !leader.self && !leader.address.empty()) {
    return Forward(leader);
  }
  if (!admitted_ && leader.self) {
    // This node has become the leader since the key was checked.
    if (std::optional<Step> refusal = Admit()) return *std::move(refusal);
  }
  if (!admitted_) {
    return NoLeader(ToGrpcStatus(NoLeaderError()), /*sent=*/false, [] { return false; });
  }
  submitted_.store(true);
  return Serve();
}

ClientCall::Step ClientCall::Forward(Leader leader) {
  ++hops_;
  submitted_.store(true);
  return {.kind = Step::Kind::kForward, .leader = std::move(leader), .status = {}};
}

ClientCall::Step ClientCall::OnNodeError(const queue::Error& error, Repeatable repeatable) {
  const grpc::Status status = ToGrpcStatus(error);
  if (facts_.forwarded) return Answer(status);
  if (error.reason == kReasonNotLeader) {
    submitted_.store(uncertain_);
    std::string name = MetadataOf(error, "leader_id");
    std::string address = MetadataOf(error, "leader_address");
    // This node was elected and does not serve yet: it is waited for, not called.
    const bool self = !name.empty() && name == router_->self_name();
    if (self || address.empty() || hops_ >= kForwardHopsMax) {
      return NoLeader(status, /*sent=*/false, repeatable);
    }
    return Forward({.name = std::move(name), .address = std::move(address)});
  }
  // SHUTTING_DOWN of a node that is drained: its successor leads in a moment.
  if (error.reason == kReasonNoLeader || error.reason == kReasonShuttingDown) {
    return NoLeader(status, /*sent=*/false, repeatable);
  }
  if (error.reason == kReasonCommitUnknown) return NoLeader(status, /*sent=*/true, repeatable);
  return Answer(status);
}

ClientCall::Step ClientCall::OnForwardError(const Leader& to, const grpc::Status& status,
                                            bool abandoned, Repeatable repeatable) {
  const RemoteError remote = ReadRemoteError(status);
  if (remote.reason == kReasonNotLeader) {
    const bool new_hint = !remote.leader_address.empty() && remote.leader_address != to.address &&
                          remote.leader_id != router_->self_name();
    if (new_hint && hops_ < kForwardHopsMax) {
      return Forward({.name = remote.leader_id, .address = remote.leader_address});
    }
    return NoLeader(status, /*sent=*/false, repeatable);
  }
  if (remote.reason == kReasonNoLeader || remote.reason == kReasonShuttingDown) {
    return NoLeader(status, /*sent=*/false, repeatable);
  }
  if (remote.reason == kReasonCommitUnknown) return NoLeader(status, /*sent=*/true, repeatable);
  if (!remote.reason.empty() ||
      (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED && !abandoned)) {
    return Answer(status);
  }
  // A status of gRPC itself: the connection broke, or there was none.
  return NoLeader(
      ToGrpcStatus(CommitUnknownError("the connection to the leader " + to.name + " broke")),
      /*sent=*/!NeverSent(status), repeatable);
}

ClientCall::Step ClientCall::NoLeader(const grpc::Status& status, bool sent,
                                      Repeatable repeatable) {
  if (sent && method_.changes) {
    last_status_ = status;
    uncertain_ = true;
    if (!repeatable()) return Answer(status);
  } else if (!uncertain_) {
    // The attempt had no effect, or the method changes nothing: only a leader is missing.
    last_status_ = ToGrpcStatus(NoLeaderError());
  }
  submitted_.store(uncertain_);
  hops_ = 0;
  // Read before the remaining time: a pause between the two must not make the wait end later.
  const auto now = std::chrono::steady_clock::now();
  if (!wait_until_ || now - attempt_began_ >= kServedMin) {
    wait_until_ =
        now + std::min<std::chrono::microseconds>(kLeaderWaitMax, WithoutAnswerTime(Remaining()));
  }
  return {.kind = Step::Kind::kWait, .leader = {}, .status = {}};
}

std::optional<grpc::Status> ClientCall::LostRights() const {
  const Authenticator& authenticator = router_->authenticator();
  if (authenticator.losses() == losses_seen_) return std::nullopt;
  const bool admitted = admitted_.load(std::memory_order_acquire);
  const auto error =
      authenticator.LostRights(facts_.credentials, method_.scope, admitted ? &caller_ : nullptr);
  if (!error) return std::nullopt;
  const bool may_have_changed = MayHaveEffect() && !method_.grants;
  return ToGrpcStatus(may_have_changed ? CommitUnknownError(error->message) : *error);
}

grpc::Status ClientCall::Stopped() const {
  return ToGrpcStatus(MayHaveEffect() ? CommitUnknownError("this node is shutting down")
                                      : ShuttingDownError());
}

std::chrono::microseconds ClientCall::Remaining() const {
  const auto left =
      std::chrono::duration_cast<std::chrono::microseconds>(deadline_ - system_clock::now());
  return std::max(left, std::chrono::microseconds(0));
}

bool ClientCall::audited() const { return IsAudited(method_); }

void ClientCall::Audit(const std::string& subject, const grpc::Status& status) const {
  if (!audited()) return;
  WriteAudit(method_, caller_, facts_.credentials.source, subject, OutcomeOf(status));
}

}  // namespace dqueue::transport
