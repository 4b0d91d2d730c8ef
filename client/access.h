// Credentials of connections and calls: plain text or TLS, and the API key.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/security/credentials.h>

#include <memory>
#include <string>

#include "client/client.h"

namespace dqueue::client {

struct Access {
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  bool tls = false;
  std::string server_name;    // name required in certificates; empty: the host of the address
  std::string authorization;  // metadata of each call; empty: none
  // The texts of the files, for ProbeConnection().
  std::string roots_pem, cert_pem, key_pem;
  Status problem;  // not OK: no call is possible

  // Reads the files that the options name. INVALID_ARGUMENT in `problem`: the options contradict
  // each other, or a file cannot be used.
  static Access From(const ClientOptions& options);

  // Adds the API key to a call. Must be called for every call.
  void Authorize(grpc::ClientContext* context) const {
    if (!authorization.empty()) context->AddMetadata("authorization", authorization);
  }
};

}  // namespace dqueue::client
