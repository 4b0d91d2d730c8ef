// What members say to each other: one struct for each RPC of the Raft paper and thesis, and one
// envelope.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "raft/types.h"

namespace dqueue::raft {

// Raft thesis 9.6. Envelope.term is the sender's current term; nobody adopts next_term.
struct PreVoteRequest {
  Term next_term;  // the term in which the sender would campaign
  Index last_index;
  Term last_term;
  bool operator==(const PreVoteRequest&) const = default;
};
struct PreVoteResponse {
  Term next_term;  // echoed
  bool granted = false;
  bool operator==(const PreVoteResponse&) const = default;
};
struct VoteRequest {
  Index last_index;
  Term last_term;
  bool transfer =
      false;  // the leader itself asked for this election: stickiness does not apply (thesis 3.10)
  bool operator==(const VoteRequest&) const = default;
};
struct VoteResponse {
  bool granted = false;
  bool operator==(const VoteResponse&) const = default;
};
struct AppendRequest {
  Index prev_index;
  Term prev_term;
  Index commit;    // the leader's commit index; the follower commits no further than prev_index +
                   // entries (R4)
  ReadId read_id;  // as in HeartbeatRequest
  std::vector<Entry> entries;  // contiguous from prev_index + 1
};
struct AppendResponse {
  bool success = false;
  // success: everything up to here agrees with the sender's log and is durable.
  Index match;
  // Not success: prev_index of the refused request, and where the logs may agree: hint_index is the
  // last index that could match, hint_term the term of the follower's entry there (0: none).
  Index rejected_prev;
  Index hint_index;
  Term hint_term;
  bool low_space = false;  // the sender's disk has no room for more jobs
  bool operator==(const AppendResponse&) const = default;
};
struct HeartbeatRequest {
  Index commit;    // min(what this follower is known to have, commit) (R4)
  ReadId read_id;  // newest confirmation round; echoed (R8)
  bool operator==(const HeartbeatRequest&) const = default;
};
struct HeartbeatResponse {
  ReadId read_id;
  bool low_space = false;
  bool operator==(const HeartbeatResponse&) const = default;
};
// A place in the files of a snapshot: byte `offset` of the `file`-th file of its manifest.
struct SnapshotCursor {
  uint32_t file = 0;
  uint64_t offset = 0;
  friend auto operator<=>(const SnapshotCursor&, const SnapshotCursor&) = default;
};
// The core leaves `manifest`, `data` and `crc32c` empty on requests that it makes; the shell fills
// them from the snapshot store before sending, `data` with what is at `cursor`. The first request
// of a transfer is an offer: its cursor is the start, and the receiver, which may have some of the
// files already, answers what it lacks. Bytes that are not what it wants next are ignored.
struct SnapshotRequest {
  SnapshotMeta meta;
  std::string manifest;   // storage's description of the files
  SnapshotCursor cursor;  // of data
  std::string data;
  uint32_t crc32c = 0;
  bool operator==(const SnapshotRequest&) const = default;
};
struct SnapshotResponse {
  Index index;  // of the snapshot
  Term snapshot_term;
  SnapshotCursor next;  // what is wanted next
  bool done =
      false;  // everything up to `index` is in place (also: the receiver's log already reaches it)
  bool refused = false;  // files failed their checks; start again
  bool operator==(const SnapshotResponse&) const = default;
};
// Start an election at once (thesis 3.10).
struct TimeoutNow {
  bool operator==(const TimeoutNow&) const = default;
};

using MessageBody = std::variant<PreVoteRequest, PreVoteResponse, VoteRequest, VoteResponse,
                                 AppendRequest, AppendResponse, HeartbeatRequest, HeartbeatResponse,
                                 SnapshotRequest, SnapshotResponse, TimeoutNow>;

struct Message {
  ClusterId cluster;
  NodeId from;
  Incarnation from_incarnation;
  NodeId to;
  Term term;
  MessageBody body;
};

// One line for people, without payloads: "append 3..5 prev 2^1 commit 2".
std::string Describe(const Message& message);

}  // namespace dqueue::raft
