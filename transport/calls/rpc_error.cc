#include "transport/calls/rpc_error.h"

#include <string_view>
#include <utility>

#include "google/rpc/error_details.pb.h"
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

void RenameJob(std::string* text) {
  constexpr std::string_view kInBatch = "jobs[0].";
  const size_t at = text->find(kInBatch);
  if (at != std::string::npos) text->replace(at, kInBatch.size(), "job.");
}

}  // namespace

queue::Error OfOneJob(queue::Error error) {
  RenameJob(&error.message);
  if (const auto field = error.metadata.find("field"); field != error.metadata.end()) {
    RenameJob(&field->second);
  }
  return error;
}

google::rpc::Status OfOneJob(google::rpc::Status status) {
  RenameJob(status.mutable_message());
  for (google::protobuf::Any& any : *status.mutable_details()) {
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest bad_request;
    if (any.UnpackTo(&info)) {
      auto& metadata = *info.mutable_metadata();
      if (const auto field = metadata.find("field"); field != metadata.end()) {
        RenameJob(&field->second);
      }
      any.PackFrom(info);
    } else if (any.UnpackTo(&bad_request)) {
      for (auto& violation : *bad_request.mutable_field_violations()) {
        RenameJob(violation.mutable_field());
        RenameJob(violation.mutable_description());
      }
      any.PackFrom(bad_request);
    }
  }
  return status;
}

grpc::Status ToGrpcStatus(const queue::Error& error) {
  return ToGrpcStatus(queue::ToRpcStatus(error));
}

grpc::Status ToGrpcStatus(const google::rpc::Status& status) {
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
