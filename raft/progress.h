// What a leader knows of one other member, and what it may send it next.
//
//   Probe      where the logs agree is not known: one append, then wait for its answer (or a sign
//   of
//              life, after which it is repeated).
//   Replicate  they agree up to match, and appends are pipelined up to next - 1 on the assumption
//              that they arrive; the window bounds what is in flight, in entries and bytes.
//   Snapshot   the member needs entries that are compacted: snapshot pieces, one at a time.
//
// Invariant: match < next. In Replicate, in_flight covers exactly what was sent and not
// acknowledged.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "raft/message.h"
#include "raft/raft.h"
#include "raft/types.h"

namespace dqueue::raft {

// Appends under way to one member.
class Window {
 public:
  void Add(Index last, uint64_t entries, uint64_t bytes);
  // Appends up to and including `match` are acknowledged.
  void FreeTo(Index match);
  void Clear();
  bool empty() const { return sent_.empty(); }
  uint64_t entries() const { return entries_; }
  uint64_t bytes() const { return bytes_; }

 private:
  struct Sent {
    Index last;
    uint64_t entries;
    uint64_t bytes;
  };
  std::deque<Sent> sent_;
  uint64_t entries_ = 0;
  uint64_t bytes_ = 0;
};

class Progress {
 public:
  enum class State { kProbe, kReplicate, kSnapshot };
  struct SnapshotTransfer {
    SnapshotMeta meta;
    SnapshotCursor cursor;                 // of the last request
    bool due = true;                       // that request is to be sent
    Time sent;                             // when it was
    std::optional<SnapshotCursor> wanted;  // the last answer; none: the offer is unanswered
    int repeats = 0;                       // of the request since the last answer
  };

  // As a new leader starts: the log probably agrees up to next - 1, nothing is certain.
  Progress(NodeId id, bool voter, Index next, Time now);

  NodeId id() const { return id_; }
  State state() const { return state_; }
  Index match() const { return match_; }
  Index next() const { return next_; }
  const Window& in_flight() const { return in_flight_; }

  // How much may be sent from next() on. In Probe an append without entries asks as well as any; a
  // probe that is repeated has none.
  struct Allowance {
    uint64_t entries = 0;
    uint64_t bytes = 0;
  };
  Allowance Room(const Options& options) const;
  // Whether an append is to be sent to this member, given the end of the leader's log.
  bool WantsAppend(Index last_index, const Options& options) const;

  // An append with `entries` entries (0 only in Probe) from next() on was sent.
  void AppendSent(uint64_t entries, uint64_t bytes, Time now);
  // Everything up to `match` is durable there and agrees. True if that was news.
  bool Acknowledged(Index match, Time now);
  // The append after `rejected_prev` did not fit; agreement is possible at `hint` at the latest.
  // False: the answer to something older, without effect.
  bool Refused(Index rejected_prev, Index hint);
  // A sign of life: what was lost may be repeated. Falls back from Replicate to Probe when nothing
  // was acknowledged for `patience` although something is in flight.
  void Alive(Time now, Duration patience);
  // The connection broke: what is in flight is probably lost.
  void Unreachable();
  void BecomeSnapshot(const SnapshotMeta& meta);
  // The member has the snapshot, or the entries after it are available after all.
  void SnapshotDone(Index index);

  // What the member said of itself, and when (stickiness and check-quorum count any answer).
  bool voter;
  Time last_contact;
  bool low_space = false;
  // The incarnation whose answers this leader has counted; 0: none yet (R12).
  Incarnation incarnation;
  // Confirmation rounds (R8): newest id sent, newest echoed.
  ReadId read_sent;
  ReadId read_acked;
  SnapshotTransfer snapshot;  // in state Snapshot
  // The event in whose course entries were last read back from storage for this member.
  uint64_t read_back_event = 0;

 private:
  void BecomeProbe(Index next);
  void BecomeReplicate();

  NodeId id_;
  State state_ = State::kProbe;
  Index match_;
  Index next_;
  bool probe_sent_ = false;
  bool probe_repeated_ = false;
  Window in_flight_;
  // When match last moved, or something was sent into an empty window.
  Time moved_;
};

const char* ProgressStateName(Progress::State state);

}  // namespace dqueue::raft
