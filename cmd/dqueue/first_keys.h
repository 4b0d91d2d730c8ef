// The keys that a node makes when it starts: three for trying things out on a node alone, or the
// admin key of --admin-key-file.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "cmd/dqueue/node_config.h"
#include "transport/keys/key_keeper.h"

namespace dqueue::cmd {

// A file with the text of a key: read by its owner alone. INVALID_ARGUMENT: it can be read by
// others, or holds no admin key; NOT_FOUND; UNAVAILABLE: errno's text.
absl::StatusOr<std::string> ReadAdminKeyFile(const std::string& path);
// Makes the file, for its owner alone. ALREADY_EXISTS; UNAVAILABLE: errno's text.
absl::Status WriteAdminKeyFile(const std::string& path, const std::string& secret);

// Errors as of ReadAdminKeyFile, but NOT_FOUND: such a file will be made.
absl::StatusOr<transport::FirstKeys> PlanFirstKeys(const NodeConfig& config);

}  // namespace dqueue::cmd
