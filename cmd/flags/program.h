// The start of each program: the same order of decisions, the same form of messages.
//
//   int Run(const std::vector<std::string>& args, const Environment& environment) {
//     const Program program("dqueue-bench");
//     …                                       // flags are added to `table`
//     const Start start = ReadCommandLine(args, environment, /*positionals_max=*/1, &table);
//     if (std::optional<int> code = program.Answer(start, Help)) return *code;
//     program.Warn(table.warnings());         // or into the log
//     …                                       // the program's own work
//   }
//   int main(int argc, char** argv) {
//     return RunProgram(argc, argv, StopSignals::kBlocked, Run);
//   }
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cmd/flags/exit_code.h"
#include "cmd/flags/flags.h"
#include "cmd/flags/process_start.h"

namespace dqueue::cmd {

// The version of all programs: "1.2.3".
const char* ProgramVersion();

// The decision after reading the command line.
struct Start {
  enum class Kind { kRun, kHelp, kVersion, kProblem };
  Kind kind = Kind::kRun;
  UsageProblem problem;  // of kProblem
};

// Decides from a table that has parsed its arguments. The order of precedence: --help, --version,
// the table's first problem, more than `positionals_max` positional arguments (kExitUsage).
Start DecideStart(const FlagTable& table, size_t positionals_max);

// Parses all arguments, applies the environment and decides as DecideStart() does.
Start ReadCommandLine(std::span<const std::string> args, const Environment& environment,
                      size_t positionals_max, FlagTable* table);

class Program {
 public:
  // `name` begins each line on standard error, and the version line.
  explicit Program(std::string name) : name_(std::move(name)) {}

  // Prints the help text or "NAME VERSION" on standard output, or the problem on standard error.
  // Returns the exit status, kExitIo if standard output cannot be written; nullopt for kRun, with
  // nothing printed.
  std::optional<int> Answer(const Start& start, const std::function<std::string()>& help) const;

  // Prints "NAME: message" on standard error as one line, escaped (EscapedMessage).
  void Say(const std::string& message) const;
  // The same for an error. Returns `code`.
  int Complain(ExitCode code, const std::string& message) const;
  // The same with the exit status of the problem.
  int Complain(const UsageProblem& problem) const;
  // The same; further lines of the message are printed too, indented.
  int ComplainAtLength(ExitCode code, std::string_view message) const;
  // Prints "NAME: warning: …" for each.
  void Warn(const std::vector<std::string>& warnings) const;

 private:
  std::string name_;
};

// The body of main(): PrepareProcess(stop_signals), then `run` with the arguments after the
// program's name and the process's environment. Returns what `run` returns. Starts no thread.
int RunProgram(int argc, char** argv, StopSignals stop_signals,
               const std::function<int(const std::vector<std::string>& args,
                                       const Environment& environment)>& run);

}  // namespace dqueue::cmd
