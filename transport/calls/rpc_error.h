// queue::Error as a gRPC status with google.rpc details, and back as far as forwarding needs it.
#pragma once

#include <grpcpp/support/status.h>

#include <string>

#include "queue/api/error.h"

namespace dqueue::transport {

// What this folder says itself. The list of reasons is in docs/api.md.
inline constexpr char kReasonNotLeader[] = "NOT_LEADER";
inline constexpr char kReasonNoLeader[] = "NO_LEADER";
inline constexpr char kReasonCommitUnknown[] = "COMMIT_UNKNOWN";
inline constexpr char kReasonShuttingDown[] = "SHUTTING_DOWN";
inline constexpr char kReasonMalformed[] = "MALFORMED_REQUEST";
inline constexpr char kReasonTooLarge[] = "REQUEST_TOO_LARGE";

grpc::Status ToGrpcStatus(const queue::Error& error);

// The reason and the leader's address (of NOT_LEADER) in a status from another node; both empty if
// it did not come from a dqueue server, but from gRPC itself.
struct RemoteError {
  std::string reason;
  std::string leader_address;
};
RemoteError ReadRemoteError(const grpc::Status& status);

// True if gRPC says that the request never left: no connection could be made.
bool NeverSent(const grpc::Status& status);

queue::Error ShuttingDownError();
queue::Error NoLeaderError();
queue::Error CommitUnknownError(const std::string& why);
queue::Error MalformedError(const std::string& why);

}  // namespace dqueue::transport
