// Conversion between queue::Error and a gRPC status with google.rpc details. The way back reads
// only what forwarding needs.
#pragma once

#include <grpcpp/support/status.h>

#include <string>

#include "google/rpc/status.pb.h"
#include "queue/api/error.h"

namespace dqueue::transport {

// Reasons that transport/ gives itself. docs/api.md lists all.
inline constexpr char kReasonNotLeader[] = "NOT_LEADER";
inline constexpr char kReasonNoLeader[] = "NO_LEADER";
inline constexpr char kReasonCommitUnknown[] = "COMMIT_UNKNOWN";
inline constexpr char kReasonShuttingDown[] = "SHUTTING_DOWN";
inline constexpr char kReasonMalformed[] = "MALFORMED_REQUEST";
inline constexpr char kReasonTooLarge[] = "REQUEST_TOO_LARGE";

grpc::Status ToGrpcStatus(const queue::Error& error);
grpc::Status ToGrpcStatus(const google::rpc::Status& status);

// The same error for a request whose only job is in the field `job`: "jobs[0]." becomes "job." in
// the message and in the names of fields.
queue::Error OfOneJob(queue::Error error);
google::rpc::Status OfOneJob(google::rpc::Status status);

// The reason, and the leader of NOT_LEADER, in a status from another node. All are empty in a
// status that gRPC made itself.
struct RemoteError {
  std::string reason;
  std::string leader_id;
  std::string leader_address;
};
RemoteError ReadRemoteError(const grpc::Status& status);

// True: gRPC could not connect, so the request was never sent.
bool NeverSent(const grpc::Status& status);

queue::Error ShuttingDownError();
queue::Error NoLeaderError();
queue::Error CommitUnknownError(const std::string& why);
queue::Error MalformedError(const std::string& why);

}  // namespace dqueue::transport
