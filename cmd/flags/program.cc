#include "cmd/flags/program.h"

#include <cstdio>
#include <utility>

#include "absl/strings/str_split.h"
#include "base/string_seam.h"
#include "cmd/flags/escape.h"
#include "cmd/flags/text_output.h"

namespace dqueue::cmd {

const char* ProgramVersion() { return DQUEUE_VERSION; }

Start DecideStart(const FlagTable& table, size_t positionals_max) {
  if (table.help_wanted()) return {.kind = Start::Kind::kHelp, .problem = {}};
  if (table.version_wanted()) return {.kind = Start::Kind::kVersion, .problem = {}};
  if (table.problem()) return {Start::Kind::kProblem, *table.problem()};
  if (table.positionals().size() > positionals_max) {
    return {Start::Kind::kProblem,
            {kExitUsage, "unexpected argument " + Quoted(table.positionals()[positionals_max])}};
  }
  return {};
}

Start ReadCommandLine(std::span<const std::string> args, const Environment& environment,
                      size_t positionals_max, FlagTable* table) {
  table->Parse(args);
  table->ApplyEnvironment(environment);
  return DecideStart(*table, positionals_max);
}

std::optional<int> Program::Answer(const Start& start,
                                   const std::function<std::string()>& help) const {
  switch (start.kind) {
    case Start::Kind::kRun:
      return std::nullopt;
    case Start::Kind::kHelp:
      std::fputs(help().c_str(), stdout);
      return FinishOutput() ? kExitOk : kExitIo;
    case Start::Kind::kVersion:
      std::printf("%s %s\n", name_.c_str(), ProgramVersion());
      return FinishOutput() ? kExitOk : kExitIo;
    case Start::Kind::kProblem:
      return Complain(start.problem);
  }
  return std::nullopt;
}

void Program::Say(const std::string& message) const {
  // Results that were printed before the message come before it, also in a file or pipe.
  std::fflush(stdout);
  std::fprintf(stderr, "%s: %s\n", name_.c_str(), EscapedMessage(message).c_str());
}

int Program::Complain(ExitCode code, const std::string& message) const {
  Say(message);
  return code;
}

int Program::Complain(const UsageProblem& problem) const {
  return Complain(problem.code, problem.message);
}

int Program::ComplainAtLength(ExitCode code, std::string_view message) const {
  const std::vector<std::string> lines = absl::StrSplit(AbslView(message), '\n');
  Say(lines[0]);
  for (const std::string& line : std::span(lines).subspan(1)) {
    std::fprintf(stderr, "  %s\n", EscapedMessage(line).c_str());
  }
  return code;
}

void Program::Warn(const std::vector<std::string>& warnings) const {
  for (const std::string& warning : warnings) Say("warning: " + warning);
}

int RunProgram(int argc, char** argv, StopSignals stop_signals,
               const std::function<int(const std::vector<std::string>& args,
                                       const Environment& environment)>& run) {
  PrepareProcess(stop_signals);
  // An empty argument list has not even the program's name.
  const std::vector<std::string> args(argv + (argc > 0 ? 1 : 0), argv + argc);
  return run(args, ProcessEnvironment());
}

}  // namespace dqueue::cmd
