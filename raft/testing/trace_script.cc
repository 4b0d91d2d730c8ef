#include "raft/testing/trace_script.h"

#include "absl/strings/str_cat.h"
#include "raft/testing/test_cluster.h"
#include "raft/testing/trace_file.h"
#include "raft/testing/trace_interpreter.h"

namespace dqueue::raft::test {
namespace {

// Executes the commands of `file` and replaces the expected output. Ends at the first violation.
void Execute(TraceFile* file) {
  const ChecksThrow checks;
  TraceInterpreter interpreter;
  bool ended = false;
  for (TraceBlock& block : file->blocks) {
    try {
      for (const TraceCommand& command : block.commands) {
        if (!ended) interpreter.Execute(command);
      }
    } catch (const Violation& violation) {
      const std::string text = violation.what();
      interpreter.SayViolation(text.substr(0, text.find('\n')));
      ended = true;
    }
    block.output = interpreter.TakeOutput();
  }
}

}  // namespace

TraceResult RunTrace(const std::string& name, const std::string& text) {
  TraceResult result;
  try {
    const TraceFile expected = ParseTrace(name, text);
    TraceFile actual = expected;
    Execute(&actual);
    for (size_t i = 0; i < expected.blocks.size(); ++i) {
      const TraceBlock& block = expected.blocks[i];
      const std::string diff = LineDiff(block.output, actual.blocks[i].output);
      if (!diff.empty()) absl::StrAppend(&result.diff, block.place, ":\n", diff);
    }
    result.actual = RenderTrace(actual);
  } catch (const ScriptError& error) {
    return {.actual = "", .diff = "", .error = error.what()};
  }
  return result;
}

}  // namespace dqueue::raft::test
