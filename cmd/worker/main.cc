// dqueue-worker: leases jobs and runs a command for each.
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <vector>

#include "client/worker.h"
#include "cmd/flags/connection_flags.h"
#include "cmd/flags/exit_code.h"
#include "cmd/flags/flags.h"
#include "cmd/flags/log_setup.h"
#include "cmd/flags/process_start.h"
#include "cmd/flags/program.h"
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
      "lease of a job; it is leased again if this worker is silent for this long (1s to 12h)");
  table->Duration("drain-limit", &flags->worker.drain_limit, {Millis(0), std::chrono::hours(24)},
                  "time that running jobs have to finish after SIGTERM (0s to 24h)");
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
         "last 4 KiB of standard error. If the lease is lost or "
         "--drain-limit\n"
         "has passed, the command's process group gets SIGTERM and, 10 s later, SIGKILL.\n\n"
         "flags:\n" +
         table.Help() +
         "  --help, --version\n\n"
         "SIGTERM and SIGINT finish running jobs and exit. A second signal exits at once.\n\n"
         "exit status: 0 stopped by a signal; 1 error; 2 usage; 74 standard output cannot be "
         "written;\n"
         "78 a malformed variable\n";
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

std::string DefaultWorkerId() {
  char host[256] = "host";
  gethostname(host, sizeof host - 1);
  return std::string(host).substr(0, 64) + ":" + std::to_string(getpid()) + ":" +
         client::NewUuidV7().substr(28);
}

int Run(const std::vector<std::string>& args, const Environment& environment) {
  const Program program("dqueue-worker");
  WorkerFlags flags;
  FlagTable table;
  AddWorkerFlags(&flags, &table);
  const Start start =
      ReadCommandLine(args, WorkerVariables(environment), /*positionals_max=*/0, &table);
  if (std::optional<int> code = program.Answer(start, Help)) return *code;
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

  flags.worker.concurrency = static_cast<int>(flags.concurrency);
  if (flags.worker.worker_id.empty()) flags.worker.worker_id = DefaultWorkerId();
  client::Worker worker(flags.client, flags.worker);
  const client::Handler handler = [&](client::JobContext& context) {
    return flags.exec.empty() ? PrintJob(context)
                              : RunJobCommand(flags.exec, context, flags.worker.worker_id);
  };
  if (flags.types.empty()) flags.types = {""};
  for (const std::string& type : flags.types) worker.Handle(type, handler);
  spdlog::info("worker {} starts", flags.worker.worker_id);
  worker.RunUntilSignal();
  const client::WorkerStats stats = worker.stats();
  spdlog::info("stopped: {} leased, {} completed, {} failed, {} released, {} lost", stats.leased,
               stats.completed, stats.failed, stats.released, stats.lost);
  return kExitOk;
}

}  // namespace
}  // namespace dqueue::cmd

int main(int argc, char** argv) {
  return dqueue::cmd::RunProgram(argc, argv, dqueue::cmd::StopSignals::kBlocked, dqueue::cmd::Run);
}
