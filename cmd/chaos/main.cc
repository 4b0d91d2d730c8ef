// dqueue-chaos: kills leaders under load and checks that no job was lost.
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "base/string_seam.h"
#include "cmd/chaos/chaos.h"
#include "cmd/cluster/child_process.h"
#include "cmd/flags/escape.h"
#include "cmd/flags/flags.h"
#include "cmd/flags/process_start.h"
#include "cmd/flags/program.h"
#include "cmd/flags/text_output.h"

namespace dqueue::cmd {
namespace {

struct ChaosFlags {
  ChaosOptions options;
  int64_t cluster = 3;
  int64_t producers = options.producers;
  int64_t workers = options.workers;
  int64_t batch = options.batch;
  std::string work_dir = "/tmp";
  std::string output = "table";
};

void AddChaosFlags(ChaosFlags* flags, FlagTable* table) {
  const DurationRange range{Millis(100), std::chrono::hours(24)};
  table->Duration("duration", &flags->options.duration, range,
                  "duration of the load (100ms to 24h)");
  table->Duration("kill-interval", &flags->options.kill_interval, range,
                  "time between kills of the leader (100ms to 24h)");
  table->Duration("restart-after", &flags->options.restart_after, {Millis(0), range.max},
                  "time until the killed node is restarted (0s to 24h)");
  table->Integer("cluster", &flags->cluster, 3, 7, "number of nodes (3 to 7)");
  table->Integer("rate", &flags->options.rate, 1, 1'000'000,
                 "maximum of jobs enqueued per second (1 to 1000000)");
  table->Integer("producers", &flags->producers, 1, 64, "threads that enqueue (1 to 64)");
  table->Integer("workers", &flags->workers, 1, 64, "threads that lease and complete (1 to 64)");
  table->Integer("batch", &flags->batch, 1, 1000, "jobs per call (1 to 1000)");
  table->Text("work-dir", &flags->work_dir, "DIR", "parent of the nodes' temporary data directory");
  table->Choice("output", &flags->output, {"table", "json"}, "output format").Short("o");
}

std::string Help() {
  ChaosFlags flags;
  FlagTable table;
  AddChaosFlags(&flags, &table);
  return "dqueue-chaos: kills leaders under load and checks that no job is lost\n\n"
         "usage: dqueue-chaos [flags]\n\n"
         "  dqueue-chaos --duration 60s --kill-interval 10s\n\n"
         "Starts nodes on loopback, enqueues and completes jobs, and repeatedly kills and "
         "restarts\n"
         "the leader. Then completes all jobs and checks each of them. SIGTERM, SIGINT, SIGQUIT "
         "and\n"
         "SIGHUP end the load early; another one but SIGHUP exits at once.\n\n"
         "flags:\n" +
         table.Help() +
         "  --help, --version\n\n"
         "exit status: 0 no violation; 1 error; 2 usage; 9 a violation was found, and the nodes'\n"
         "data is kept; 74 standard output cannot be written\n";
}

void PrintTable(const LedgerReport& report) {
  TextTable table({"", ""});
  table.Row({"submitted", Grouped(report.submitted)});
  table.Row({"acknowledged", Grouped(report.acknowledged)});
  table.Row({"outcome unknown", Grouped(report.unknown)});
  table.Row({"refused", Grouped(report.refused)});
  table.Row({"completed", Grouped(report.completed)});
  table.Row({"lost", Grouped(report.lost)});
  table.Row({"executed more than once", Grouped(report.executed_twice)});
  table.Row({"completed more than once", Grouped(report.outcome_twice)});
  table.Row({"completions not acknowledged", Grouped(report.stale_refused)});
  table.Row({"leaders killed", std::to_string(report.kills)});
  char gaps[96];
  std::snprintf(gaps, sizeof gaps, "p50 %.0f ms, max %.0f ms", report.gaps.Percentile(0.5),
                report.gaps.Percentile(1.0));
  table.Row({"failover gap", report.gaps.count() == 0 ? "-" : gaps});
  std::fputs(table.ToString(false).c_str(), stdout);
}

void PrintJson(const LedgerReport& report) {
  JsonWriter json;
  json.BeginObject()
      .Unsigned("submitted", report.submitted)
      .Unsigned("acknowledged", report.acknowledged)
      .Unsigned("unknown", report.unknown)
      .Unsigned("refused", report.refused)
      .Unsigned("completed", report.completed)
      .Unsigned("lost", report.lost)
      .Unsigned("executed_twice", report.executed_twice)
      .Unsigned("outcome_twice", report.outcome_twice)
      .Unsigned("stale_refused", report.stale_refused)
      .Signed("kills", report.kills)
      .Real("gap_p50_ms", report.gaps.Percentile(0.5))
      .Real("gap_max_ms", report.gaps.Percentile(1.0))
      .Bool("ok", report.ok())
      .BeginArray("violations");
  for (const std::string& violation : report.violations) json.Item(violation);
  std::puts(json.EndArray().EndObject().Take().c_str());
}

int Run(const std::vector<std::string>& args, const Environment& environment) {
  const Program program("dqueue-chaos");
  ChaosFlags flags;
  FlagTable table;
  AddChaosFlags(&flags, &table);
  const Start start = ReadCommandLine(args, environment, /*positionals_max=*/0, &table);
  if (std::optional<int> code = program.Answer(start, Help)) return *code;
  program.Warn(table.warnings());
  ChaosOptions& options = flags.options;
  options.producers = static_cast<int>(flags.producers);
  options.workers = static_cast<int>(flags.workers);
  options.batch = static_cast<int>(flags.batch);

  auto directory = TemporaryDirectory::Make(flags.work_dir);
  if (!directory.ok())
    return program.Complain(kExitGeneric, std::string(directory.status().message()));
  auto cluster = LocalCluster::Start({.nodes = static_cast<int>(flags.cluster),
                                      .program = SiblingProgram("dqueue"),
                                      .directory = (*directory)->path()});
  if (!cluster.ok()) {
    return program.ComplainAtLength(kExitGeneric, StdView(cluster.status().message()));
  }

  bool interrupted = false;
  const auto pause = [&](std::chrono::milliseconds time) {
    if (!interrupted) interrupted = WaitForStopSignal(static_cast<int>(time.count())) != 0;
    return !interrupted;
  };
  const auto say = [&](const std::string& line) {
    std::fprintf(stderr, "%s\n", EscapedMessage(line).c_str());
  };
  say(std::to_string(flags.cluster) + " nodes run in " + (*directory)->path());
  const LedgerReport report = RunChaos(options, cluster->get(), pause, say);

  flags.output == "json" ? PrintJson(report) : PrintTable(report);
  if (!report.ok()) {
    for (const std::string& violation : report.violations)
      program.ComplainAtLength(kExitGeneric, violation);
    (*directory)->Keep();
    program.Complain(kExitGeneric, "the nodes' data and logs are in " + (*directory)->path());
    if (flags.output != "json") std::puts("result: BROKEN ✗");
    FinishOutput();
    return kExitVerifyFailed;
  }
  if (flags.output != "json") std::puts("result: ZERO LOSS ✓");
  return FinishOutput() ? kExitOk : kExitIo;
}

}  // namespace
}  // namespace dqueue::cmd

int main(int argc, char** argv) {
  return dqueue::cmd::RunProgram(argc, argv, dqueue::cmd::StopSignals::kBlocked, dqueue::cmd::Run);
}
