// How servers are reached: plain or by TLS, and with which key of the API.
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
  std::string server_name;    // that certificates must have; empty: the host of the address
  std::string authorization;  // of each call; empty: none
  Status problem;             // why nothing can be called at all

  // Reads the files that the options name. Fails with INVALID_ARGUMENT in `problem`.
  static Access From(const ClientOptions& options);

  // To be called with each call.
  void Authorize(grpc::ClientContext* context) const {
    if (!authorization.empty()) context->AddMetadata("authorization", authorization);
  }
  // What gRPC says of a failed connection, with what it most likely means.
  std::string Explained(const std::string& message) const;
};

}  // namespace dqueue::client
