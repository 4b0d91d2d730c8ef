// The flags of all programs that talk to a cluster: which servers, by which certificates, with
// which key.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/client.h"
#include "cmd/flags/flags.h"

namespace dqueue::cmd {

struct ConnectionFlags {
  std::vector<std::string> servers = client::ClientOptions().servers;
  bool tls = false;
  std::string ca{};
  std::string cert{};
  std::string key{};
  std::string server_name{};
  std::string api_key_file{};
  std::string api_key{};
};

// `help` and `variable`: of --server.
void AddConnectionFlags(ConnectionFlags* flags, const std::string& help, FlagTable* table,
                        const std::string& variable = "DQUEUE_ENDPOINT");

// Fills servers, tls and api_key; reads the file of the key. INVALID_ARGUMENT: the flag, its value
// and what is wrong. To be called before anything else of gRPC's: from then on its own log, which
// repeats what callers are told, is off unless GRPC_VERBOSITY says otherwise.
absl::Status Connect(const ConnectionFlags& flags, client::ClientOptions* options);

}  // namespace dqueue::cmd
