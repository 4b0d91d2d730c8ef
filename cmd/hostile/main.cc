// dqueue-hostile: judges a cluster under legal requests at their limits.
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/string_seam.h"
#include "cmd/cluster/child_process.h"
#include "cmd/flags/escape.h"
#include "cmd/flags/flags.h"
#include "cmd/flags/process_start.h"
#include "cmd/flags/program.h"
#include "cmd/flags/text_output.h"
#include "cmd/hostile/attack_command.h"
#include "cmd/hostile/attack_run.h"
#include "cmd/hostile/hostile.h"
#include "cmd/hostile/run_files.h"
#include "transport/keys/secret_key.h"

namespace dqueue::cmd {
namespace {

struct HostileFlags {
  HostileOptions options;
  Bounds bounds;
  Millis enqueue_max{250};
  Millis health_max{50};
  Millis turn_max{10};
  int64_t enqueue_ratio = 4;
  int64_t cluster = 3;
  std::vector<std::string> node_flags;
  std::string work_dir = "/tmp";
};

void AddHostileFlags(HostileFlags* flags, FlagTable* table) {
  const DurationRange range{Millis(100), std::chrono::hours(24)};
  const DurationRange bound{Millis(1), std::chrono::hours(1)};
  table->Duration("duration", &flags->options.duration, range,
                  "duration of the attacks (100ms to 24h)");
  table->Duration("alone", &flags->options.alone, range,
                  "duration of the normal load before them (100ms to 24h)");
  table->Integer("rate", &flags->options.rate, 1, 10'000,
                 "jobs per second of the normal load (1 to 10000)");
  table->List("attacks", &flags->options.attacks, "NAME,…",
              "attacks to run (dqueue-hostile attack --help); none: all");
  table->Integer("cluster", &flags->cluster, 3, 7, "number of nodes (3 to 7)");
  table->List("node-flag", &flags->node_flags, "FLAG,…", "flags of each node: --log-level=warn");
  table->Bytes("memory-max", &flags->options.memory_max, uint64_t{1} << 28, uint64_t{1} << 40,
               "memory of a node that ends the run early (256MiB to 1024GiB)");
  table->Integer("enqueue-ratio", &flags->enqueue_ratio, 1, 1000,
                 "bound: p99 of enqueues, as a multiple of the p99 alone (1 to 1000)");
  table->Duration("enqueue-max", &flags->enqueue_max, bound, "bound: p99 of enqueues (1ms to 1h)");
  table->Duration("health-max", &flags->health_max, bound, "bound: p99 of /health (1ms to 1h)");
  table->Duration("turn-max", &flags->turn_max, bound,
                  "bound: longest turn of a node's loop (1ms to 1h)");
  table->Text("work-dir", &flags->work_dir, "DIR", "parent of the nodes' temporary data directory");
}

std::string Help() {
  HostileFlags flags;
  FlagTable table;
  AddHostileFlags(&flags, &table);
  return "dqueue-hostile: judges a cluster under legal requests at their limits\n\n"
         "usage: dqueue-hostile [flags]\n"
         "       dqueue-hostile attack --server HOST:PORT,… [flags]\n\n"
         "  dqueue-hostile --duration 60s\n"
         "  dqueue-hostile --duration 60s --attacks full-pages,slow-readers\n\n"
         "Starts nodes on loopback and a normal load, first alone, then beside 200 gRPC\n"
         "connections and 88 HTTP connections of authorised clients that ask for as much as\n"
         "they may. Then completes all jobs, checks each of them, and prints what was measured\n"
         "beside its bound. `attack` makes the same requests to a cluster that runs.\n\n"
         "flags:\n" +
         table.Help() +
         "  --help, --version\n\n"
         "exit status: 0 all bounds hold; 1 error; 2 usage; 9 a bound is exceeded, and the nodes'\n"
         "data is kept; 74 standard output cannot be written\n";
}

void PrintReport(const std::vector<VerdictRow>& rows, const std::string& attacks) {
  TextTable table({"FINDING", "VALUE", "AT MOST", ""});
  for (const VerdictRow& row : rows) {
    table.Row({row.what, row.value, row.bound, !row.judged ? "" : row.ok ? "ok" : "EXCEEDED"});
  }
  std::printf("%s\n%s", attacks.c_str(), table.ToString().c_str());
}

absl::StatusOr<std::unique_ptr<LocalCluster>> StartCluster(const HostileFlags& flags) {
  const std::string key_file = flags.options.directory + "/admin.key";
  WriteKeyFile(key_file, flags.options.admin_key);
  LocalCluster::Options options;
  options.nodes = static_cast<int>(flags.cluster);
  options.program = SiblingProgram("dqueue");
  options.directory = flags.options.directory;
  options.flags = {"--auth=on", "--admin-key-file=" + key_file};
  options.flags.insert(options.flags.end(), flags.node_flags.begin(), flags.node_flags.end());
  options.http = true;
  options.api_key = flags.options.admin_key;
  return LocalCluster::Start(options);
}

int Run(const std::vector<std::string>& args, const Environment& environment) {
  if (!args.empty() && args[0] == "attack") {
    return RunAttackCommand({args.begin() + 1, args.end()}, environment);
  }
  const Program program("dqueue-hostile");
  HostileFlags flags;
  FlagTable table;
  AddHostileFlags(&flags, &table);
  const Start start = ReadCommandLine(args, environment, /*positionals_max=*/0, &table);
  if (std::optional<int> code = program.Answer(start, Help)) return *code;
  program.Warn(table.warnings());
  if (absl::Status status = CheckAttacks(flags.options.attacks); !status.ok()) {
    return program.Complain(kExitUsage, "--attacks: " + std::string(status.message()));
  }
  const auto ms = [](Millis time) { return static_cast<double>(time.count()); };
  flags.bounds = {.enqueue_ratio = static_cast<double>(flags.enqueue_ratio),
                  .enqueue_ms = ms(flags.enqueue_max),
                  .health_ms = ms(flags.health_max),
                  .turn_ms = ms(flags.turn_max)};

  auto directory = TemporaryDirectory::Make(flags.work_dir);
  if (!directory.ok())
    return program.Complain(kExitGeneric, std::string(directory.status().message()));
  flags.options.directory = (*directory)->path();
  flags.options.admin_key = transport::MakeSecretKey(v1::KEY_TYPE_ADMIN).secret;
  auto cluster = StartCluster(flags);
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
  const Findings findings = RunHostile(flags.options, cluster->get(), pause, say);
  const std::vector<VerdictRow> rows = Judge(findings, flags.bounds);
  PrintReport(rows, ReadRunFile(AttackReport(flags.options)));
  if (!Passed(rows)) {
    (*directory)->Keep();
    program.Complain(kExitGeneric, "the nodes' data and logs are in " + (*directory)->path());
    std::puts("result: BROKEN ✗");
    FinishOutput();
    return kExitVerifyFailed;
  }
  std::puts("result: STEADY ✓");
  return FinishOutput() ? kExitOk : kExitIo;
}

}  // namespace
}  // namespace dqueue::cmd

int main(int argc, char** argv) {
  return dqueue::cmd::RunProgram(argc, argv, dqueue::cmd::StopSignals::kBlocked, dqueue::cmd::Run);
}
