#include "cmd/worker/job_runner.h"

#include <spdlog/spdlog.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>

#include "cmd/flags/escape.h"
#include "cmd/worker/command_runner.h"

namespace dqueue::cmd {
namespace {

constexpr size_t kPayloadShownMax = 200;

std::string Ending(const CommandOutcome& outcome) {
  if (outcome.exited) return "exit status " + std::to_string(outcome.exit_code);
  return "ended by signal " + std::to_string(outcome.signal) + " (" + strsignal(outcome.signal) +
         ")";
}

}  // namespace

client::Verdict RunJobCommand(const std::string& command, client::JobContext& context,
                              const std::string& worker_id) {
  const client::Job& job = context.job();
  CommandRequest request;
  request.command = command;
  request.input = job.payload;
  request.environment = {{"DQUEUE_JOB_ID", job.id},
                         {"DQUEUE_QUEUE", job.queue},
                         {"DQUEUE_TYPE", job.type},
                         {"DQUEUE_ATTEMPT", std::to_string(context.attempt())},
                         {"DQUEUE_FENCE", context.fence().ToString()},
                         {"DQUEUE_WORKER_ID", worker_id}};
  CommandOutcome outcome = RunCommand(request, context.stop());
  if (!outcome.started) {
    spdlog::error("job {}: {}", job.id, outcome.start_error);
    return client::Fail(outcome.start_error);
  }
  if (outcome.exited && outcome.exit_code == 0) {
    if (outcome.output_truncated) {
      spdlog::warn("job {}: the output was cut to {} bytes", job.id, request.output_bytes_max);
    }
    return client::Complete(std::move(outcome.output));
  }
  // The worker stopped the command, so the attempt does not count as a failure.
  if (outcome.stopped) return client::Release();
  std::string error = Ending(outcome);
  if (!outcome.error_tail.empty()) error += ": " + MadeUtf8(outcome.error_tail);
  if (outcome.exited && outcome.exit_code == kRejectExitCode) {
    spdlog::warn("job {} rejected: {}", job.id, error);
    return client::Reject(std::move(error));
  }
  spdlog::warn("job {} failed: {}", job.id, error);
  return client::Fail(std::move(error));
}

client::Verdict PrintJob(client::JobContext& context) {
  const client::Job& job = context.job();
  const std::string line = EscapedForText(job.id + " queue=" + job.queue + " type=" + job.type) +
                           " attempt=" + std::to_string(context.attempt()) +
                           " payload=" + Shown(job.payload, kPayloadShownMax) + "\n";
  if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size() || std::fflush(stdout) != 0) {
    std::string error = std::string("cannot write to standard output: ") + std::strerror(errno);
    spdlog::error("job {}: {}", job.id, error);
    std::clearerr(stdout);
    return client::Fail(std::move(error));
  }
  return client::Complete();
}

}  // namespace dqueue::cmd
