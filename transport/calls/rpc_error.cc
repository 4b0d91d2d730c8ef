#include "transport/calls/rpc_error.h"

#include <utility>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "queue/api/error_status.h"

namespace dqueue::transport {
namespace {

queue::Error Unavailable(const char* reason, std::string message) {
  queue::Error error;
  error.code = absl::StatusCode::kUnavailable;
  error.reason = reason;
  error.message = std::move(message);
  error.retry_after = std::chrono::milliseconds(50);
  return error;
}

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
    const auto value = [&info](const char* key) {
      const auto it = info.metadata().find(key);
      return it == info.metadata().end() ? std::string() : it->second;
    };
    result.leader_id = value("leader_id");
    result.leader_address = value("leader_address");
  }
  return result;
}

bool NeverSent(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE &&
         status.error_message().starts_with("failed to connect to all addresses");
}

queue::Error ShuttingDownError() {
  return Unavailable(kReasonShuttingDown, "this node is shutting down; ask another one");
}

queue::Error NoLeaderError() {
  return Unavailable(kReasonNoLeader,
                     "no leader is known: an election is running, or a majority of the nodes "
                     "cannot be reached");
}

queue::Error CommitUnknownError(const std::string& why) {
  return Unavailable(kReasonCommitUnknown,
                     why +
                         "; the change may or may not have happened: repeat it with the same "
                         "ids");
}

queue::Error MalformedError(const std::string& why) {
  queue::Error error;
  error.code = absl::StatusCode::kInvalidArgument;
  error.reason = kReasonMalformed;
  error.message = "the request cannot be decoded: " + why;
  return error;
}

}  // namespace dqueue::transport
