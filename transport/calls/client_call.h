// A client's call, whatever carries it: which node serves it, until when, and for whom.
//
// This is the part of a call that a unary call and a stream share: the caller's credentials and
// rights, the rules of the port, the deadline, the choice between this node, the leader and a wait
// for a leader, and the audit record. It sends and receives nothing. Each event returns the next
// Step, which the owner carries out; the owner answers once.
//
// Promises:
//  - kServe comes only after this node found that the caller's API key has the method's scope.
//  - A call that a member forwarded is never forwarded again. Others are forwarded at most
//    kForwardHopsMax times before a kWait.
//  - An attempt that may have had an effect is followed by another one only if the request is
//    repeatable; otherwise the answer is COMMIT_UNKNOWN. After an uncertain
//    attempt the error is COMMIT_UNKNOWN even if no leader is found.
//  - A wait for a leader ends kLeaderWaitMax after the outage began, and earlier if the caller's
//    deadline is near: early enough for the answer to arrive. An attempt that lasted kServedMin was
//    with a leader and ends the outage: a long poll survives any number of changes of leader.
//  - A call whose key loses its rights ends (LostRights()): at once, or after kChangesEndIn if it
//    may have changed something. No answer to a read and no lease is handed out after that.
//  - After the deadline nothing is submitted or forwarded any more: DEADLINE_PASSED.
//  - The deadline is the caller's, but at most kCallTimeMax plus the method's own wait from now.
//
// A stream of worker calls would use it like this (unary_call.cc is the complete example):
//
//   opened            Carry(call.Begin())
//   Carry(step)       kServe    StartRead()
//                     kForward  Finish(NotServingError(step.leader)): a client follows a stream's
//                               leader itself
//                     kWait     router->WaitForLeader(this, call.seen()); Retry() or GiveUp()
//                     follow kAnswer   Finish(step.status)
//   message read      authenticator().Check(call.credentials(), its scope), because a key can be
//                     revoked while a stream runs; then node.Submit() with call.caller().access
//   the node refuses  Carry(call.OnNodeError(error, repeatable))
//   router: Retry     Carry(call.Retry())
//   router: GiveUp    Finish(call.WaitFailed())
//   router: OnStop    Finish(call.Stopped())
//   router: OnKeyLoss if call.LostRights() has a status: Finish(*status)
//   finished          call.Audit(subject, status), once
//
// Threads: one event at a time, in any thread. MayHaveEffect(), Stopped() and LostRights() at any
// time.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "queue/api/error.h"
#include "transport/calls/call_entry.h"
#include "transport/calls/call_router.h"
#include "transport/calls/rpc_error.h"
#include "transport/calls/rpc_methods.h"
#include "transport/keys/authenticator.h"

namespace dqueue::transport {

// The time limit of a call without a deadline, without the method's own wait.
inline constexpr std::chrono::seconds kCallTimeMax{60};
// How long a call waits for a leader.
inline constexpr std::chrono::milliseconds kLeaderWaitMax{2000};
// An attempt that failed sooner found no leader.
inline constexpr std::chrono::milliseconds kServedMin{100};
// Forwards of one call, one after the other, without waiting in between.
inline constexpr int kForwardHopsMax = 3;
// Metadata of a call that a member forwards.
inline constexpr char kForwardedKey[] = "dqueue-forwarded";
// The caller's address, in a call that a member forwards: for fair shares of the leader.
inline constexpr char kCallerKey[] = "dqueue-caller";

// `left`, less the time for the way of the answer: a quarter of it, at most 100 ms.
std::chrono::microseconds WithoutAnswerTime(std::chrono::microseconds left);

// The facts that arrive with a call.
struct CallFacts {
  Credentials credentials;
  bool forwarded = false;                          // by a member
  std::string source;                              // the caller's address, also if forwarded
  std::chrono::system_clock::time_point deadline;  // the caller's
  std::optional<queue::Error> refused;             // the port does not take this call
};
CallFacts ReadCallFacts(const CallEntry& entry, const grpc::CallbackServerContext& context);

class ClientCall {
 public:
  struct Step {
    enum class Kind {
      kServe,    // submit to this node's broker
      kForward,  // send to `leader`
      kWait,     // CallRouter::WaitForLeader()
      kAnswer,   // end with `status`
    };
    Kind kind = Kind::kAnswer;
    Leader leader;        // of kForward
    grpc::Status status;  // of kAnswer
  };
  // Whether carrying the request out twice has the same effect as once. Asked only when it matters.
  using Repeatable = absl::FunctionRef<bool()>;

