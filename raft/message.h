// Messages between members: one struct for each RPC of the Raft paper and thesis, in one envelope
// (Message).
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "raft/types.h"

namespace dqueue::raft {

// What the sender of a message remembers of the receiver (R13). boot.number 0: nothing.
struct KnownBoot {
  Incarnation incarnation;
  Boot boot;
  Term term;  // the highest term that this incarnation named in a message
  // The start that the sender heard of before `boot`. A copy that was started twice before a member
  // heard from it has a new number, but not this start. number 0: none.
  Boot before = {};
  bool operator==(const KnownBoot&) const = default;
};
// Raft thesis 9.6. Message::term is the sender's current term; receivers do not adopt next_term.
struct PreVoteRequest {
  Term next_term;  // the term of the election that the sender would start
  Index last_index;
  Term last_term;
  KnownBoot known = {};
  bool operator==(const PreVoteRequest&) const = default;
};
struct PreVoteResponse {
  Term next_term;  // copied from the request
  bool granted = false;
  KnownBoot known = {};
  Index last_index = {};  // of the sender's log; 0: not told (an earlier version)
  bool operator==(const PreVoteResponse&) const = default;
};
struct VoteRequest {
  Index last_index;
  Term last_term;
  // The leader requested this election by TimeoutNow: leader stickiness does not apply
  // (thesis 3.10).
  bool transfer = false;
  KnownBoot known = {};
  bool operator==(const VoteRequest&) const = default;
};
struct VoteResponse {
  bool granted = false;
  bool operator==(const VoteResponse&) const = default;
};
struct AppendRequest {
  Index prev_index;
  Term prev_term;
  // The leader's commit index. The follower commits at most prev_index + entries.size() (R4).
  Index commit;
  ReadId read_id;              // as in HeartbeatRequest
  std::vector<Entry> entries;  // contiguous from prev_index + 1
};
struct AppendResponse {
  bool success = false;
  // If success: all entries up to here match the leader's log and are durable.
  Index match;
  // If not success: rejected_prev is the request's prev_index. hint_index is the last index at
  // which the logs may match, hint_term the term of the follower's entry there (0: unknown).
  Index rejected_prev;
  Index hint_index;
  Term hint_term;
  bool low_space = false;   // the sender's disk has no room for new jobs
  bool low_memory = false;  // the sender's memory has none
  bool operator==(const AppendResponse&) const = default;
};
struct HeartbeatRequest {
  Index commit;    // min(the follower's match index, the leader's commit index) (R4)
  ReadId read_id;  // the newest confirmation round (R8); the response copies it
  bool operator==(const HeartbeatRequest&) const = default;
};
struct HeartbeatResponse {
  ReadId read_id;
  bool low_space = false;
  bool low_memory = false;
  bool operator==(const HeartbeatResponse&) const = default;
};
// A position in a snapshot: byte `offset` of file number `file` of its manifest.
struct SnapshotCursor {
  uint32_t file = 0;
  uint64_t offset = 0;
  friend auto operator<=>(const SnapshotCursor&, const SnapshotCursor&) = default;
};
// One chunk of a snapshot. The core leaves `manifest`, `data` and `crc32c` empty; the shell fills
// them from the snapshot store before it sends the message. The first request of a transfer is an
// offer with the cursor at the start. The receiver responds with the first cursor that it needs; it
// may have some of the files already. The receiver ignores a chunk at any other cursor.
struct SnapshotRequest {
  SnapshotMeta meta;
  std::string manifest;   // describes the snapshot's files (storage/snapshots)
  SnapshotCursor cursor;  // position of `data`
  std::string data;
  uint32_t crc32c = 0;
  bool operator==(const SnapshotRequest&) const = default;
};
struct SnapshotResponse {
  Index index;  // index and term of the snapshot
  Term snapshot_term;
  SnapshotCursor next;  // the first byte that the receiver still needs
  // Entries up to `index` are installed, or the receiver's log already contained them.
  bool done = false;
  bool refused = false;  // a checksum failed; the sender starts again
  bool operator==(const SnapshotResponse&) const = default;
};
// Tells the target to start an election at once (thesis 3.10).
struct TimeoutNow {
  bool operator==(const TimeoutNow&) const = default;
};

// Tells a node that its messages are dropped, and why. Never changes a term, a vote or a log.
struct Refusal {
  enum class Reason : uint8_t {
    kOtherCluster = 1,      // Message::cluster is the sender's
    kOtherIncarnation = 2,  // the sender's configuration binds `bound` to the receiver's name
    kNotMember = 3,         // the sender's configuration does not name the receiver
    kWentBack = 4,  // the sender remembers `known`, which the receiver's messages contradict
  };
  Reason reason = Reason::kOtherCluster;
  Incarnation bound = {};
  KnownBoot known = {};
  bool operator==(const Refusal&) const = default;
};
inline constexpr size_t kRefusalReasons = 4;

using MessageBody = std::variant<PreVoteRequest, PreVoteResponse, VoteRequest, VoteResponse,
                                 AppendRequest, AppendResponse, HeartbeatRequest, HeartbeatResponse,
                                 SnapshotRequest, SnapshotResponse, TimeoutNow, Refusal>;

struct Message {
  ClusterId cluster;
  NodeId from;
  Incarnation from_incarnation;
  Boot from_boot = {};
  NodeId to;
  Term term;
  MessageBody body;
  // Clocks, in Unix milliseconds; 0: not told. The core leaves and ignores them; the shell sets
  // them when it sends.
  int64_t wall_ms = 0;     // the sender's wall clock
  int64_t cluster_ms = 0;  // the cluster's time, from a leader that serves
  // The highest level of the replicated state that the sender's program knows. For the shell: the
  // core does not look at it.
  uint32_t state_level = 0;
};

// "other cluster", "other incarnation", "not a member", "went back".
const char* ReasonName(Refusal::Reason reason);

// One line for logs, without payloads: "append 3..5 prev 2^1 commit 2". "2^1" is index 2, term 1.
std::string Describe(const Message& message);

}  // namespace dqueue::raft
