#include "raft/testing/trace_file.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace dqueue::raft::test {
namespace {

constexpr absl::string_view kSeparator = "----";
// Equal lines shown before and after a difference.
constexpr size_t kContextLines = 3;

void AppendLines(const std::vector<std::string>& lines, std::string* text) {
  for (const std::string& line : lines) absl::StrAppend(text, line, "\n");
}

// Lengths of the longest common subsequences of the tails of both.
std::vector<std::vector<uint32_t>> CommonLengths(const std::vector<std::string>& a,
                                                 const std::vector<std::string>& b) {
  std::vector<std::vector<uint32_t>> lengths(a.size() + 1, std::vector<uint32_t>(b.size() + 1));
  for (size_t i = a.size(); i-- > 0;) {
    for (size_t j = b.size(); j-- > 0;) {
      lengths[i][j] =
          a[i] == b[j] ? lengths[i + 1][j + 1] + 1 : std::max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  return lengths;
}

// Without the equal lines that are far from a difference.
std::string WithContext(const std::vector<std::string>& lines) {
  std::vector<bool> kept(lines.size());
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i][0] == ' ') continue;
    const size_t first = i < kContextLines ? 0 : i - kContextLines;
    for (size_t k = first; k <= std::min(i + kContextLines, lines.size() - 1); ++k) kept[k] = true;
  }
  std::string text;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (kept[i]) {
      absl::StrAppend(&text, lines[i], "\n");
    } else if (i == 0 || kept[i - 1]) {
      text += "  ...\n";
    }
  }
  return text;
}

}  // namespace

TraceFile ParseTrace(const std::string& name, const std::string& text) {
  TraceFile file;
  TraceBlock block;
  bool in_output = false;
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(absl::StripSuffix(text, "\n"), '\n')) {
    const std::string place = absl::StrCat(name, ":", ++number);
    if (in_output && !line.empty()) {
      file.blocks.back().output.emplace_back(line);
      continue;
    }
    in_output = false;
    if (line == kSeparator) {
      if (block.commands.empty()) {
        throw ScriptError(absl::StrCat(place, ": \"----\" without a command before it"));
      }
      block.place = absl::StrCat(name, ":", number + 1);
      file.blocks.push_back(std::move(block));
      block = {};
      in_output = true;
      continue;
    }
    block.source.emplace_back(line);
    if (!line.empty() && line[0] != '#') block.commands.push_back({place, std::string(line)});
  }
  if (!block.commands.empty()) {
    throw ScriptError(absl::StrCat(block.commands.front().place, ": \"",
                                   block.commands.front().text, "\" is not followed by \"----\""));
  }
  if (file.blocks.empty()) {
    throw ScriptError(absl::StrCat(name, ":1: no commands; expected a block such as \"nodes 3\""));
  }
  file.rest = std::move(block.source);
  return file;
}

std::string RenderTrace(const TraceFile& file) {
  std::string text;
  for (const TraceBlock& block : file.blocks) {
    AppendLines(block.source, &text);
    absl::StrAppend(&text, kSeparator, "\n");
    AppendLines(block.output, &text);
  }
  AppendLines(file.rest, &text);
  return text;
}

std::string LineDiff(const std::vector<std::string>& expected,
                     const std::vector<std::string>& actual) {
  if (expected == actual) return "";
  const std::vector<std::vector<uint32_t>> common = CommonLengths(expected, actual);
  std::vector<std::string> lines;
  size_t i = 0;
  size_t j = 0;
  while (i < expected.size() || j < actual.size()) {
    if (i < expected.size() && j < actual.size() && expected[i] == actual[j]) {
      lines.push_back("  " + expected[i]);
      ++i;
      ++j;
    } else if (j == actual.size() ||
               (i < expected.size() && common[i + 1][j] >= common[i][j + 1])) {
      lines.push_back("- " + expected[i++]);
    } else {
      lines.push_back("+ " + actual[j++]);
    }
  }
  return WithContext(lines);
}

}  // namespace dqueue::raft::test
