// dqueue-worker: leases jobs and runs a command for each.
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "client/worker.h"
#include "cmd/flags/connection_flags.h"
#include "cmd/flags/escape.h"
#include "cmd/flags/exit_code.h"
#include "cmd/flags/flags.h"
#include "cmd/flags/log_setup.h"
#include "cmd/flags/process_start.h"
#include "cmd/flags/program.h"
#include "cmd/worker/command_guard.h"
#include "cmd/worker/command_runner.h"
#include "cmd/worker/job_runner.h"
#include "queue/api/limits.h"

namespace dqueue::cmd {
namespace {

struct WorkerFlags {
  ConnectionFlags connection;
  client::ClientOptions client;
  client::WorkerOptions worker;
  std::vector<std::string> types;
  std::string exec;
  int64_t concurrency = 1;
  std::string log_level = "info";
  std::string log_format = "text";
};

void AddWorkerFlags(WorkerFlags* flags, FlagTable* table) {
  AddConnectionFlags(&flags->connection, "addresses of some or all nodes", table);
  table->List("queue", &flags->worker.queues, "QUEUE,…", "queues to take jobs from");
  table->List("type", &flags->types, "TYPE,…", "only jobs of these types");
  table->Integer("concurrency", &flags->concurrency, 1, 1000,
                 "jobs to run at the same time (1 to 1000)");
  table->Text("exec", &flags->exec, "COMMAND",
              "shell command to run for each job; none: print the job");
  table->Duration(
      "lease-duration", &flags->worker.lease_duration,
      {Millis(queue::kLeaseMsMin), Millis(queue::kLeaseMsMax)},
      "lease of a job; it is leased again if this worker is silent for this long (1s to "
      "12h); none: the job's own, else --lease-timeout of the nodes");
  table->Duration("drain-limit", &flags->worker.drain_limit, {Millis(0), std::chrono::hours(24)},
                  "time that running jobs have to finish after SIGTERM, and the servers to accept "
                  "the results (0s to 24h)");
  table->Text("worker-id", &flags->worker.worker_id, "NAME",
              "name of this worker; none: host, process id and a random number");
  table->Choice("log-level", &flags->log_level, {"trace", "debug", "info", "warn", "error", "off"},
                "lowest severity that is logged");
  table->Choice("log-format", &flags->log_format, {"text", "json"}, "format of log lines");
  table->AddVariables();
}

std::string Help() {
  WorkerFlags flags;
  FlagTable table;
  AddWorkerFlags(&flags, &table);
  return "dqueue-worker: leases jobs and runs a command for each\n\n"
         "usage: dqueue-worker [flags]\n\n"
         "  dqueue-worker --queue mail --concurrency 8 --exec './send-mail'\n\n"
         "The command gets the payload on standard input, and the variables DQUEUE_JOB_ID,\n"
         "DQUEUE_QUEUE, DQUEUE_TYPE, DQUEUE_ATTEMPT, DQUEUE_FENCE and DQUEUE_WORKER_ID. Its\n"
         "standard output (up to 1 MiB) is the result. Exit status 0 completes the job. Exit "
         "status\n"
         "100 rejects it: the job is dead without a retry. Any other status fails the job with "
         "the\n"
         "last 4 KiB of standard error.\n\n"
         "A command runs in a session of its own. If its lease is lost or --drain-limit has "
         "passed,\n"
         "all processes of the session get SIGTERM and, 10 s later, SIGKILL. If the worker is "
         "killed,\n"
         "they get SIGKILL at once. What a command that has ended left in the background goes "
         "on.\n\n"
         "flags:\n" +
         table.Help() +
         "  --help, --version\n\n"
         "SIGTERM, SIGINT and SIGQUIT finish running jobs and exit. A second signal exits at "
         "once.\n"
         "SIGHUP, SIGUSR1 and SIGUSR2 have no effect.\n\n"
         "If the servers cannot be reached the worker logs why, once, and tries again until they\n"
         "answer. If they refuse its key, queues or flags for 10 s it finishes running jobs and "
         "exits.\n\n"
         "exit status: 0 stopped by a signal; 1 error; 2 usage, or the servers refuse the flags;\n"
         "6 the servers refuse the API key; 74 standard output cannot be written; 78 a malformed\n"
         "variable; 128 + signal after a second signal\n";
}

// In a command of a worker these variables describe the job, so they set no flags of a worker that
// the command starts.
Environment WorkerVariables(Environment environment) {
  if (!environment.contains("DQUEUE_JOB_ID")) return environment;
  for (const char* name : {"DQUEUE_QUEUE", "DQUEUE_TYPE", "DQUEUE_WORKER_ID"}) {
    environment.erase(name);
  }
  return environment;
}

void TellTrouble(const client::Status& status) {
  if (status.ok()) {
    spdlog::info("{}", status.message);
  } else if (status.code == client::Code::kPermissionDenied ||
             status.code == client::Code::kInvalidArgument) {
    spdlog::error("refused: {} ({}){}; the worker ends if that does not change", status.message,
                  status.reason, Advice(status));
  } else {
    spdlog::warn("no jobs: {} ({}){}; retrying", status.message,
                 status.reason.empty() ? client::CodeName(status.code) : status.reason,
                 Advice(status));
  }
}

std::string DefaultWorkerId() {
  char host[65] = "host";
  gethostname(host, sizeof host - 1);
  return MadeUtf8(host) + ":" + std::to_string(getpid()) + ":" + client::NewUuidV7().substr(28);
}

int Run(const std::vector<std::string>& args, const Environment& environment) {
  const Program program("dqueue-worker");
  WorkerFlags flags;
  FlagTable table;
  AddWorkerFlags(&flags, &table);
  const Start start =
      ReadCommandLine(args, WorkerVariables(environment), /*positionals_max=*/0, &table);
  if (std::optional<int> code = program.Answer(start, Help)) return *code;
  // Before any thread exists, and before the API key is in memory.
  std::unique_ptr<CommandGuard> guard;
  if (!flags.exec.empty()) {
    absl::StatusOr<std::unique_ptr<CommandGuard>> started = CommandGuard::Start();
    if (!started.ok()) {
      return program.Complain(kExitGeneric, std::string(started.status().message()));
    }
    guard = *std::move(started);
  }
  if (absl::Status status = Connect(flags.connection, &flags.client); !status.ok()) {
    return program.Complain(table.Attributed({kExitUsage, std::string(status.message())}));
  }
  SetUpLog(flags.log_level, flags.log_format == "json" ? LogFormat::kJson : LogFormat::kText);
  for (const std::string& note : table.notes()) spdlog::info("{}", note);
  for (const std::string& warning : table.warnings()) spdlog::warn("{}", warning);
  if (absl::Status status = RaiseOpenFileLimit(64 + 4 * static_cast<uint64_t>(flags.concurrency));
      !status.ok()) {
    return program.Complain(kExitGeneric, std::string(status.message()));
  }

  std::optional<CommandRunner> runner;
  if (!flags.exec.empty()) runner.emplace(guard.get());
  flags.worker.concurrency = static_cast<int>(flags.concurrency);
  if (flags.worker.worker_id.empty()) flags.worker.worker_id = DefaultWorkerId();
  flags.worker.log_line = [](const std::string& line) { spdlog::info("{}", line); };
  flags.worker.on_trouble = TellTrouble;
  client::Worker worker(flags.client, flags.worker);
  const client::Handler handler = [&](client::JobContext& context) {
    return runner ? RunJobCommand(*runner, flags.exec, context, flags.worker.worker_id)
                  : PrintJob(context);
  };
  if (flags.types.empty()) flags.types = {""};
  for (const std::string& type : flags.types) worker.Handle(type, handler);
  spdlog::info("worker {} starts; servers: {}", flags.worker.worker_id,
               absl::StrJoin(flags.client.servers, ", "));
  const client::Status refused = worker.RunUntilSignal();
  const client::WorkerStats stats = worker.stats();
  spdlog::info("stopped: {} leased, {} completed, {} failed, {} released, {} lost", stats.leased,
               stats.completed, stats.failed, stats.released, stats.lost);
  if (refused.ok()) return kExitOk;
  spdlog::error("the servers refuse this worker: {}{}", refused.message, Advice(refused));
  return refused.code == client::Code::kPermissionDenied ? kExitDenied : kExitUsage;
}

}  // namespace
}  // namespace dqueue::cmd

int main(int argc, char** argv) {
  return dqueue::cmd::RunProgram(argc, argv, dqueue::cmd::StopSignals::kBlocked, dqueue::cmd::Run);
}
