// gRPC's credentials from a TlsStore, and who is at the other end. TLS 1.2 with ECDHE and AEAD
// ciphers or better, which is gRPC's own default.
#pragma once

#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>
#include <vector>

#include "transport/listeners/tls.h"

namespace dqueue::transport {

// Of a port. Each handshake uses the store's current set. With `ask_for_certificates` callers may
// show a certificate; one that does not come from the store's CA ends the handshake.
std::shared_ptr<grpc::ServerCredentials> TlsServerCredentials(std::shared_ptr<TlsStore> store,
                                                              bool ask_for_certificates);

// Of a channel to the node called `member`, whatever its address: its certificate must come from
// the store's CA and have exactly that DNS name. Made of the set that is current now.
std::shared_ptr<grpc::ChannelCredentials> TlsMemberCredentials(const TlsStore& store,
                                                               const std::string& member);

// The DNS names in the caller's certificate, which has been verified; none if it showed none.
std::vector<std::string> CallerNames(const grpc::AuthContext& caller);

}  // namespace dqueue::transport
