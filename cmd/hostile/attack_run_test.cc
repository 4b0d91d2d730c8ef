// An attack that does nothing, or that is refused as wrong, must end the run as a failure.
#include "cmd/hostile/attack_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/caller.h"

namespace dqueue::cmd {
namespace {

using testing::HasSubstr;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST(Attacks, TwoHundredConnections) {
  int grpc = 0;
  int http = 0;
  std::set<std::string> names;
  for (const AttackKind& kind : AllAttacks()) {
    (kind.grpc ? grpc : http) += kind.callers;
    EXPECT_TRUE(names.insert(kind.name).second) << kind.name;
    EXPECT_NE(kind.make(), nullptr);
  }
  EXPECT_EQ(grpc, 200);
  EXPECT_EQ(http, 88);
}

TEST(Attacks, UnknownName) {
  EXPECT_TRUE(CheckAttacks({}).ok());
  EXPECT_TRUE(CheckAttacks({"scans", "sweeps"}).ok());
  EXPECT_THAT(Message(CheckAttacks({"scans", "scan"})),
              HasSubstr("unknown attack \"scan\"; there are get-job-flood full-pages"));
}

TEST(Outcomes, OfCalls) {
  using grpc::StatusCode;
  EXPECT_EQ(OutcomeOf(grpc::Status::OK, "").name, "OK");
  const Outcome busy = OutcomeOf({StatusCode::RESOURCE_EXHAUSTED, "busy"}, "OVERLOADED");
  EXPECT_EQ(busy.name, "OVERLOADED");
  EXPECT_FALSE(busy.illegal);
  EXPECT_EQ(OutcomeOf({StatusCode::CANCELLED, ""}, "").name, "CANCELLED");
  EXPECT_FALSE(OutcomeOf({StatusCode::NOT_FOUND, ""}, "JOB_NOT_FOUND").illegal);
  for (const StatusCode code : {StatusCode::INVALID_ARGUMENT, StatusCode::PERMISSION_DENIED,
                                StatusCode::UNAUTHENTICATED, StatusCode::UNIMPLEMENTED}) {
    EXPECT_TRUE(OutcomeOf({code, "no"}, "").illegal) << code;
  }
  EXPECT_TRUE(OutcomeOf({StatusCode::RESOURCE_EXHAUSTED, ""}, "REQUEST_TOO_LARGE").illegal);
}

TEST(Outcomes, OfHttp) {
  EXPECT_EQ(OutcomeOf(HttpAnswer{.status = 201}).name, "OK");
  EXPECT_EQ(OutcomeOf(HttpAnswer{.error = "timeout"}).name, "no answer: timeout");
  const Outcome busy =
      OutcomeOf(HttpAnswer{.status = 503, .body = R"({"error":"busy","reason":"OVERLOADED"})"});
  EXPECT_EQ(busy.name, "OVERLOADED");
  EXPECT_FALSE(busy.illegal);
  const Outcome wrong = OutcomeOf(HttpAnswer{.status = 400, .body = "what?"});
  EXPECT_EQ(wrong.name, "HTTP 400");
  EXPECT_TRUE(wrong.illegal);
}

TEST(CheckTally, EachAttackMustBeAnsweredAndLegal) {
  AttackOptions options;
  options.attacks = {"scans", "sweeps"};
  Tally tally;
  tally.Add("scans", {"OVERLOADED"});
  EXPECT_EQ(Message(CheckTally(options, tally)), "sweeps: no call was answered");
  tally.Add("sweeps", {"UNAVAILABLE"});
  EXPECT_EQ(Message(CheckTally(options, tally)), "sweeps: no call was answered");
  tally.Add("sweeps", {"OK"});
  EXPECT_TRUE(CheckTally(options, tally).ok());
  tally.Add("scans", {.name = "INVALID_FIELD", .illegal = true, .message = "no such field"});
  tally.Add("scans", {.name = "KEY_MISSING", .illegal = true, .message = "second"});
  EXPECT_EQ(Message(CheckTally(options, tally)),
            "scans: a call was not legal: INVALID_FIELD: no such field");
}

TEST(CheckTally, HttpAttacksNeedAddresses) {
  AttackOptions options;
  options.attacks = {"big-json"};
  EXPECT_TRUE(CheckTally(options, Tally()).ok());
  options.http_addresses = {"127.0.0.1:1"};
  EXPECT_FALSE(CheckTally(options, Tally()).ok());
}

}  // namespace
}  // namespace dqueue::cmd
