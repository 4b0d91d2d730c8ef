// The handlers of dqueue-worker: run a command for a job, or print the job.
#pragma once

#include <string>

#include "client/worker.h"
#include "cmd/worker/command_runner.h"

namespace dqueue::cmd {

// A command exits with this status to reject its job: the job is dead without a retry.
inline constexpr int kRejectExitCode = 100;

// Runs `command` with sh. Exit status 0 completes the job with its standard output as the result,
// 100 rejects it, any other fails it (FailureText). A command that was stopped (CommandRunner) and
// did not exit with 0 releases its job. Logs how the command ended and how long it ran.
client::Verdict RunJobCommand(CommandRunner& runner, const std::string& command,
                              client::JobContext& context, const std::string& worker_id);

// The error of a failed job, UTF-8 of at most queue::kErrorBytesMax bytes: how the command ended,
// and the end of its standard error. What is left out at the begin of that is counted:
// "exit status 7: [149996003 bytes cut] last words". A byte that is not UTF-8 becomes U+FFFD.
std::string FailureText(const CommandOutcome& outcome);

// Prints one line on standard output and completes the job; fails it if the line cannot be written.
// Lines of several threads do not mix.
client::Verdict PrintJob(client::JobContext& context);

}  // namespace dqueue::cmd
