#include "cmd/worker/job_runner.h"

#include <spdlog/spdlog.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>

#include "cmd/flags/escape.h"
#include "queue/api/limits.h"

namespace dqueue::cmd {
namespace {

constexpr size_t kPayloadShownMax = 200;

std::string Ending(const CommandOutcome& outcome) {
  if (outcome.exited) return "exit status " + std::to_string(outcome.exit_code);
  return "ended by signal " + std::to_string(outcome.signal) + " (" + strsignal(outcome.signal) +
         ")";
}

std::string SecondsSince(std::chrono::steady_clock::time_point start) {
  char text[32];
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  std::snprintf(text, sizeof text, "%.3f s", elapsed.count());
  return text;
}

}  // namespace

std::string FailureText(const CommandOutcome& outcome) {
  std::string text = Ending(outcome);
  if (outcome.error_tail.empty()) return text;
  text += ": ";
  const std::string whole = MadeUtf8(outcome.error_tail);
  if (outcome.error_bytes == outcome.error_tail.size() &&
      text.size() + whole.size() <= queue::kErrorBytesMax) {
    return text + whole;
  }
  // The text is cut last: replaced bytes have made it longer. The mark is not longer than one that
  // counts everything.
  const auto mark = [](uint64_t bytes) { return "[" + std::to_string(bytes) + " bytes cut] "; };
  const size_t room = queue::kErrorBytesMax - text.size() - mark(outcome.error_bytes).size();
  const Utf8Tail tail = TailMadeUtf8(outcome.error_tail, room);
  return text + mark(outcome.error_bytes - tail.source_bytes) + tail.text;
}

client::Verdict RunJobCommand(CommandRunner& runner, const std::string& command,
                              client::JobContext& context, const std::string& worker_id) {
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
  const auto start = std::chrono::steady_clock::now();
  CommandOutcome outcome = runner.Run(request, context.stop());
  if (runner.TakeGuardLoss()) {
    spdlog::error(
        "the process dqueue-guard has ended: if this worker is killed, its commands go on");
  }
  if (!outcome.started) {
    spdlog::error("job {}: {}", job.id, outcome.start_error);
    return client::Fail(outcome.start_error);
  }
  const std::string elapsed = SecondsSince(start);
  if (outcome.left_running > 0) {
    spdlog::error("job {}: {} processes of the stopped command do not end after SIGKILL", job.id,
                  outcome.left_running);
  }
  if (outcome.exited && outcome.exit_code == 0) {
    if (outcome.output_truncated) {
      spdlog::warn("job {}: the output was cut to {} bytes", job.id, request.output_bytes_max);
    }
    spdlog::info("job {} succeeded after {}", job.id, elapsed);
    return client::Complete(std::move(outcome.output));
  }
  // The worker stopped the command, so the attempt does not count as a failure.
  if (outcome.stopped) {
    spdlog::warn("job {} was stopped after {}: {}", job.id, elapsed, Ending(outcome));
    return client::Release();
  }
  std::string error = FailureText(outcome);
  if (outcome.exited && outcome.exit_code == kRejectExitCode) {
    spdlog::warn("job {} rejected after {}: {}", job.id, elapsed, error);
    return client::Reject(std::move(error));
  }
  spdlog::warn("job {} failed after {}: {}", job.id, elapsed, error);
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
