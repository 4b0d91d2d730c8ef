#include "cmd/hostile/attack_command.h"

#include <cstdio>
#include <optional>

#include "cmd/flags/connection_flags.h"
#include "cmd/flags/flags.h"
#include "cmd/flags/process_start.h"
#include "cmd/flags/program.h"
#include "cmd/flags/text_output.h"
#include "cmd/hostile/attack_run.h"
#include "cmd/hostile/attacks/attacks.h"

namespace dqueue::cmd {
namespace {

struct AttackFlags {
  ConnectionFlags connection{.servers = {}};
  std::string reader_key_file;
  AttackOptions options;
};

void AddAttackFlags(AttackFlags* flags, FlagTable* table) {
  AddConnectionFlags(&flags->connection, "addresses of all nodes (required)", table);
  // A variable for the command line must not send an attack to a cluster.
  table->RemoveVariables("server");
  table->List("http", &flags->options.http_addresses, "HOST:PORT,…",
              "HTTP addresses of the same nodes; none: no attacks over HTTP");
  table->Text("reader-key-file", &flags->reader_key_file, "FILE",
              "file with an API key that may read all queues; none: that of --api-key-file");
  table->List("attacks", &flags->options.attacks, "NAME,…", "attacks to run; none: all");
  table->Duration("duration", &flags->options.duration, {Millis(100), std::chrono::hours(24)},
                  "duration of the attacks (100ms to 24h)");
}

std::string Help() {
  AttackFlags flags;
  FlagTable table;
  AddAttackFlags(&flags, &table);
  std::string attacks;
  for (const AttackKind& kind : AllAttacks()) {
    char line[128];
    std::snprintf(line, sizeof line, "  %-18s %3d × %s\n", kind.name, kind.callers, kind.idea);
    attacks += line;
  }
  return "dqueue-hostile attack: legal requests at their limits, against a cluster that runs\n\n"
         "usage: dqueue-hostile attack --server HOST:PORT,… [flags]\n\n"
         "The key needs all scopes but cluster:manage, the queues hostile-*, and the owner "
         "hostile.\n\n"
         "attacks:\n" +
         attacks + "\nflags:\n" + table.Help() +
         "  --help, --version\n\n"
         "exit status: 0 the attacks ran; 1 a call was not legal, or no call of an attack was\n"
         "answered; 2 usage; 74 standard output cannot be written; 78 a malformed variable\n";
}

void PrintTally(const Tally& tally) {
  TextTable table({"ATTACK", "CALLS", "ENDED WITH"});
  for (const auto& [attack, row] : tally.rows()) {
    std::string outcomes;
    for (const auto& [name, count] : row.outcomes) {
      outcomes += (outcomes.empty() ? "" : ", ") + name + " " + Grouped(count);
    }
    table.Row({attack, Grouped(row.calls), outcomes});
  }
  std::fputs(table.ToString().c_str(), stdout);
}

}  // namespace

int RunAttackCommand(const std::vector<std::string>& args, const Environment& environment) {
  const Program program("dqueue-hostile");
  AttackFlags flags;
  FlagTable table;
  AddAttackFlags(&flags, &table);
  const Start start = ReadCommandLine(args, environment, /*positionals_max=*/0, &table);
  if (std::optional<int> code = program.Answer(start, Help)) return *code;
  program.Warn(table.warnings());
  AttackOptions& options = flags.options;
  if (flags.connection.servers.empty()) {
    return program.Complain(kExitUsage, "--server is required: the addresses of all nodes");
  }
  absl::Status status = Connect(flags.connection, &options.access);
  if (status.ok() && !flags.reader_key_file.empty()) {
    status = ReadKeyFile("--reader-key-file", flags.reader_key_file, &options.reader_key);
  }
  if (status.ok()) status = CheckAttacks(options.attacks);
  if (!status.ok()) {
    return program.Complain(table.Attributed({kExitUsage, std::string(status.message())}));
  }
  Tally tally;
  RunAttacks(
      options, [](Millis time) { return WaitForStopSignal(static_cast<int>(time.count())) != 0; },
      &tally);
  PrintTally(tally);
  if (status = CheckTally(options, tally); !status.ok()) {
    return program.Complain(kExitGeneric, std::string(status.message()));
  }
  return FinishOutput() ? kExitOk : kExitIo;
}

}  // namespace dqueue::cmd
