// dqueue: one node.
#include <optional>
#include <string>
#include <vector>

#include "cmd/dqueue/node_config.h"
#include "cmd/dqueue/node_process.h"
#include "cmd/flags/log_setup.h"
#include "cmd/flags/program.h"

namespace dqueue::cmd {
namespace {

int Run(const std::vector<std::string>& args, const Environment& environment) {
  const Program program("dqueue");
  const NodeCommand command = ReadNodeCommand(args, environment);
  if (std::optional<int> code = program.Answer(command.start, NodeHelp)) return *code;
  SetUpLog(command.config.log_level, command.config.log_format);
  return RunNode(command.config);
}

}  // namespace
}  // namespace dqueue::cmd

int main(int argc, char** argv) {
  return dqueue::cmd::RunProgram(argc, argv, dqueue::cmd::StopSignals::kBlocked, dqueue::cmd::Run);
}
