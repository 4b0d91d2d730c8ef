#include "client/retry.h"

#include <gtest/gtest.h>

namespace dqueue::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const Clock::time_point kStart{seconds(1000)};

FailedAttempt FromServer(Code code, const std::string& reason, Duration retry_after = {}) {
  FailedAttempt failure;
  failure.status = {code, reason, "said the server"};
  failure.retry_after = retry_after;
  failure.maybe_done = reason == "COMMIT_UNKNOWN";
  return failure;
}

FailedAttempt Transport(bool maybe_done) {
  FailedAttempt failure;
  failure.status = {Code::kUnavailable, "", "connection broken"};
  failure.transport = true;
  failure.maybe_done = maybe_done;
  return failure;
}

RetryState NewState(Effect effect = Effect::kIdempotent, size_t servers = 3) {
  return RetryState(kStart + seconds(15), effect, servers, 7);
}

TEST(RetryState, DecisionTable) {
  struct Row {
    const char* what;
    FailedAttempt failure;
    bool retry;
    bool waits;
    bool avoids;
    bool unknown;
  };
  FailedAttempt hinted = FromServer(Code::kUnavailable, "NOT_LEADER");
  hinted.leader_address = "n2:9090";
  const Row rows[] = {
      {"refused connection", Transport(false), true, false, true, false},
      {"broken connection", Transport(true), true, false, true, true},
      {"not leader, leader named", hinted, true, false, false, false},
      {"not leader, none named", FromServer(Code::kUnavailable, "NOT_LEADER"), true, true, false,
       false},
      {"election", FromServer(Code::kUnavailable, "NO_LEADER"), true, true, true, false},
      {"shutting down", FromServer(Code::kUnavailable, "SHUTTING_DOWN"), true, false, true, false},
      {"commit unknown", FromServer(Code::kUnavailable, "COMMIT_UNKNOWN"), true, true, false, true},
      {"deadline passed at the server", FromServer(Code::kDeadlineExceeded, "DEADLINE_PASSED"),
       true, true, false, false},
      {"overloaded", FromServer(Code::kResourceExhausted, "OVERLOADED", Duration(100)), true, true,
       false, false},
      {"too large, no time named", FromServer(Code::kResourceExhausted, "REQUEST_TOO_LARGE"), false,
       false, false, false},
      {"bad field", FromServer(Code::kInvalidArgument, "INVALID_FIELD"), false, false, false,
       false},
      {"stale", FromServer(Code::kFailedPrecondition, "LEASE_STALE"), false, false, false, false},
      {"not found", FromServer(Code::kNotFound, "JOB_NOT_FOUND"), false, false, false, false},
  };
  for (const Row& row : rows) {
    RetryState state = NewState();
    const Step step = state.OnFailure(row.failure, kStart);
    EXPECT_EQ(step.kind == Step::Kind::kRetry, row.retry) << row.what;
    EXPECT_EQ(step.wait.count() > 0, row.waits) << row.what;
    EXPECT_EQ(step.avoid_server, row.avoids) << row.what;
    EXPECT_EQ(state.unknown(), row.unknown) << row.what;
    if (!row.retry) {
      EXPECT_EQ(step.status.code, row.failure.status.code) << row.what;
      EXPECT_EQ(step.status.reason, row.failure.status.reason) << row.what;
    }
  }
}

TEST(RetryState, TriesAllServersBeforeWaiting) {
  RetryState state = NewState(Effect::kIdempotent, 3);
  for (int round = 0; round < 2; ++round) {
    for (int server = 0; server < 3; ++server) {
      EXPECT_EQ(state.OnFailure(Transport(false), kStart).wait, Duration(0));
    }
    EXPECT_GT(state.OnFailure(Transport(false), kStart).wait, Duration(0));
  }
}

TEST(RetryState, BackOffGrowsToItsLimit) {
  RetryState state = NewState(Effect::kIdempotent, 1);
  const FailedAttempt election = FromServer(Code::kUnavailable, "NO_LEADER");
  Duration most = RetryState::kBackOffMin;
  for (int i = 0; i < 10; ++i) {
    const Duration wait = state.OnFailure(election, kStart).wait;
    EXPECT_GE(wait, most / 2);
    EXPECT_LE(wait, most);
    most = std::min(most * 2, RetryState::kBackOffMax);
  }
}

