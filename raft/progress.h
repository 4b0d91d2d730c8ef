// The leader's view of one other member: its log, and which messages may be sent next.
//
//   Probe      The point where the logs match is unknown. One append is sent; the next one waits
//              for its response. A heartbeat response allows a resend.
//   Replicate  The logs match up to `match`. Appends are pipelined up to next - 1 without waiting
//              for responses; the window bounds entries and bytes in flight.
//   Snapshot   The member needs compacted entries. Snapshot chunks are sent one at a time.
//
// Invariant: match < next. In Replicate, in_flight is exactly what was sent and not acknowledged.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "raft/message.h"
#include "raft/raft.h"
#include "raft/types.h"

namespace dqueue::raft {

// Appends in flight to one member.
class Window {
 public:
  void Add(Index last, uint64_t entries, uint64_t bytes);
  // Removes the appends that end at or before `match`.
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
    SnapshotCursor cursor;  // of the last request
    bool due = true;        // the request at `cursor` is still to be sent
    Time sent;              // when the last request was sent
    std::optional<SnapshotCursor>
        wanted;       // cursor of the last response; nullopt: the offer is unanswered
    int resends = 0;  // of the request, since the last response
  };

  // For a new leader: the logs probably match up to next - 1.
  Progress(NodeId id, bool voter, Index next, Time now);

  NodeId id() const { return id_; }
  State state() const { return state_; }
  Index match() const { return match_; }
  Index next() const { return next_; }
  const Window& in_flight() const { return in_flight_; }

  // How much may be sent from next() on. In Probe an append may be empty; a resent probe always is.
  struct Allowance {
    uint64_t entries = 0;
    uint64_t bytes = 0;
  };
  Allowance Room(const Options& options) const;
  // True if an append should be sent to this member. `last_index` is the end of the leader's log.
  bool WantsAppend(Index last_index, const Options& options) const;

  // Records an append with `entries` entries from next() on. 0 entries are allowed only in Probe.
  void AppendSent(uint64_t entries, uint64_t bytes, Time now);
  // All entries up to `match` match the leader's log and are durable. True if match() advanced.
  bool Acknowledged(Index match, Time now);
  // The member rejected the append after `rejected_prev`; the logs can match at most up to `hint`.
  // False: the response is out of date and has no effect.
  bool Rejected(Index rejected_prev, Index hint);
  // A heartbeat response arrived, so a lost append may be resent. Goes from Replicate to Probe if
  // appends are in flight and none was acknowledged for `patience`.
  void OnHeartbeatResponse(Time now, Duration patience);
  // The connection broke: appends in flight are probably lost.
  void Unreachable();
  void BecomeSnapshot(const SnapshotMeta& meta);
  // The member has installed the snapshot, or the entries after it are in its log.
  void SnapshotDone(Index index);

  // State that the member reported, and when. Any response counts for stickiness and check-quorum.
  bool voter;
  Time last_contact;
  bool low_space = false;
  bool low_memory = false;
  // The incarnation whose responses this leader counts; 0: no response yet (R12).
  Incarnation incarnation;
  // Confirmation rounds (R8): the newest id sent and the newest id echoed.
  ReadId read_sent;
  ReadId read_acked;
  SnapshotTransfer snapshot;  // valid in state Snapshot
  // The event during which entries were last read from storage for this member.
  uint64_t storage_read_event = 0;

 private:
  void BecomeProbe(Index next);
  void BecomeReplicate();

  NodeId id_;
  State state_ = State::kProbe;
  Index match_;
  Index next_;
  bool probe_sent_ = false;
  bool probe_resent_ = false;
  Window in_flight_;
  // When match last advanced, or when an append was sent with an empty window.
  Time last_progress_;
};

const char* ProgressStateName(Progress::State state);

}  // namespace dqueue::raft
