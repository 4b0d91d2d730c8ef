// Runs a node as a process: opens it, serves until a signal, drains and stops.
#pragma once

#include "absl/status/status.h"
#include "cmd/dqueue/node_config.h"
#include "cmd/flags/exit_code.h"

namespace dqueue::cmd {

// Returns the exit status of the process when the node has stopped or cannot start. The reason of a
// failure is logged in one line. SIGINT and SIGTERM must be blocked in every thread.
int RunNode(const NodeConfig& config);

}  // namespace dqueue::cmd
