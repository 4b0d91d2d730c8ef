// Runs a node as a process: opens it, serves until a signal, drains and stops. SIGHUP reloads the
// files of TLS.
#pragma once

#include "absl/status/status.h"
#include "cmd/dqueue/node_config.h"
#include "cmd/flags/exit_code.h"

namespace dqueue::cmd {

// Returns the exit status of the process when the node has stopped or cannot start. The reason of a
// failure is logged in one line. The process must have begun with StopSignals::kBlocked.
int RunNode(const NodeConfig& config);

}  // namespace dqueue::cmd
