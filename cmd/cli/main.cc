// dqueue-cli: the command-line client.
#include "cmd/cli/cli.h"
#include "cmd/flags/program.h"

int main(int argc, char** argv) {
  return dqueue::cmd::RunProgram(argc, argv, dqueue::cmd::StopSignals::kDefault,
                                 dqueue::cmd::RunCli);
}