TEST(RetryState, WaitsAtLeastRetryAfter) {
  RetryState state = NewState();
  const Step step =
      state.OnFailure(FromServer(Code::kResourceExhausted, "DISK_LOW", seconds(1)), kStart);
  EXPECT_GE(step.wait, Duration(1000));
}

TEST(RetryState, OutOfTimeReportsUnknownOutcomes) {
  struct Row {
    Effect effect;
    FailedAttempt first;
    FailedAttempt last;
    Code code;
  };
  const FailedAttempt election = FromServer(Code::kUnavailable, "NO_LEADER");
  const FailedAttempt full = FromServer(Code::kResourceExhausted, "OVERLOADED", Duration(100));
  const Row rows[] = {
      {Effect::kIdempotent, Transport(false), election, Code::kUnavailable},
      {Effect::kIdempotent, Transport(true), election, Code::kUnknownOutcome},
      {Effect::kIdempotent, election, FromServer(Code::kUnavailable, "COMMIT_UNKNOWN"),
       Code::kUnknownOutcome},
      {Effect::kIdempotent, election, full, Code::kResourceExhausted},
      {Effect::kIdempotent, Transport(true), full, Code::kUnknownOutcome},
      {Effect::kNone, Transport(true), election, Code::kUnavailable},
  };
  for (const Row& row : rows) {
    RetryState state = NewState(row.effect, 1);
    EXPECT_EQ(state.OnFailure(row.first, kStart).kind, Step::Kind::kRetry);
    const Step step = state.OnFailure(row.last, kStart + seconds(15));
    EXPECT_EQ(step.kind, Step::Kind::kGiveUp);
    EXPECT_EQ(step.status.code, row.code) << CodeName(step.status.code);
  }
}

TEST(RetryState, WhatHappensOnceIsNotRepeatedAfterAnUnknownOutcome) {
  struct Row {
    const char* what;
    FailedAttempt failure;
    bool retry;
  };
  const Row rows[] = {
      {"refused connection", Transport(false), true},
      {"election", FromServer(Code::kUnavailable, "NO_LEADER"), true},
      {"shutting down", FromServer(Code::kUnavailable, "SHUTTING_DOWN"), true},
      {"overloaded", FromServer(Code::kResourceExhausted, "OVERLOADED", Duration(100)), true},
      {"deadline passed at the server", FromServer(Code::kDeadlineExceeded, "DEADLINE_PASSED"),
       true},
      {"broken connection", Transport(true), false},
      {"commit unknown", FromServer(Code::kUnavailable, "COMMIT_UNKNOWN"), false},
  };
  for (const Row& row : rows) {
    RetryState state = NewState(Effect::kOnce);
    const Step step = state.OnFailure(row.failure, kStart);
    EXPECT_EQ(step.kind == Step::Kind::kRetry, row.retry) << row.what;
    if (!row.retry) {
      EXPECT_EQ(step.status.code, Code::kUnknownOutcome) << row.what;
      EXPECT_EQ(step.status.reason, row.failure.status.reason) << row.what;
      EXPECT_EQ(step.avoid_server, row.failure.transport) << row.what;
    }
  }
}

TEST(RetryState, ADefiniteAnswerReplacesAnUnknownOutcome) {
  RetryState state = NewState();
  EXPECT_EQ(state.OnFailure(Transport(true), kStart).kind, Step::Kind::kRetry);
  const Step step = state.OnFailure(FromServer(Code::kNotFound, "JOB_NOT_FOUND"), kStart);
  EXPECT_EQ(step.kind, Step::Kind::kGiveUp);
  EXPECT_EQ(step.status.code, Code::kNotFound);
}

TEST(RetryState, DoesNotWaitBeyondItsDeadline) {
  RetryState state(kStart + milliseconds(3), Effect::kIdempotent, 1, 7);
  const Step step = state.OnFailure(FromServer(Code::kUnavailable, "NO_LEADER"), kStart);
  EXPECT_EQ(step.kind, Step::Kind::kGiveUp);
  EXPECT_EQ(step.status.reason, "NO_LEADER");
}

}  // namespace
}  // namespace dqueue::client
