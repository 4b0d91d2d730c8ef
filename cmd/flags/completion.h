// Completion for bash, from the same table that parses.
#pragma once

#include <string>
#include <vector>

#include "cmd/flags/flags.h"

namespace dqueue::cmd {

struct CommandWords {
  std::string name;  // one word or two
  std::vector<Flag> flags;
};

// A script to be sourced by bash.
std::string BashCompletion(const std::string& program, const std::vector<CommandWords>& commands);

}  // namespace dqueue::cmd
