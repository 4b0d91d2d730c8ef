#include "cmd/cli/cli.h"

#include <cstdint>
#include <cstdio>
#include <optional>
#include <span>
#include <utility>

#include "cmd/flags/completion.h"
#include "cmd/flags/connection_flags.h"
#include "cmd/flags/program.h"
#include "cmd/flags/text_output.h"

namespace dqueue::cmd {
namespace {

constexpr DurationRange kTimeoutRange{Millis(1), std::chrono::hours(24)};
// With the pause before the last attempt, and the start of the program, less than a second.
constexpr Millis kUnreachableLimit{300};

struct GlobalFlags {
  ConnectionFlags connection;
  Millis timeout = client::ClientOptions().timeout;
  std::string output = "table";
};

void AddGlobalFlags(GlobalFlags* globals, FlagTable* table) {
  AddConnectionFlags(&globals->connection, "addresses of some or all nodes", table);
  table->Duration("timeout", &globals->timeout, kTimeoutRange,
                  "time limit of a call, retries included (1ms to 24h)");
  table->Choice("output", &globals->output, {"table", "json"}, "output format").Short("o");
  table->AddVariables();
}

class VersionCommand : public Command {
 public:
  CommandText text() const override {
    return {"version", "", "print the version of this program", ""};
  }
  bool asks_server() const override { return false; }
  int Run(Cli& cli) override {
    if (cli.json) {
      std::puts(
          JsonWriter().BeginObject().Text("version", ProgramVersion()).EndObject().Take().c_str());
    } else {
      std::puts(ProgramVersion());
    }
    return kExitOk;
  }
};

class CompletionCommand : public Command {
 public:
  CommandText text() const override {
    return {"completion", "bash", "print a completion script for a shell",
            "  source <(dqueue-cli completion bash)\n"};
  }
  size_t args_min() const override { return 1; }
  size_t args_max() const override { return 1; }
  bool asks_server() const override { return false; }
  int Run(Cli& cli) override;
};

CommandList MakeCommands() {
  CommandList list;
  AddJobCommands(&list);
  AddLeaseCommands(&list);
  AddQueueCommands(&list);
  AddClusterCommands(&list);
  AddKeyCommands(&list);
  AddLogCommands(&list);
  list.push_back(std::make_unique<VersionCommand>());
  list.push_back(std::make_unique<CompletionCommand>());
  return list;
}

int CompletionCommand::Run(Cli& cli) {
  if (cli.args[0] != "bash") {
    return cli.Usage("completion for " + Quoted(cli.args[0]) + " is not available; bash is");
  }
  std::vector<CompletionEntry> words;
  for (const auto& command : MakeCommands()) {
    GlobalFlags globals;
    FlagTable table;
    command->AddFlags(&table);
    AddGlobalFlags(&globals, &table);
    words.push_back({command->text().name, table.rows()});
  }
  std::fputs(BashCompletion("dqueue-cli", words).c_str(), stdout);
  return kExitOk;
}

std::string GlobalHelp() {
  GlobalFlags globals;
  FlagTable table;
  AddGlobalFlags(&globals, &table);
  return table.Help();
}

constexpr char kExitHelp[] =
    "A command fails within a second if nothing listens at any address of --server.\n\n"
    "exit status: 0 success; 1 error; 2 usage; 3 not found; 4 exists already, wrong state or\n"
    "stale token; 5 no node reached, no leader, or overloaded; 6 denied; 7 timeout; 8 the job did\n"
    "not succeed (wait); 9 damaged or differing data (log verify, status); 74 standard output\n"
    "cannot be written; 78 a malformed variable\n";

std::string Overview(const CommandList& commands) {
  std::vector<std::pair<std::string, std::string>> lines;
  size_t width = 0;
  for (const auto& command : commands) {
    const CommandText text = command->text();
    std::string left = text.name + (text.arguments.empty() ? "" : " " + text.arguments);
    width = std::max(width, DisplayWidth(left));
    lines.emplace_back(std::move(left), text.summary);
  }
  std::string out =
      "dqueue-cli: command-line client of a dqueue cluster\n\n"
      "usage: dqueue-cli COMMAND [flags]\n\n"
      "  dqueue-cli enqueue -type email -payload '{\"to\":\"user@example.com\"}'\n"
      "  dqueue-cli enqueue --file jobs.json\n"
      "  dqueue-cli stats --server 10.0.0.1:9090,10.0.0.2:9090\n\n"
      "commands (COMMAND --help describes each):\n";
  for (const auto& [left, summary] : lines) {
    out += "  " + left + std::string(width - DisplayWidth(left) + 2, ' ') + summary + "\n";
  }
  return out + "\nflags of all commands:\n" + GlobalHelp() + "  --help, --version\n\n" + kExitHelp;
}

std::string CommandHelp(Command& command) {
  const CommandText text = command.text();
  FlagTable table;
  command.AddFlags(&table);
  std::string out = "dqueue-cli " + text.name + ": " + text.summary + "\n\nusage: dqueue-cli " +
                    text.name + (text.arguments.empty() ? "" : " " + text.arguments) + " [flags]\n";
  if (!text.details.empty()) out += "\n" + text.details;
  if (!table.rows().empty()) out += "\nflags:\n" + table.Help();
  return out + "\nflags of all commands:\n" + GlobalHelp() + "\n" + kExitHelp;
}

// Returns the command at the start of args and its number of words.
std::pair<Command*, size_t> FindCommand(const CommandList& commands,
                                        std::span<const std::string> args) {
  for (size_t words : {2, 1}) {
    if (args.size() < words) continue;
    const std::string name = words == 2 ? args[0] + " " + args[1] : args[0];
    for (const auto& command : commands) {
      if (command->text().name == name) return {command.get(), words};
    }
  }
  return {nullptr, 0};
}

std::string UnknownCommand(const CommandList& commands, std::span<const std::string> args) {
  std::vector<std::string> names;
  for (const auto& command : commands) {
    const std::string name = command->text().name;
    names.push_back(name);
    const size_t space = name.find(' ');
    if (space != std::string::npos && name.substr(0, space) == args[0]) {
      return Quoted(args[0]) + " needs another word; see dqueue-cli --help";
    }
  }
  const std::string nearest = Nearest(args[0], names);
  return "unknown command " + Quoted(args[0]) +
         (nearest.empty() ? "; see dqueue-cli --help" : "; did you mean " + nearest + "?");
}

Program ThisProgram() { return Program("dqueue-cli"); }

}  // namespace

client::Client& Cli::client() {
  if (!client_) client_ = std::make_unique<client::Client>(client_options);
  return *client_;
}

void Cli::Say(const std::string& message) const { ThisProgram().Say(message); }

int Cli::Usage(const std::string& message) const {
  return ThisProgram().Complain(kExitUsage, message);
}

int Cli::Fail(const client::Status& status, const std::string& what) const {
  // The causes of failed connections name the address.
  const bool named = what.empty() || status.message.starts_with(what + ": ");
  return ThisProgram().Complain(
      ExitOf(status.code), (named ? "" : Shown(what) + ": ") + Describe(status) + Advice(status));
}

ExitCode ExitOf(client::Code code) {
  switch (code) {
    case client::Code::kOk:
      return kExitOk;
    case client::Code::kInvalidArgument:
      return kExitUsage;
    case client::Code::kNotFound:
      return kExitNotFound;
    case client::Code::kAlreadyExists:
    case client::Code::kFailedPrecondition:
      return kExitConflict;
    case client::Code::kResourceExhausted:
    case client::Code::kUnavailable:
    case client::Code::kUnknownOutcome:
      return kExitUnavailable;
    case client::Code::kDeadlineExceeded:
      return kExitTimeout;
    case client::Code::kPermissionDenied:
      return kExitDenied;
    case client::Code::kInternal:
      return kExitGeneric;
  }
  return kExitGeneric;
}

std::string Describe(const client::Status& status) {
  return status.message + " (" + client::CodeName(status.code) +
         (status.reason.empty() ? "" : ", " + status.reason) + ")";
}

namespace {

// RunCli() without the check that the output was written.
int RunCommandLine(const std::vector<std::string>& args, const Environment& environment) {
  const Program program = ThisProgram();
  const CommandList commands = MakeCommands();
  const auto overview = [&] { return Overview(commands); };
  GlobalFlags globals;
  FlagTable table;
  AddGlobalFlags(&globals, &table);
  const size_t before = table.Parse(args, /*stop_at_positional=*/true);
  const std::span<const std::string> rest = std::span(args).subspan(before);
  if (rest.empty()) {
    const Start start = DecideStart(table, /*positionals_max=*/0);
    if (std::optional<int> code = program.Answer(start, overview)) return *code;
    std::fputs(overview().c_str(), stderr);
    return kExitUsage;
  }
  const auto [command, words] = FindCommand(commands, rest);
  if (command == nullptr) {
    table.Parse(rest);
    if (table.help_wanted()) return *program.Answer({Start::Kind::kHelp, {}}, overview);
    return program.Complain(kExitUsage, UnknownCommand(commands, rest));
  }
  command->AddFlags(&table);
  // The number of positional arguments is checked last, after --server.
  const Start start =
      ReadCommandLine(rest.subspan(words), environment, /*positionals_max=*/SIZE_MAX, &table);
  const auto help = [command = command] { return CommandHelp(*command); };
  if (std::optional<int> code = program.Answer(start, help)) return *code;
  program.Warn(table.warnings());
  Cli cli;
  if (command->asks_server()) {
    if (absl::Status status = Connect(globals.connection, &cli.client_options); !status.ok()) {
      return program.Complain(table.Attributed({kExitUsage, std::string(status.message())}));
    }
  }
  cli.client_options.timeout = globals.timeout;
  cli.client_options.unreachable_limit = kUnreachableLimit;
  cli.json = globals.output == "json";
  cli.args = table.positionals();
  cli.flags = &table;
  if (cli.args.size() < command->args_min()) {
    return cli.Usage(command->text().name + " needs " + command->text().arguments);
  }
  if (cli.args.size() > command->args_max()) {
    return cli.Usage("unexpected argument " + Quoted(cli.args[command->args_max()]));
  }
  return command->Run(cli);
}

}  // namespace

int RunCli(const std::vector<std::string>& args, const Environment& environment) {
  const int code = RunCommandLine(args, environment);
  if (!FinishOutput() && code == kExitOk) return kExitIo;
  return code;
}

}  // namespace dqueue::cmd
