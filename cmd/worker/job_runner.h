// The handlers of dqueue-worker: run a command for a job, or print the job.
#pragma once

#include <string>

#include "client/worker.h"

namespace dqueue::cmd {

// A command exits with this status to reject its job: the job is dead without a retry.
inline constexpr int kRejectExitCode = 100;

// Runs `command` with sh. Exit status 0 completes the job with its standard output as the result,
// 100 rejects it, any other fails it with the end of its standard error. A command that was stopped
// (RunCommand) and did not exit with 0 releases its job.
client::Verdict RunJobCommand(const std::string& command, client::JobContext& context,
                              const std::string& worker_id);

// Prints one line on standard output and completes the job; fails it if the line cannot be written.
// Lines of several threads do not mix.
client::Verdict PrintJob(client::JobContext& context);

}  // namespace dqueue::cmd
