// The environment variables of all programs. Their names begin with DQUEUE_.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace dqueue::cmd {

// The environment variables that begin with "DQUEUE_", by name.
using Environment = std::map<std::string, std::string>;
Environment ProcessEnvironment();

// The variable of a flag: "data-dir" gives "DQUEUE_DATA_DIR".
std::string VariableOf(std::string_view flag);

// The variables of all flags, older names included, and those that dqueue-worker sets for its
// commands and that scripts and tests use. A test compares the list with the help of each program.
const std::vector<std::string>& KnownVariables();

// Kubernetes sets such a variable for a service whose name is "dqueue" or begins with "dqueue-":
// DQUEUE_SERVICE_HOST, DQUEUE_PEERS_SERVICE_PORT_GRPC, DQUEUE_PORT=tcp://10.0.0.1:9090,
// DQUEUE_PORT_9090_TCP_ADDR.
bool IsServiceVariable(std::string_view name, std::string_view value);

}  // namespace dqueue::cmd
