// What dqueue-worker does with a job: runs a command for it, or prints it.
#pragma once

#include <string>

#include "client/worker.h"

namespace dqueue::cmd {

// Exit status by which a command says that a job must not be tried again.
inline constexpr int kRejectExitCode = 100;

// Runs `command` with sh. Exit status 0 completes the job with what it printed as the result, 100
// rejects it, anything else fails it with the end of what it wrote to standard error.
client::Verdict RunJobCommand(const std::string& command, client::JobContext& context,
                              const std::string& worker_id);

// One line on standard output, whole even when several threads print.
client::Verdict PrintJob(client::JobContext& context);

}  // namespace dqueue::cmd
