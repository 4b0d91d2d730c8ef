#include "transport/calls/rpc_error.h"

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "queue/api/error_status.h"

namespace dqueue::transport {
namespace {

constexpr Duration kRetryAfter = std::chrono::milliseconds(50);

}  // namespace

grpc::Status ToGrpcStatus(const queue::Error& error) {
  const google::rpc::Status status = queue::ToRpcStatus(error);
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), status.message(),
                      status.SerializeAsString());
}

RemoteError ReadRemoteError(const grpc::Status& status) {
  RemoteError result;
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return result;
  for (const google::protobuf::Any& any : details.details()) {
    google::rpc::ErrorInfo info;
    if (!any.UnpackTo(&info)) continue;
    result.reason = info.reason();
    const auto it = info.metadata().find("leader_address");
    if (it != info.metadata().end()) result.leader_address = it->second;
  }
  return result;
}

bool NeverSent(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE &&
         status.error_message().starts_with("failed to connect to all addresses");
}

queue::Error ShuttingDownError() {
  queue::Error error;
  error.code = absl::StatusCode::kUnavailable;
  error.reason = kReasonShuttingDown;
  error.message = "this node is shutting down; ask another one";
  error.retry_after = kRetryAfter;
  return error;
}

queue::Error NoLeaderError() {
  queue::Error error;
  error.code = absl::StatusCode::kUnavailable;
  error.reason = kReasonNoLeader;
  error.message =
      "no leader is known: an election is running, or a majority of the nodes cannot be reached";
  error.retry_after = kRetryAfter;
  return error;
}

queue::Error CommitUnknownError(const std::string& why) {
  queue::Error error;
  error.code = absl::StatusCode::kUnavailable;
  error.reason = kReasonCommitUnknown;
  error.message = why + "; the change may or may not have happened: repeat it with the same ids";
  error.retry_after = kRetryAfter;
  return error;
}

queue::Error MalformedError(const std::string& why) {
  queue::Error error;
  error.code = absl::StatusCode::kInvalidArgument;
  error.reason = kReasonMalformed;
  error.message = "the request cannot be decoded: " + why;
  return error;
}

}  // namespace dqueue::transport
