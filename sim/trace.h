// The trace of a run: a ring of the newest events, formatted only when they are printed, and a hash
// over all events. Two runs of a seed must have equal hashes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "raft/message.h"
#include "raft/types.h"

namespace dqueue::sim {

// The meaning of TraceEvent::a … d depends on the kind.
enum class TraceKind : uint8_t {
  kDeliver,  // peer -> node: a message; sub is the index of its body
  kLost,     // node -> peer: frame dropped
  kRole,     // sub: raft::Role; a: term, b: leader's number
  kCommit,   // first apply of a: index, b: term, c: commands
  kBoot,     // a: term, b: last index, c: snapshot index
  kRefused,  // the process refused to start; text: why
  kDown,     // the process ended; text: why
  kPaused,   // a: microseconds
  kDisk,     // a disk fault; text: which
  kClock,    // a: jump of the wall clock in ms (two's complement)
  kLink,     // node -> peer; sub 0: cut, 1: healed
  kCall,     // a call arrives; sub: kind of call, a: call, b: client, c: first job, d: its token
  kAnswer,   // sub: kind of call, a: call, b: client, c: items that are OK, d: errors
  kGrant,    // a: job, b: token term, c: token sequence
  kPhase,    // text
  kNote,     // text, a
};

struct TraceEvent {
  Time at{};
  TraceKind kind = TraceKind::kNote;
  uint8_t node = 0;
  uint8_t peer = 0;
  uint8_t sub = 0;
  uint64_t a = 0, b = 0, c = 0, d = 0;
  const char* text = "";  // must be a string literal
};

class Trace {
 public:
  explicit Trace(bool print);

  void Add(const TraceEvent& event);
  void AddMessage(Time at, int from, int to, const raft::Message& message);
  // The last `count` events, one line each.
  std::string Tail(size_t count) const;
  uint64_t hash() const { return hash_; }
  uint64_t events() const { return added_; }

 private:
  static constexpr size_t kKept = 4096;
  bool print_;
  std::vector<TraceEvent> ring_;
  uint64_t added_ = 0;
  uint64_t hash_ = 0x9e3779b97f4a7c15ULL;
};

// "[  1.234567] n2 > append 3..5 prev 2^1 commit 2 from n1".
std::string Describe(const TraceEvent& event);

}  // namespace dqueue::sim
