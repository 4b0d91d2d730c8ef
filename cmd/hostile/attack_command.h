// The command `dqueue-hostile attack`: the attackers alone, against a cluster that runs.
#pragma once

#include <string>
#include <vector>

#include "cmd/flags/variables.h"

namespace dqueue::cmd {

// `args` are those after the command. Prints a table of the attacks and of how their calls ended.
// Returns the exit status.
int RunAttackCommand(const std::vector<std::string>& args, const Environment& environment);

}  // namespace dqueue::cmd
