// Measures the turns of the loop, and what they spend their time on, with a real clock.
//
// The lengths are for operators only: no decision of the node depends on them. Used on the loop's
// thread.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <utility>

#include "base/histogram.h"
#include "base/time.h"

namespace dqueue::node {

// The kinds of work in a turn. kTurn: the whole turn.
enum class TurnPart : size_t {
  kTurn,
  kMessages,   // what became durable, messages of peers, raft's timers
  kCalls,      // calls of clients: admission, commands for the log
  kTasks,      // status pages, snapshot files
  kTimers,     // ends of waits, deadlines, parts of purges, redrives and groupings
  kApply,      // committed entries, and the answers to their calls
  kLeases,     // confirmed lease calls
  kReads,      // confirmed reads
  kProposals,  // batches given to raft
  kOutputs,    // writes to the log's thread, messages to peers
  kSnapshots,  // pieces of a snapshot
};
inline constexpr size_t kTurnParts = 11;
// The name of a part, as the label `kind` of the metric has it.
inline constexpr std::array<const char*, kTurnParts> kTurnPartNames = {
    "turn",   "messages", "calls",     "tasks",   "timers",   "apply",
    "leases", "reads",    "proposals", "outputs", "snapshots"};

struct TurnTimes {
  // By part. A part that took less than a microsecond is not counted.
  std::array<Histogram, kTurnParts> parts;
  Duration longest{};  // the longest turn since Node::Open

  const Histogram& of(TurnPart part) const { return parts[static_cast<size_t>(part)]; }
};

class TurnMeter {
 public:
  // A clock that never goes back. Null: nothing is measured.
  using Clock = std::function<Time()>;
  explicit TurnMeter(Clock clock) : clock_(std::move(clock)) {}

  // Measures a part, or the whole turn, from here to the end of the scope. Parts may be nested in
  // the turn, not in one another.
  class Span {
   public:
    Span(TurnMeter* meter, TurnPart part) : meter_(meter), part_(part), begin_(meter->Now()) {}
    ~Span() { meter_->Count(part_, meter_->Now() - begin_); }
    Span(const Span&) = delete;
    Span& operator=(const Span&) = delete;

   private:
    TurnMeter* const meter_;
    const TurnPart part_;
    const Time begin_;
  };

  const TurnTimes& times() const { return times_; }

 private:
  Time Now() const { return clock_ ? clock_() : Time(); }
  void Count(TurnPart part, Duration length) {
    if (length <= Duration::zero()) return;
    times_.parts[static_cast<size_t>(part)].Observe(length);
    if (part == TurnPart::kTurn) times_.longest = std::max(times_.longest, length);
  }

  const Clock clock_;
  TurnTimes times_;
};

}  // namespace dqueue::node
