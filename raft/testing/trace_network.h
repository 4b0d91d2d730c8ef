// The network of a scripted trace. A message stays in flight until the script, or its settle and
// run commands, take it out.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "raft/message.h"
#include "raft/testing/trace_args.h"
#include "raft/testing/trace_lines.h"

namespace dqueue::raft::test {

class TraceNetwork {
 public:
  struct Flight {
    Time sent;
    Message message;
  };
  struct Pattern {
    TraceLink link;    // 0: every node
    std::string kind;  // empty: every kind
    bool Matches(const Message& message) const {
      return (link.from == 0 || message.from == NodeId(static_cast<uint64_t>(link.from))) &&
             (link.to == 0 || message.to == NodeId(static_cast<uint64_t>(link.to))) &&
             (kind.empty() || kind == TraceKind(message));
    }
  };

  void Add(Flight flight) { flights_.push_back(std::move(flight)); }
  // Oldest first.
  const std::deque<Flight>& flights() const { return flights_; }
  // The oldest message that is not held; nullptr if there is none.
  const Flight* Next() const {
    const auto next = std::find_if(flights_.begin(), flights_.end(),
                                   [this](const Flight& f) { return !IsHeld(f.message); });
    return next == flights_.end() ? nullptr : &*next;
  }
  // Takes out the messages that match, oldest first, at most `limit` of them.
  std::vector<Flight> TakeMatching(const Pattern& pattern, size_t limit, bool held_too) {
    std::vector<Flight> taken;
    std::deque<Flight> kept;
    for (Flight& flight : flights_) {
      const bool wanted = taken.size() < limit && pattern.Matches(flight.message) &&
                          (held_too || !IsHeld(flight.message));
      if (wanted) {
        taken.push_back(std::move(flight));
      } else {
        kept.push_back(std::move(flight));
      }
    }
    flights_ = std::move(kept);
    return taken;
  }

  // Messages that match wait for a deliver command with their link.
  void Hold(Pattern pattern) { holds_.push_back(std::move(pattern)); }
  void Release() { holds_.clear(); }
  // Messages sent on the link from now on are lost.
  void Cut(TraceLink link) { cuts_.push_back({.link = link, .kind = ""}); }
  void Heal() { cuts_.clear(); }
  bool IsCut(const Message& message) const { return AnyMatches(cuts_, message); }

 private:
  bool IsHeld(const Message& message) const { return AnyMatches(holds_, message); }
  static bool AnyMatches(const std::vector<Pattern>& patterns, const Message& message) {
    return std::any_of(patterns.begin(), patterns.end(),
                       [&](const Pattern& pattern) { return pattern.Matches(message); });
  }

  std::deque<Flight> flights_;
  std::vector<Pattern> holds_;
  std::vector<Pattern> cuts_;
};

}  // namespace dqueue::raft::test