  ClientCall(std::shared_ptr<CallRouter> router, const RpcMethod& method, CallFacts facts);

  // The first event. `problem`: the error of a request that cannot be read.
  Step Begin(const std::optional<queue::Error>& problem = std::nullopt);
  // After a kWait: a leader may be there.
  Step Retry() { return Dispatch(); }
  // After a kServe: the node refused the call or lost it.
  Step OnNodeError(const queue::Error& error, Repeatable repeatable);
  // After a kForward to `to`: it failed. `abandoned`: this node cancelled it, because another
  // leader appeared.
  Step OnForwardError(const Leader& to, const grpc::Status& status, bool abandoned,
                      Repeatable repeatable);

  // After a kWait: no leader came in time.
  const grpc::Status& WaitFailed() const { return last_status_; }
  // This node stops: SHUTTING_DOWN, or COMMIT_UNKNOWN if MayHaveEffect().
  grpc::Status Stopped() const;
  // Not nullopt: the caller's key has lost the rights that the call began with. The status is
  // COMMIT_UNKNOWN if a change may have been made, else that of Authenticator::LostRights(). Leases
  // that were granted must be taken back. Cheap while no key loses rights.
  std::optional<grpc::Status> LostRights() const;
  // An attempt to change something is under way, or an earlier one may have succeeded.
  bool MayHaveEffect() const { return method_.changes && submitted_.load(); }

  const RpcMethod& method() const { return method_; }
  const Credentials& credentials() const { return facts_.credentials; }
  // Valid from kServe on.
  const Caller& caller() const { return caller_; }
  // queue::Call::caller. Valid from kServe on.
  const std::string& fair_caller() const {
    return caller_.key_id.empty() ? facts_.source : caller_.key_id;
  }
  const std::string& source() const { return facts_.source; }
  std::chrono::system_clock::time_point deadline() const { return deadline_; }
  // Time left until the deadline; 0 after it.
  std::chrono::microseconds Remaining() const;
  // The end of a kWait.
  std::chrono::steady_clock::time_point wait_until() const { return *wait_until_; }
  // The change of leader (Leader::change) that the last step was based on.
  uint64_t seen() const { return seen_; }

  // Writes the audit line, if the method is audited. `subject`: see WriteAudit().
  bool audited() const;
  void Audit(const std::string& subject, const grpc::Status& status) const;

 private:
  static Step Serve() { return {.kind = Step::Kind::kServe, .leader = {}, .status = {}}; }
  static Step Answer(grpc::Status status) {
    return {.kind = Step::Kind::kAnswer, .leader = {}, .status = std::move(status)};
  }
  // Checks the API key. nullopt: admitted, or left to the leader.
  std::optional<Step> Admit();
  Step Dispatch();
  Step Forward(Leader leader);
  // `sent`: the attempt may have had an effect.
  Step NoLeader(const grpc::Status& status, bool sent, Repeatable repeatable);

  const std::shared_ptr<CallRouter> router_;
  const RpcMethod& method_;
  const CallFacts facts_;
  const std::chrono::system_clock::time_point deadline_;
  const uint64_t losses_seen_;  // Authenticator::losses() when the call was made
  Caller caller_;               // set before admitted_, and never changed afterwards
  std::atomic<bool> admitted_{false};
  int hops_ = 0;
  uint64_t seen_ = 0;
  std::chrono::steady_clock::time_point attempt_began_;
  std::optional<std::chrono::steady_clock::time_point> wait_until_;
  grpc::Status last_status_;
  bool uncertain_ = false;  // an earlier attempt may have had an effect
  std::atomic<bool> submitted_{false};
};

}  // namespace dqueue::transport
