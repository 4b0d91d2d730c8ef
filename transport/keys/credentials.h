// Caller credentials in the metadata of gRPC calls.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>

#include <string>

#include "transport/keys/authenticator.h"

namespace dqueue::transport {

inline constexpr char kAuthorizationKey[] = "authorization";
// The HTTP caller's address, in calls of this node's HTTP server over the in-process channel.
inline constexpr char kSourceKey[] = "dqueue-source";
// The value for kSourceKey. It begins with a secret of this process; values from other processes
// are ignored.
std::string SourceMetadata(const std::string& source);

// Reads the credentials of a call. More than one authorization counts as none, because a proxy may
// have read another one. `with_source`: also fill the source, which costs string copies.
Credentials CredentialsOf(const grpc::ServerContextBase& context, bool with_source);

// Passes the caller's key on with a call made for that caller. Skips text that is not a valid
// header value, because gRPC would abort the process.
void AddAuthorization(const Credentials& credentials, grpc::ClientContext* context);

}  // namespace dqueue::transport
