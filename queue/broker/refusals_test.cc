#include "queue/api/error_status.h"

#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "queue/api/validate.h"
#include "queue/broker/refusals.h"

namespace dqueue::queue {
namespace {

TEST(ErrorStatus, AlwaysCarriesReasonAndDomain) {
  const google::rpc::Status status = ToRpcStatus(JobNotFoundError("j1"));
  EXPECT_EQ(status.code(), 5);
  EXPECT_NE(status.message().find("j1"), std::string::npos);
  ASSERT_EQ(status.details_size(), 1);
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(status.details(0).UnpackTo(&info));
  EXPECT_EQ(info.reason(), "JOB_NOT_FOUND");
  EXPECT_EQ(info.domain(), "dqueue.dev");
  EXPECT_EQ(info.metadata().at("id"), "j1");
}

TEST(ErrorStatus, NamesTheFieldInABadRequest) {
  const google::rpc::Status status =
      ToRpcStatus(InvalidField("jobs[2].priority", "256", "0 to 255"));
  EXPECT_EQ(status.code(), 3);
  ASSERT_EQ(status.details_size(), 2);
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(status.details(0).UnpackTo(&info));
  EXPECT_EQ(info.reason(), "INVALID_FIELD");
  EXPECT_EQ(info.metadata().at("field"), "jobs[2].priority");
  EXPECT_EQ(info.metadata().at("value"), "256");
  EXPECT_EQ(info.metadata().at("limit"), "0 to 255");
  google::rpc::BadRequest bad;
  ASSERT_TRUE(status.details(1).UnpackTo(&bad));
  ASSERT_EQ(bad.field_violations_size(), 1);
  EXPECT_EQ(bad.field_violations(0).field(), "jobs[2].priority");
  EXPECT_EQ(bad.field_violations(0).description(), "jobs[2].priority must be 0 to 255; it is 256");
}

TEST(ErrorStatus, NamesTheTimeToWait) {
  Error error = OverloadedError("calls", 7);
  error.retry_after = std::chrono::milliseconds(1250);
  const google::rpc::Status status = ToRpcStatus(error);
  EXPECT_EQ(status.code(), 8);
  ASSERT_EQ(status.details_size(), 2);
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(status.details(1).UnpackTo(&retry));
  EXPECT_EQ(retry.retry_delay().seconds(), 1);
  EXPECT_EQ(retry.retry_delay().nanos(), 250'000'000);
}

TEST(ErrorStatus, NotServingNamesTheLeader) {
  const Error known =
      NotServingError({.leader_id = "n2", .leader_address = "10.0.0.2:7001", .term = 12});
  EXPECT_EQ(known.code, absl::StatusCode::kUnavailable);
  EXPECT_EQ(known.reason, "NOT_LEADER");
  EXPECT_EQ(known.metadata.at("leader_id"), "n2");
  EXPECT_EQ(known.metadata.at("leader_address"), "10.0.0.2:7001");
  EXPECT_EQ(known.metadata.at("term"), "12");
  const Error unknown = NotServingError({});
  EXPECT_EQ(unknown.code, absl::StatusCode::kUnavailable);
  EXPECT_EQ(unknown.reason, "NO_LEADER");
  EXPECT_EQ(unknown.retry_after, std::chrono::milliseconds(100));
}

}  // namespace
}  // namespace dqueue::queue
