#include "raft/testing/trace_args.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "raft/testing/trace_lines.h"

namespace dqueue::raft::test {
namespace {

constexpr uint64_t kMillisecondsMax = 24ull * 3600 * 1000;

std::string NodesAllowed(int nodes) { return absl::StrCat("n1 to n", nodes); }

}  // namespace

TraceArgs::TraceArgs(const TraceCommand& line) : place_(line.place) {
  std::string word;
  bool quoted = false;
  for (const char c : line.text) {
    if (c == '"') quoted = !quoted;
    if (c != ' ' || quoted) {
      word += c;
      continue;
    }
    if (!word.empty()) words_.push_back(std::move(word));
    word.clear();
  }
  if (!word.empty()) words_.push_back(std::move(word));
  if (words_.empty()) words_.emplace_back();
  if (quoted) Fail(absl::StrCat(words_.back(), " has no closing quote"));
}

bool TraceArgs::Take(const std::string& word) {
  if (!More() || words_[next_] != word) return false;
  ++next_;
  return true;
}

int TraceArgs::ParseNode(const std::string& word, int nodes) {
  for (int node = 1; node <= nodes; ++node) {
    if (word == absl::StrCat("n", node)) return node;
  }
  return 0;
}

int TraceArgs::Node(int nodes) {
  const int node = More() ? ParseNode(words_[next_], nodes) : 0;
  if (node == 0) Refuse(NodesAllowed(nodes));
  ++next_;
  return node;
}

TraceLink TraceArgs::Link(int nodes) {
  TraceLink link;
  if (More()) {
    const std::string& word = words_[next_];
    const size_t arrow = word.find("->");
    if (arrow != std::string::npos) {
      link.from = ParseNode(word.substr(0, arrow), nodes);
      link.to = ParseNode(word.substr(arrow + 2), nodes);
    }
  }
  if (link.from == 0 || link.to == 0 || link.from == link.to) {
    Refuse(absl::StrCat("nX->nY with two nodes of ", NodesAllowed(nodes)));
  }
  ++next_;
  return link;
}

std::string TraceArgs::OptionalKind() {
  if (!More()) return "";
  const std::vector<std::string>& kinds = TraceKinds();
  if (std::find(kinds.begin(), kinds.end(), words_[next_]) == kinds.end()) {
    Refuse(absl::StrJoin(kinds, ", "));
  }
  return words_[next_++];
}

Duration TraceArgs::Milliseconds() {
  if (!More() || !absl::EndsWith(words_[next_], "ms")) Refuse("milliseconds, such as 50ms");
  const std::string digits(absl::StripSuffix(words_[next_], "ms"));
  const uint64_t count = Parsed(digits, "milliseconds, ", 1, kMillisecondsMax);
  ++next_;
  return std::chrono::milliseconds(count);
}

uint64_t TraceArgs::Number(uint64_t min, uint64_t max) {
  const uint64_t number = Parsed(More() ? words_[next_] : "", "", min, max);
  ++next_;
  return number;
}

std::optional<uint64_t> TraceArgs::Option(const std::string& name, uint64_t min, uint64_t max) {
  if (!More()) return std::nullopt;
  absl::string_view value = words_[next_];
  if (!absl::ConsumePrefix(&value, absl::StrCat(name, "="))) return std::nullopt;
  const uint64_t number = Parsed(std::string(value), absl::StrCat(name, "="), min, max);
  ++next_;
  return number;
}

uint64_t TraceArgs::Parsed(const std::string& digits, const std::string& prefix, uint64_t min,
                           uint64_t max) const {
  uint64_t number = 0;
  if (!absl::SimpleAtoi(digits, &number) || number < min || number > max) {
    Refuse(absl::StrCat(prefix, min, " to ", max));
  }
  return number;
}

std::string TraceArgs::Quoted() {
  const std::string word = More() ? words_[next_] : "";
  if (word.size() < 2 || word.front() != '"' || word.find('"', 1) != word.size() - 1) {
    Refuse("text in quotes, such as \"a\"");
  }
  ++next_;
  return word.substr(1, word.size() - 2);
}

void TraceArgs::End() const {
  if (More()) Refuse("nothing more");
}

void TraceArgs::Refuse(const std::string& allowed) const {
  const std::string value = More() ? absl::StrCat("'", words_[next_], "'") : "end of line";
  Fail(absl::StrCat("unexpected ", value, "; allowed: ", allowed));
}

void TraceArgs::Fail(const std::string& what) const {
  throw ScriptError(absl::StrCat(place_, ": ", command(), ": ", what));
}

}  // namespace dqueue::raft::test
