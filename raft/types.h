// Types of the consensus core: distinct integer types, log entries and hard state. Shared with
// storage/, queue/ and node/. No I/O and no Protobuf.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/time.h"

namespace dqueue::raft {

// A 64-bit number with its own type: a Term cannot be passed as an Index.
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
using Index = Strong<struct IndexTag>;  // index of a log entry; the first is 1, 0 is before the log
// A member's id: the 64-bit hash of its name (config.h). It never changes. 0: no member.
using NodeId = Strong<struct NodeIdTag>;
// Identifies one formatting of a data directory; drawn at random. 0: unknown.
using Incarnation = Strong<struct IncarnationTag>;
// Identifies one Output whose writes must become durable, from 1. Tokens complete in order.
using Token = Strong<struct TokenTag>;
// Identifies one confirmation round of one leader (R8), from 1.
using ReadId = Strong<struct ReadIdTag>;

// One start of a node with its disk. Numbers grow by one from start to start, from 1; the mark is
// drawn at random and differs between two starts of the same number, which happen if a disk goes
// back in time. Number 0: unknown (the sender is of an earlier version).
struct Boot {
  uint64_t number = 0;
  uint64_t mark = 0;
  friend bool operator==(const Boot&, const Boot&) = default;
};

struct ClusterId {
  uint64_t hi = 0;
  uint64_t lo = 0;
  friend constexpr auto operator<=>(const ClusterId&, const ClusterId&) = default;
};

// Shared, so that the log, every follower and the state machine use one copy. Never null in an
// Entry.
using Payload = std::shared_ptr<const std::string>;

enum class EntryKind : uint8_t {
  kNoop = 1,     // empty; the first entry of each leader's term (Raft thesis 6.4)
  kConfig = 2,   // an encoded Configuration (config.h)
  kCommand = 3,  // opaque to raft/ and storage/
};

struct Entry {
  Index index;
  Term term;
  EntryKind kind = EntryKind::kNoop;
  Payload payload;
  // The size that byte limits count: the payload plus 32 bytes of overhead.
  uint64_t SizeBytes() const { return (payload ? payload->size() : 0) + 32; }
};

// Raft's persistent state (Raft thesis, figure 3.1) without the log. `commit` is a hint: it is
// never above the durable end of the log.
struct HardState {
  Term term;
  NodeId vote;
  Index commit;
  friend bool operator==(const HardState&, const HardState&) = default;
};

// The last log position that a snapshot contains, and the configuration in force there.
struct SnapshotMeta {
  Index index;
  Term term;           // term of the entry at `index`, not of the leader that sent the snapshot
  std::string config;  // EncodeConfiguration()
  friend bool operator==(const SnapshotMeta&, const SnapshotMeta&) = default;
};

}  // namespace dqueue::raft
