// gRPC credentials made from a TlsStore, and the names of a caller. TLS 1.2 with ECDHE and AEAD
// ciphers, or better: gRPC's own default.
#pragma once

#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>
#include <vector>

#include "transport/listeners/tls.h"

namespace dqueue::transport {

// For a port. Each handshake uses the store's current set. With `ask_for_certificates` callers may
// present a certificate; one from another CA ends the handshake.
std::shared_ptr<grpc::ServerCredentials> TlsServerCredentials(std::shared_ptr<TlsStore> store,
                                                              bool ask_for_certificates);

// For a channel to the node `member` at any address: its certificate must come from the store's CA
// and have exactly that DNS name. Uses the set that is current now.
std::shared_ptr<grpc::ChannelCredentials> TlsMemberCredentials(const TlsStore& store,
                                                               const std::string& member);

// The DNS names in the caller's verified certificate; empty without a certificate.
std::vector<std::string> CallerNames(const grpc::AuthContext& caller);

}  // namespace dqueue::transport
