#include "transport/calls/rpc_error.h"

#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "transport/logging/escape.h"

namespace dqueue::transport {
namespace {

TEST(RpcError, CarriesReasonDomainAndMetadata) {
  queue::Error error;
  error.code = absl::StatusCode::kUnavailable;
  error.reason = "NOT_LEADER";
  error.message = "ask n2";
  error.metadata = {{"leader_address", "n2:9090"}, {"leader_id", "n2"}};
  error.retry_after = std::chrono::milliseconds(1500);
  const grpc::Status status = ToGrpcStatus(error);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "ask n2");
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(details.message(), "ask n2");
  bool info_seen = false;
  bool retry_seen = false;
  for (const auto& any : details.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    if (any.UnpackTo(&info)) {
      info_seen = true;
      EXPECT_EQ(info.reason(), "NOT_LEADER");
      EXPECT_EQ(info.domain(), "dqueue.dev");
      EXPECT_EQ(info.metadata().at("leader_address"), "n2:9090");
    } else if (any.UnpackTo(&retry)) {
      retry_seen = true;
      EXPECT_EQ(retry.retry_delay().seconds(), 1);
      EXPECT_EQ(retry.retry_delay().nanos(), 500000000);
    }
  }
  EXPECT_TRUE(info_seen);
  EXPECT_TRUE(retry_seen);
  const RemoteError remote = ReadRemoteError(status);
  EXPECT_EQ(remote.reason, "NOT_LEADER");
  EXPECT_EQ(remote.leader_address, "n2:9090");
}

TEST(RpcError, EveryOwnErrorCanBeReadBack) {
  for (const auto& [error, reason] : {std::pair{ShuttingDownError(), kReasonShuttingDown},
                                      std::pair{NoLeaderError(), kReasonNoLeader},
                                      std::pair{CommitUnknownError("x"), kReasonCommitUnknown}}) {
    const grpc::Status status = ToGrpcStatus(error);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_EQ(ReadRemoteError(status).reason, reason);
    EXPECT_LT(status.error_details().size(), 4096u) << "gRPC allows 8 KiB of trailers";
  }
}

TEST(RpcError, WhatGrpcSaysItselfHasNoReason) {
  for (const grpc::Status& status :
       {grpc::Status(grpc::StatusCode::UNAVAILABLE, "Socket closed"),
        grpc::Status(grpc::StatusCode::UNAVAILABLE, "x", "not a google.rpc.Status \xff\xff")}) {
    EXPECT_EQ(ReadRemoteError(status).reason, "");
    EXPECT_FALSE(NeverSent(status));
  }
  EXPECT_TRUE(NeverSent(grpc::Status(grpc::StatusCode::UNAVAILABLE,
                                     "failed to connect to all addresses; last error: …")));
}

TEST(EscapeText, NoControlCharacters) {
  EXPECT_EQ(EscapeText("plain text"), "plain text");
  EXPECT_EQ(EscapeText("a\nb\x1b[31m\"\\\x7f\xc3\xa4"),
            "a\\x0ab\\x1b[31m\\x22\\x5c\\x7f\\xc3\\xa4");
  EXPECT_EQ(EscapeText("abcdef", 3), "abc...");
  EXPECT_EQ(EscapeText("abc", 3), "abc");
  // The limit is that of the escaped text.
  EXPECT_EQ(EscapeText("a\n\n", 8), "a\\x0a...");
  EXPECT_EQ(EscapeText("a\n\n", 9), "a\\x0a\\x0a");
}

}  // namespace
}  // namespace dqueue::transport
