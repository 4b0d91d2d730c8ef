// The decisions of a call, without a connection: a router over a FakeNode, and events by hand.
#include "transport/calls/client_call.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "transport/keys/secret_key.h"
#include "transport/testing/fake_node.h"

namespace dqueue::transport {
namespace {

using namespace std::chrono_literals;
using std::chrono::system_clock;
using Kind = ClientCall::Step::Kind;

constexpr char kOther[] = "10.0.0.2:1";

queue::Error NodeError(const std::string& reason, const std::string& leader_address = "") {
  queue::Error error;
  error.code = absl::StatusCode::kUnavailable;
  error.reason = reason;
  error.message = "test";
  if (!leader_address.empty()) {
    error.metadata = {{"leader_id", "b"}, {"leader_address", leader_address}};
  }
  return error;
}

const auto kRepeatable = [] { return true; };
const auto kOnce = [] { return false; };

// This node is "a".
class ClientCallTest : public testing::Test {
 protected:
  void Start(bool with_keys = false) {
    auth_ = std::make_shared<Authenticator>(with_keys);
    router_ = std::make_shared<CallRouter>(&node_, "a", auth_, [](const Leader&) {});
    router_->Start();
  }
  void TearDown() override { router_->Stop(); }

  ClientCall Call(const RpcMethod& method = kEnqueueJobs, CallFacts facts = Facts(false)) {
    return ClientCall(router_, method, std::move(facts));
  }
  static CallFacts Facts(bool forwarded = false) {
    return {.credentials = {.authorization = "", .source = "10.0.0.9"},
            .forwarded = forwarded,
            .source = "10.0.0.9",
            .deadline = system_clock::now() + 20s,
            .refused = std::nullopt};
  }
  static std::string Reason(const ClientCall::Step& step) {
    EXPECT_EQ(step.kind, Kind::kAnswer);
    return ReadRemoteError(step.status).reason;
  }

