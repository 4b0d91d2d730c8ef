// One command line of a scripted trace, read word by word. Each reader takes the next word or
// throws ScriptError with file, line, the word and what is allowed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "raft/testing/trace_file.h"

namespace dqueue::raft::test {

// A direction between two nodes; 0 stands for every node.
struct TraceLink {
  int from = 0;
  int to = 0;
};

class TraceArgs {
 public:
  explicit TraceArgs(const TraceCommand& line);

  const std::string& command() const { return words_.front(); }
  // False if all words are read.
  bool More() const { return next_ < words_.size(); }
  // Takes the next word if it is `word`.
  bool Take(const std::string& word);
  // "n2", between n1 and n<nodes>.
  int Node(int nodes);
  bool NextIsLink() const { return More() && words_[next_].find("->") != std::string::npos; }
  // "n1->n2".
  TraceLink Link(int nodes);
  // "Append" and the other names of TraceKinds(); empty if there is no word left.
  std::string OptionalKind();
  // "50ms"; at least 1 ms.
  Duration Milliseconds();
  uint64_t Number(uint64_t min, uint64_t max);
  // The value of "<name>=3" if the next word begins with "<name>=".
  std::optional<uint64_t> Option(const std::string& name, uint64_t min, uint64_t max);
  // "\"a b\"", without the quotes.
  std::string Quoted();
  // Throws if words are left.
  void End() const;

  // Throws for the next word.
  [[noreturn]] void Refuse(const std::string& allowed) const;
  // Throws for the command as a whole.
  [[noreturn]] void Fail(const std::string& what) const;

 private:
  uint64_t Parsed(const std::string& digits, const std::string& prefix, uint64_t min,
                  uint64_t max) const;
  // 0 if it is not one.
  static int ParseNode(const std::string& word, int nodes);

  std::string place_;
  std::vector<std::string> words_;
  size_t next_ = 1;
};

}  // namespace dqueue::raft::test
