// The flags of all programs that call a cluster: servers, TLS and API key. May include client/.
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

// Adds a row for each field, with its variables. `help` is that of --server.
void AddConnectionFlags(ConnectionFlags* flags, const std::string& help, FlagTable* table);

// Checks the flags, reads the API key file and fills servers, tls and api_key of `options`.
// INVALID_ARGUMENT names the flag, its value and the reason. Call it before any gRPC function: it
// turns gRPC's own log off, which repeats returned errors. GRPC_VERBOSITY overrides that.
absl::Status Connect(const ConnectionFlags& flags, client::ClientOptions* options);

// Names the flags to change after a call that failed for this reason, for example "; --server has
// the addresses of the nodes". Empty: none of these flags helps.
std::string Advice(const client::Status& status);

// Reads an API key from a file that only its owner can access. INVALID_ARGUMENT names the flag, the
// file and the reason.
absl::Status ReadKeyFile(const std::string& flag, const std::string& path, std::string* key);

}  // namespace dqueue::cmd