  FakeNode node_;
  std::shared_ptr<Authenticator> auth_;
  std::shared_ptr<CallRouter> router_;
};

TEST_F(ClientCallTest, BeginGoesToTheLeaderOrStaysHere) {
  struct Row {
    const char* leader;
    const char* address;
    bool forwarded;
    Kind kind;
  };
  const Row rows[] = {
      {"", "", false, Kind::kServe},  // the node itself knows what to answer
      {"a", "10.0.0.1:1", false, Kind::kServe},
      {"b", kOther, false, Kind::kForward},
      {"b", "", false, Kind::kServe},
      {"b", kOther, true, Kind::kServe},  // never forwarded twice
      {"", "", true, Kind::kServe},
  };
  Start();
  for (const Row& row : rows) {
    node_.SetLeader(row.leader, row.address);
    const ClientCall::Step step = Call(kEnqueueJobs, Facts(row.forwarded)).Begin();
    EXPECT_EQ(step.kind, row.kind) << row.leader << " " << row.forwarded;
    if (step.kind == Kind::kForward) {
      EXPECT_EQ(step.leader.address, kOther);
    }
  }
}

TEST_F(ClientCallTest, BeginRefusesInAFixedOrder) {
  Start();
  CallFacts refused = Facts();
  refused.refused = NodeError("NOT_A_PEER");
  EXPECT_EQ(Reason(Call(kEnqueueJobs, refused).Begin(NodeError("MALFORMED_REQUEST"))),
            "NOT_A_PEER");
  EXPECT_EQ(Reason(Call().Begin(NodeError("MALFORMED_REQUEST"))), "MALFORMED_REQUEST");
  router_->Stop();
  EXPECT_EQ(Reason(Call().Begin(NodeError("MALFORMED_REQUEST"))), "MALFORMED_REQUEST");
  EXPECT_EQ(Reason(Call().Begin()), "SHUTTING_DOWN");
}

TEST_F(ClientCallTest, AKeyThatThisNodeLacksIsTheLeadersToJudge) {
  Start(/*with_keys=*/true);
  CallFacts facts = Facts();
  facts.credentials.authorization = "Bearer " + MakeSecretKey(v1::KEY_TYPE_CLIENT).secret;
  node_.SetLeader("b", kOther);
  EXPECT_EQ(Call(kEnqueueJobs, facts).Begin().kind, Kind::kForward);
  node_.SetLeader("", "");
  ClientCall waiting = Call(kEnqueueJobs, facts);
  EXPECT_EQ(waiting.Begin().kind, Kind::kWait);
  EXPECT_FALSE(waiting.MayHaveEffect());
  node_.SetLeader("a", "10.0.0.1:1");
  EXPECT_EQ(Reason(waiting.Retry()), "KEY_INVALID") << "now this node is the leader";
  EXPECT_EQ(Reason(Call(kEnqueueJobs, facts).Begin()), "KEY_INVALID");
  facts.forwarded = true;
  node_.SetLeader("b", kOther);
  EXPECT_EQ(Reason(Call(kEnqueueJobs, facts).Begin()), "KEY_INVALID") << "by a member";
  EXPECT_EQ(Reason(Call().Begin()), "KEY_MISSING");
}

TEST_F(ClientCallTest, AnAdmittedCallKnowsItsCaller) {
  Start(/*with_keys=*/true);
  const SecretKey key = MakeSecretKey(v1::KEY_TYPE_CLIENT);
  queue::KeyRecord record;
  record.id = key.id;
  record.digest = DigestOfKey(key.secret);
  record.owner_id = "team";
  record.type = v1::KEY_TYPE_CLIENT;
  record.scopes = queue::DefaultScopes(record.type);
  auth_->SetKeys(queue::KeyTable({record}));
  CallFacts facts = Facts();
  facts.credentials.authorization = "Bearer " + key.secret;
  ClientCall call = Call(kEnqueueJobs, facts);
  EXPECT_EQ(call.Begin().kind, Kind::kServe);
  EXPECT_EQ(call.caller().owner_id, "team");
  EXPECT_EQ(Reason(Call(kCreateKey, facts).Begin()), "SCOPE_MISSING");
}

TEST_F(ClientCallTest, HintsAreFollowedUpToALimit) {
  Start();
  ClientCall call = Call();
  EXPECT_EQ(call.Begin().kind, Kind::kServe);
  ClientCall::Step step = call.OnNodeError(NodeError("NOT_LEADER", "10.0.0.2:1"), kOnce);
  for (int hop = 1; hop < kForwardHopsMax; ++hop) {
    ASSERT_EQ(step.kind, Kind::kForward);
    const std::string next = "10.0.0." + std::to_string(hop + 2) + ":1";
    step =
        call.OnForwardError(step.leader, ToGrpcStatus(NodeError("NOT_LEADER", next)), false, kOnce);
  }
  ASSERT_EQ(step.kind, Kind::kForward);
  const Leader last = step.leader;
  step =
      call.OnForwardError(last, ToGrpcStatus(NodeError("NOT_LEADER", "10.0.0.9:1")), false, kOnce);
  EXPECT_EQ(step.kind, Kind::kWait);
  EXPECT_EQ(ReadRemoteError(call.WaitFailed()).reason, "NO_LEADER");
  EXPECT_EQ(call.OnNodeError(NodeError("NOT_LEADER", kOther), kOnce).kind, Kind::kForward)
      << "a wait begins a new series";
}

TEST_F(ClientCallTest, ErrorsOfTheNode) {
  struct Row {
    const char* reason;
    bool forwarded;
    bool repeatable;
    Kind kind;
    bool may_have_effect;
  };
  const Row rows[] = {
      {"JOB_NOT_FOUND", false, false, Kind::kAnswer, true},
      {"NOT_LEADER", false, false, Kind::kWait, false},  // without an address
      {"NO_LEADER", false, false, Kind::kWait, false},
      {"SHUTTING_DOWN", false, false, Kind::kWait, false},
      {"COMMIT_UNKNOWN", false, true, Kind::kWait, true},
      {"COMMIT_UNKNOWN", false, false, Kind::kAnswer, true},
      {"NO_LEADER", true, false, Kind::kAnswer, true},
      {"NOT_LEADER", true, true, Kind::kAnswer, true},
      {"COMMIT_UNKNOWN", true, true, Kind::kAnswer, true},
  };
  Start();
  for (const Row& row : rows) {
    ClientCall call = Call(kEnqueueJobs, Facts(row.forwarded));
    ASSERT_EQ(call.Begin().kind, Kind::kServe);
    const ClientCall::Step step =
        call.OnNodeError(NodeError(row.reason), [&] { return row.repeatable; });
    EXPECT_EQ(step.kind, row.kind) << row.reason;
    EXPECT_EQ(call.MayHaveEffect(), row.may_have_effect) << row.reason;
    if (row.kind == Kind::kAnswer) {
      EXPECT_EQ(Reason(step), row.reason);
    }
  }
}

TEST_F(ClientCallTest, ErrorsOfAForward) {
  const auto by_grpc = [](grpc::StatusCode code, const std::string& text) {
    return grpc::Status(code, text);
  };
  const grpc::Status broken = by_grpc(grpc::StatusCode::UNAVAILABLE, "Connection reset by peer");
  const grpc::Status unsent =
      by_grpc(grpc::StatusCode::UNAVAILABLE, "failed to connect to all addresses");
  const grpc::Status late = by_grpc(grpc::StatusCode::DEADLINE_EXCEEDED, "Deadline Exceeded");
  struct Row {
    grpc::Status status;
    bool abandoned;
    bool repeatable;
    Kind kind;
    const char* reason;  // of the answer, or if no leader comes
  };
  const Row rows[] = {
      {ToGrpcStatus(NodeError("JOB_NOT_FOUND")), false, true, Kind::kAnswer, "JOB_NOT_FOUND"},
      {ToGrpcStatus(NodeError("NOT_LEADER", "10.0.0.3:1")), false, false, Kind::kForward, ""},
      {ToGrpcStatus(NodeError("NOT_LEADER", kOther)), false, false, Kind::kWait, "NO_LEADER"},
      {ToGrpcStatus(NodeError("NO_LEADER")), false, false, Kind::kWait, "NO_LEADER"},
      {ToGrpcStatus(NodeError("SHUTTING_DOWN")), false, false, Kind::kWait, "NO_LEADER"},
      {ToGrpcStatus(NodeError("COMMIT_UNKNOWN")), false, true, Kind::kWait, "COMMIT_UNKNOWN"},
      {ToGrpcStatus(NodeError("COMMIT_UNKNOWN")), false, false, Kind::kAnswer, "COMMIT_UNKNOWN"},
      {unsent, false, false, Kind::kWait, "NO_LEADER"},
      {broken, false, true, Kind::kWait, "COMMIT_UNKNOWN"},
      {broken, false, false, Kind::kAnswer, "COMMIT_UNKNOWN"},
      {late, false, true, Kind::kAnswer, ""},
      {late, true, true, Kind::kWait, "COMMIT_UNKNOWN"},
  };
  Start();
  node_.SetLeader("b", kOther);
  for (size_t i = 0; i < std::size(rows); ++i) {
    const Row& row = rows[i];
    ClientCall call = Call();
    const ClientCall::Step sent = call.Begin();
    ASSERT_EQ(sent.kind, Kind::kForward);
    const ClientCall::Step step =
        call.OnForwardError(sent.leader, row.status, row.abandoned, [&] { return row.repeatable; });
    EXPECT_EQ(step.kind, row.kind) << i;
    if (row.kind == Kind::kAnswer) {
      EXPECT_EQ(Reason(step), row.reason) << i;
    }
    if (row.kind == Kind::kWait) {
      EXPECT_EQ(ReadRemoteError(call.WaitFailed()).reason, row.reason) << i;
    }
  }
}

TEST_F(ClientCallTest, AReadIsRepeatedWhateverHappenedToIt) {
  Start();
  ClientCall call = Call(kGetJob);
  ASSERT_EQ(call.Begin().kind, Kind::kServe);
  EXPECT_FALSE(call.MayHaveEffect());
  EXPECT_EQ(call.OnNodeError(NodeError("COMMIT_UNKNOWN"), kOnce).kind, Kind::kWait);
  EXPECT_EQ(ReadRemoteError(call.WaitFailed()).reason, "NO_LEADER");
  EXPECT_EQ(ReadRemoteError(call.Stopped()).reason, "SHUTTING_DOWN");
}

TEST_F(ClientCallTest, UncertaintyIsNotForgotten) {
  Start();
  ClientCall call = Call();
  ASSERT_EQ(call.Begin().kind, Kind::kServe);
  EXPECT_EQ(ReadRemoteError(call.Stopped()).reason, "COMMIT_UNKNOWN") << "under way";
  ASSERT_EQ(call.OnNodeError(NodeError("COMMIT_UNKNOWN"), kRepeatable).kind, Kind::kWait);
  ASSERT_EQ(call.Retry().kind, Kind::kServe);
  ASSERT_EQ(call.OnNodeError(NodeError("NO_LEADER"), kRepeatable).kind, Kind::kWait);
  EXPECT_EQ(ReadRemoteError(call.WaitFailed()).reason, "COMMIT_UNKNOWN");
  EXPECT_TRUE(call.MayHaveEffect());
}

TEST_F(ClientCallTest, ANodeThatWasElectedWaitsForItself) {
  Start();
  node_.SetLeader("a", "10.0.0.1:1");
  ClientCall here = Call();
  ASSERT_EQ(here.Begin().kind, Kind::kServe);
  queue::Error not_yet = NodeError("NOT_LEADER", "10.0.0.1:1");
  not_yet.metadata["leader_id"] = "a";
  EXPECT_EQ(here.OnNodeError(not_yet, kOnce).kind, Kind::kWait) << "it does not call itself";
  EXPECT_EQ(here.Retry().kind, Kind::kServe);

  node_.SetLeader("b", kOther);
  ClientCall forwarded = Call();
  const ClientCall::Step sent = forwarded.Begin();
  ASSERT_EQ(sent.kind, Kind::kForward);
  const ClientCall::Step step =
      forwarded.OnForwardError(sent.leader, ToGrpcStatus(not_yet), false, kOnce);
  EXPECT_EQ(step.kind, Kind::kWait) << "the other node knows it before this one does";
}

TEST_F(ClientCallTest, EveryOutageHasItsOwnWait) {
  Start();
  ClientCall call = Call(kLeaseJobs);
  ASSERT_EQ(call.Begin().kind, Kind::kServe);
  ASSERT_EQ(call.OnNodeError(NodeError("NO_LEADER"), kRepeatable).kind, Kind::kWait);
  const auto first = call.wait_until();
  ASSERT_EQ(call.Retry().kind, Kind::kServe);
  ASSERT_EQ(call.OnNodeError(NodeError("NO_LEADER"), kRepeatable).kind, Kind::kWait);
  EXPECT_EQ(call.wait_until(), first) << "the same outage";
  ASSERT_EQ(call.Retry().kind, Kind::kServe);
  std::this_thread::sleep_for(kServedMin + 1ms);  // a long poll waits at the new leader
  const auto before = std::chrono::steady_clock::now();
  ASSERT_EQ(call.OnNodeError(NodeError("NO_LEADER"), kRepeatable).kind, Kind::kWait);
  EXPECT_GE(call.wait_until(), before + kLeaderWaitMax) << "another outage";
}

class LostRightsTest : public ClientCallTest {
 protected:
  void SetUp() override {
    Start(/*with_keys=*/true);
    record_.id = key_.id;
    record_.digest = DigestOfKey(key_.secret);
    record_.owner_id = "team";
    record_.type = v1::KEY_TYPE_ADMIN;
    record_.scopes = queue::DefaultScopes(record_.type);
    auth_->SetKeys(queue::KeyTable({record_}));
  }
  ClientCall Begun(const RpcMethod& method) {
    CallFacts facts = Facts();
    facts.credentials.authorization = "Bearer " + key_.secret;
    return Call(method, facts);
  }
  void Revoke() {
    record_.revoke_time_ms = 5;
    auth_->SetKeys(queue::KeyTable({record_}));
  }
  static std::string Lost(const ClientCall& call) {
    const auto status = call.LostRights();
    return status ? ReadRemoteError(*status).reason : "";
  }

