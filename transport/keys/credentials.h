// What came with a gRPC call about who makes it.
#pragma once

#include <grpcpp/client_context.h>
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
// The source costs some texts; without `with_source` it stays empty.
Credentials CredentialsOf(const grpc::ServerContextBase& context, bool with_source);

// The key goes on with a call that is made for its owner. Without effect on what is no header
// value, over which gRPC would end the process.
void AddAuthorization(const Credentials& credentials, grpc::ClientContext* context);

}  // namespace dqueue::transport
