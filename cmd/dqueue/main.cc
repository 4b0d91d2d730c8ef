// dqueue: one node.
#include <cstdio>
#include <string>
#include <vector>

#include "cmd/dqueue/node_config.h"
#include "cmd/dqueue/node_process.h"
#include "cmd/flags/log_setup.h"
#include "cmd/flags/process_start.h"

int main(int argc, char** argv) {
  using namespace dqueue::cmd;
  PrepareProcess();
  const NodeCommand command =
      ReadNodeCommand(std::vector<std::string>(argv + 1, argv + argc), ProcessEnvironment());
  switch (command.kind) {
    case NodeCommand::Kind::kHelp:
      std::fputs(NodeHelp().c_str(), stdout);
      return kExitOk;
    case NodeCommand::Kind::kVersion:
      std::puts("dqueue " DQUEUE_VERSION);
      return kExitOk;
    case NodeCommand::Kind::kProblem:
      std::fprintf(stderr, "dqueue: %s\n", command.problem.message.c_str());
      return command.problem.code;
    case NodeCommand::Kind::kRun:
      break;
  }
  // Before any thread exists.
  BlockStopSignals();
  SetUpLog(command.config.log_level, command.config.log_format);
  return RunNode(command.config);
}