  const SecretKey key_ = MakeSecretKey(v1::KEY_TYPE_ADMIN);
  queue::KeyRecord record_;
};

TEST_F(LostRightsTest, TheReasonDependsOnWhatTheCallMayHaveDone) {
  struct Row {
    const RpcMethod* method;
    bool begun;
    const char* reason;
  };
  const Row rows[] = {
      {&kGetJob, true, "KEY_REVOKED"},
      {&kEnqueueJobs, true, "COMMIT_UNKNOWN"},
      {&kEnqueueJobs, false, "KEY_REVOKED"},
      {&kLeaseJobs, true, "KEY_REVOKED"},  // its leases are taken back
  };
  for (const Row& row : rows) {
    record_.revoke_time_ms = 0;
    auth_->SetKeys(queue::KeyTable({record_}));
    ClientCall call = Begun(*row.method);
    if (row.begun) {
      ASSERT_EQ(call.Begin().kind, Kind::kServe);
    }
    EXPECT_EQ(Lost(call), "");
    Revoke();
    EXPECT_EQ(Lost(call), row.reason) << row.method->path;
  }
}

TEST_F(LostRightsTest, OnlyTheCallsOfTheKeyEnd) {
  const SecretKey other = MakeSecretKey(v1::KEY_TYPE_CLIENT);
  queue::KeyRecord of_another = record_;
  of_another.id = other.id;
  of_another.digest = DigestOfKey(other.secret);
  auth_->SetKeys(queue::KeyTable({record_, of_another}));
  ClientCall call = Begun(kLeaseJobs);
  ASSERT_EQ(call.Begin().kind, Kind::kServe);
  of_another.revoke_time_ms = 5;
  ASSERT_TRUE(auth_->SetKeys(queue::KeyTable({record_, of_another})));
  EXPECT_EQ(Lost(call), "");
}

TEST_F(ClientCallTest, DeadlinesAndWaitsAreBounded) {
  Start();
  CallFacts endless = Facts();
  endless.deadline = system_clock::time_point::max();
  const auto now = system_clock::now();
  const ClientCall get = Call(kGetJob, endless);
  EXPECT_GE(get.deadline(), now + kCallTimeMax);
  EXPECT_LE(get.deadline(), now + kCallTimeMax + 10s);
  EXPECT_GE(Call(kLeaseJobs, endless).deadline(), now + kCallTimeMax + kLeaseJobs.wait_max);

  const auto wait_of = [&](std::chrono::milliseconds left) {
    CallFacts facts = Facts();
    facts.deadline = system_clock::now() + left;
    ClientCall call = Call(kEnqueueJobs, facts);
    EXPECT_EQ(call.Begin().kind, Kind::kServe);
    const auto before = std::chrono::steady_clock::now();
    EXPECT_EQ(call.OnNodeError(NodeError("NO_LEADER"), kOnce).kind, Kind::kWait);
    const auto until = call.wait_until();
    EXPECT_EQ(call.OnNodeError(NodeError("NO_LEADER"), kOnce).kind, Kind::kWait);
    EXPECT_EQ(call.wait_until(), until) << "waits of one call end together";
    return until - before;
  };
  EXPECT_GE(wait_of(60s), kLeaderWaitMax);
  EXPECT_LE(wait_of(1s), 900ms) << "time for the answer is left";
  // The two clocks do not run at exactly the same rate.
  EXPECT_LE(wait_of(40ms), 30ms + 100us);
  CallFacts late = Facts();
  late.deadline = system_clock::now() - 1s;
  EXPECT_EQ(Reason(Call(kEnqueueJobs, late).Begin()), "DEADLINE_PASSED");
}

}  // namespace
}  // namespace dqueue::transport
