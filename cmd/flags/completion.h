// Shell completion, generated from the flag tables.
#pragma once

#include <string>
#include <vector>

#include "cmd/flags/flags.h"

namespace dqueue::cmd {

struct CompletionEntry {
  std::string name;  // "enqueue", or two words: "log dump"
  std::vector<Flag> flags;
};

// Returns a bash script that completes commands, flags and choices when it is sourced.
std::string BashCompletion(const std::string& program,
                           const std::vector<CompletionEntry>& commands);

}  // namespace dqueue::cmd
