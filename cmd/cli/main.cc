// dqueue-cli: the command-line client.
#include <csignal>
#include <string>
#include <vector>

#include "cmd/cli/cli.h"
#include "cmd/flags/program.h"

int main(int argc, char** argv) {
  return dqueue::cmd::RunProgram(
      argc, argv,
      [](const std::vector<std::string>& args, const dqueue::cmd::Environment& environment) {
        // `dqueue-cli list --all | head` ends quietly. (The sockets never raise the signal.)
        signal(SIGPIPE, SIG_DFL);
        return dqueue::cmd::RunCli(args, environment);
      });
}
