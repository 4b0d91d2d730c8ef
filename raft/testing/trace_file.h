// The text of a scripted trace: events in, expected output out (the form of datadriven tests).
//
//   # A comment, for the reader.
//   nodes 3
//   timeout n1
//   ----
//   300ms  n1 pre-candidate term=1
//
// A block is one or more commands, a line of four dashes, and the lines that the commands are
// expected to give. The output ends at an empty line or at the end of the file. Comments and empty
// lines stand before the commands of a block, or between them.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace dqueue::raft::test {

// A mistake in a script. The message names file, line, the value and what is allowed.
struct ScriptError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct TraceCommand {
  std::string place;  // "figure_8.txt:12"
  std::string text;
};

struct TraceBlock {
  std::vector<std::string> source;  // comments, empty lines and commands, as written
  std::vector<TraceCommand> commands;
  std::string place;  // of the first line of `output`
  std::vector<std::string> output;
};

struct TraceFile {
  std::vector<TraceBlock> blocks;
  std::vector<std::string> rest;  // comments and empty lines after the last block
};

// Throws ScriptError if `text` has no block, a block without commands, or commands without a block.
TraceFile ParseTrace(const std::string& name, const std::string& text);
std::string RenderTrace(const TraceFile& file);

// The lines of both with " ", "-" (only expected) or "+" (only actual) in front; empty if equal.
// Equal lines that are far from a difference are left out.
std::string LineDiff(const std::vector<std::string>& expected,
                     const std::vector<std::string>& actual);

}  // namespace dqueue::raft::test
