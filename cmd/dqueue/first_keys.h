// The API keys that a node makes when it starts: the admin key of --admin-key-file or, on a
// single node without that flag, one trial key of each type.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "cmd/dqueue/node_config.h"
#include "transport/server/key_keeper.h"

namespace dqueue::cmd {

// Reads an admin key from a file. INVALID_ARGUMENT: others than the owner have access to the file,
// or it holds no admin key. NOT_FOUND. UNAVAILABLE: the file cannot be read; errno's text.
absl::StatusOr<std::string> ReadAdminKeyFile(const std::string& path);
// Creates the file with mode 0600 and syncs it. ALREADY_EXISTS. UNAVAILABLE: errno's text.
absl::Status WriteAdminKeyFile(const std::string& path, const std::string& secret);

// Decides which keys to make, for transport::ServerOptions. Errors are those of ReadAdminKeyFile()
// except NOT_FOUND: the file is then written when its key is made.
absl::StatusOr<transport::FirstKeys> PlanFirstKeys(const NodeConfig& config);

}  // namespace dqueue::cmd
