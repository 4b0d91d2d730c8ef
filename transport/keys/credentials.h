// What came with a gRPC call about who makes it.
#pragma once

#include <grpcpp/server_context.h>

#include <string>

#include "transport/keys/authenticator.h"

namespace dqueue::transport {

inline constexpr char kAuthorizationKey[] = "authorization";
// From the node's own HTTP side, over the in-process channel: whom it speaks for.
inline constexpr char kSourceKey[] = "dqueue-source";
// Its value. It begins with something that only this process knows, so it is believed from nobody
// else.
std::string SourceMetadata(const std::string& source);

// More than one authorization is none: another program on the way might have read the other one.
Credentials CredentialsOf(const grpc::ServerContextBase& context);

}  // namespace dqueue::transport
