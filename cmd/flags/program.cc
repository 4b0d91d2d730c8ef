#include "cmd/flags/program.h"

#include <cstdio>
#include <utility>

#include "cmd/flags/process_start.h"

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
      return kExitOk;
    case Start::Kind::kVersion:
      std::printf("%s %s\n", name_.c_str(), ProgramVersion());
      return kExitOk;
    case Start::Kind::kProblem:
      return Complain(start.problem);
  }
  return std::nullopt;
}

int Program::Complain(ExitCode code, const std::string& message) const {
  std::fprintf(stderr, "%s: %s\n", name_.c_str(), message.c_str());
  return code;
}

int Program::Complain(const UsageProblem& problem) const {
  return Complain(problem.code == kExitConfig ? bad_variable_ : problem.code, problem.message);
}

int RunProgram(int argc, char** argv,
               const std::function<int(const std::vector<std::string>& args,
                                       const Environment& environment)>& run) {
  PrepareProcess();
  // An empty argument list has not even the program's name.
  const std::vector<std::string> args(argv + (argc > 0 ? 1 : 0), argv + argc);
  return run(args, ProcessEnvironment());
}

}  // namespace dqueue::cmd
