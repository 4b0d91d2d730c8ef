// dqueue-cli: for people and scripts.
#include <csignal>
#include <string>
#include <vector>

#include "cmd/cli/cli.h"
#include "cmd/flags/process_start.h"

int main(int argc, char** argv) {
  dqueue::cmd::PrepareProcess();
  // `dqueue-cli list --all | head` ends quietly. (The sockets never raise the signal.)
  signal(SIGPIPE, SIG_DFL);
  return dqueue::cmd::RunCli(std::vector<std::string>(argv + 1, argv + argc),
                             dqueue::cmd::ProcessEnvironment());
}
