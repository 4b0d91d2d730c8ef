// The vocabulary of the consensus core: distinct types for things that are all 64-bit numbers, and
// the entry. Shared with storage/, queue/ and node/. No I/O, no Protobuf.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/time.h"

namespace dqueue::raft {

// A 64-bit number that cannot be mistaken for another kind of number.
template <class Tag>
class Strong {
 public:
  constexpr Strong() = default;
  constexpr explicit Strong(uint64_t value) : value_(value) {}
  constexpr uint64_t value() const { return value_; }
  constexpr Strong Next() const { return Strong(value_ + 1); }
  // Requires value() > 0.
  constexpr Strong Prev() const { return Strong(value_ - 1); }
  constexpr Strong operator+(uint64_t n) const { return Strong(value_ + n); }
  friend constexpr auto operator<=>(const Strong&, const Strong&) = default;
  template <class H>
  friend H AbslHashValue(H h, const Strong& s) {
    return H::combine(std::move(h), s.value_);
  }

 private:
  uint64_t value_ = 0;
};

using Term = Strong<struct TermTag>;    // 0: before the first election
using Index = Strong<struct IndexTag>;  // of a log entry; the first is 1, 0 means "before the log"
// A member, for ever: the 64-bit hash of its name. 0 means "nobody" and is never a member.
using NodeId = Strong<struct NodeIdTag>;
// Drawn at random when a data directory is formatted. 0 means "not known yet".
using Incarnation = Strong<struct IncarnationTag>;
// Numbers the writes that one core has asked for, from 1. Completed in order.
using Token = Strong<struct TokenTag>;
// Numbers the confirmation rounds of one leader.
using ReadId = Strong<struct ReadIdTag>;

struct ClusterId {
  uint64_t hi = 0;
  uint64_t lo = 0;
  friend constexpr auto operator<=>(const ClusterId&, const ClusterId&) = default;
};

// Shared so that one encoding serves the log, every follower and the state machine. Never null in
// an Entry.
using Payload = std::shared_ptr<const std::string>;

enum class EntryKind : uint8_t {
  kNoop = 1,     // empty; the first entry of each leader (Raft thesis 6.4)
  kConfig = 2,   // an encoded Configuration (config.h)
  kCommand = 3,  // opaque to raft/ and storage/
};

struct Entry {
  Index index;
  Term term;
  EntryKind kind = EntryKind::kNoop;
  Payload payload;
  // What limits on bytes count: the payload and a fixed overhead.
  uint64_t SizeBytes() const { return (payload ? payload->size() : 0) + 32; }
};

// What Raft must not forget (Raft thesis fig. 3.1), and a hint of the commit index (never above
// what is durable).
struct HardState {
  Term term;
  NodeId vote;
  Index commit;
  friend bool operator==(const HardState&, const HardState&) = default;
};

// Where a snapshot stands in the log, with the configuration in force there.
struct SnapshotMeta {
  Index index;
  Term term;           // of the entry at index, not of the leader that sent it
  std::string config;  // EncodeConfiguration()
  friend bool operator==(const SnapshotMeta&, const SnapshotMeta&) = default;
};

}  // namespace dqueue::raft
