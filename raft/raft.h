// The consensus core: one event in, one value out. Raft (Ongaro's paper and thesis) as a pure state
// machine: no file, socket, clock, thread, global or log sink. Time is an argument; randomness
// comes from a seeded generator that the core owns. One thread may use it at a time. After a crash,
// build a new one from what storage recovered.
//
// Rules; each has a checker in sim/:
//  R1  Messages in send_now may leave at once; those in send_after_persist only when the Output's
//      token is durable. Votes, acknowledgements and rejections wait. The core decides, not the
//      shell.
//  R2  Persistence is asynchronous, the only mode. Tokens complete in order; several may be in
//      flight. When an append truncates at i, acknowledgements of older tokens count only up to
//      i-1.
//  R3  The leader counts its own copy only by Persisted, also alone.
//  R4  A follower commits at most up to the last entry this leader vouched for; heartbeats carry
//      min(match, commit).
//  R5  Only an entry of the current term is committed by counting (figure 8). A new leader appends
//      a no-op; reads and configuration changes wait until it is committed, also alone. (The
//      binding of incarnations that follows the no-op changes no quorum and does not wait.)
//  R6  Configurations take effect when appended, roll back when truncated, and travel in every
//      snapshot.
//  R7  Pre-vote, check-quorum and leader stickiness are always on.
//  R8  Reads: a leader-local increasing id per confirmation round, echoed by followers. No
//      clock-based leases.
//  R9  Every queue has a bound in count and bytes and a stated outcome when full.
//  R10 Same seed, same events: same outputs, byte for byte.
//  R11 A proposal ends in exactly one of: committed, certainly not appended, or unknown.
//  R12 Every message carries cluster id, node id and the sender's incarnation. A member whose
//      incarnation differs from the one that the configuration binds has no vote and is not
//      counted.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "raft/config.h"
#include "raft/message.h"
#include "raft/types.h"

namespace dqueue::raft {

using namespace std::chrono_literals;

// Valid() states the relations that must hold between them.
struct Options {
  Duration heartbeat = 50ms;
  Duration election_min = 300ms;  // election timeouts are drawn from [election_min, election_max)
  Duration election_max = 600ms;
  uint64_t max_append_entries = 1024;   // in one AppendRequest
  uint64_t max_append_bytes = 1 << 20;  // soft: one entry always fits
  uint64_t window_entries = 16384;      // in flight to one follower
  uint64_t window_bytes = 16 << 20;
  uint64_t max_uncommitted_entries = 65536;  // beyond: proposals are refused as overloaded
  uint64_t max_uncommitted_bytes = 64 << 20;
  uint64_t max_apply_bytes = 4 << 20;  // handed out in one Output (one entry always)
  uint64_t cache_bytes =
      64 << 20;  // recent entries kept in memory; older ones come from the LogReader
  uint64_t max_pending_reads = 100000;
  // Empty if valid, else a sentence that names the fields, their values and the rule
  // (election_min >= 4 * heartbeat, election_max > election_min, window_bytes >= max_append_bytes,
  // ...).
  std::string Problem() const;
};

// What storage found on disk.
struct TermRun {
  Index first;  // the first index of a run of entries of `term`
  Term term;
};
struct Recovered {
  ClusterId cluster;
  NodeId self;
  Incarnation incarnation;
  HardState hard_state;
  // Entries up to compacted_index are gone from the log; compacted_term is the term of the last of
  // them (0, 0: none).
  Index compacted_index;
  Term compacted_term;
  // Of entries compacted_index+1 … last_index, without holes.
  std::vector<TermRun> runs;
  Index last_index;
  // The newest snapshot (index 0: none). Its index is at least compacted_index. State up to here is
  // already applied.
  SnapshotMeta snapshot;
  // Entries of kind kConfig above compacted_index, in order.
  std::vector<Entry> config_entries;
};

// Gives the core entries that it no longer caches. Called from Step() and TakeOutput(); must not
// call back.
class LogReader {
 public:
  virtual ~LogReader() = default;
  // Entries first … at most last (inclusive), at least one, stopping before max_bytes is passed.
  // All are durable and were handed to storage before. Ends the process if they cannot be read: a
  // damaged log must not go on.
  virtual std::vector<Entry> ReadEntries(Index first, Index last, uint64_t max_bytes) const = 0;
};

// ---- Events

// A message from a peer; from anyone at all: the core checks cluster, addressee, membership and
// incarnation, and counts what it drops.
struct Receive {
  Message message;
};
// A command to replicate. Its ProposalOutcome carries `id`, which the caller chose and must not
// reuse.
struct Propose {
  uint64_t id = 0;
  Payload payload;
};
// Ask for a confirmation that this node is still leader, at some time after this event. Answered by
// ReadOutcome.
struct Read {
  uint64_t id = 0;
};
// Everything asked for up to and including this token is durable.
struct Persisted {
  Token token;
};
// The state machine has applied entries up to this index (each at most once, in order).
struct Applied {
  Index index;
};
// A local snapshot is durable, and the log up to and including compact_to (<= meta.index) may be
// forgotten. Requires meta.index <= applied. A snapshot older than the newest known (one was
// installed meanwhile) only compacts.
struct SnapshotTaken {
  SnapshotMeta meta;
  Index compact_to;
};
// The shell stored (or refused) the chunk of Output::store_chunk.
struct SnapshotChunkStored {
  SnapshotMeta meta;
  NodeId from;
  SnapshotCursor next;
  bool done = false;     // all files complete and checked: the core will ask to install it
  bool refused = false;  // a check failed; the partial copy was dropped
};
// The connection to a peer broke: a hint, never trusted for safety.
struct PeerUnreachable {
  NodeId peer;
};
// The disk ran out of reserve (true) or has it again (false).
struct Capacity {
  bool low_space = false;
};
// Hand leadership to `target` (0: the most caught-up voter). Without effect unless leader. While it
// runs, proposals are refused; it is given up after an election timeout.
struct Transfer {
  NodeId target;
};
// Nothing but the time. Due at Deadline().
struct Timeout {};

using Event = std::variant<Receive, Propose, Read, Persisted, Applied, SnapshotTaken,
                           SnapshotChunkStored, PeerUnreachable, Capacity, Transfer, Timeout>;

// ---- Output

struct ProposalOutcome {
  enum class Kind {
    kCommitted,    // the entry at `index` is this proposal; it is applied next
    kNotAppended,  // no effect, now or ever
    kUnknown,  // leadership was lost while it was in flight: it may or may not be committed later
  };
  enum class Reason { kNone, kNotLeader, kTransferring, kOverloaded };
  uint64_t id = 0;
  Kind kind = Kind::kNotAppended;
  Reason reason = Reason::kNone;  // of kNotAppended
  Index index;                    // of kCommitted
};

struct ReadOutcome {
  uint64_t id = 0;
  // True: this node was leader at a moment after the Read event; state at `index` or later is
  // current.
  bool confirmed = false;
  Index index;
};

enum class Role { kFollower, kPreCandidate, kCandidate, kLeader };
const char* RoleName(Role role);

struct Status {
  Role role = Role::kFollower;
  Term term;
  NodeId leader;  // 0: none known
  // Leader whose no-op is committed: reads and proposals can succeed.
  bool serving = false;
  friend bool operator==(const Status&, const Status&) = default;
};

// A request to write. Order on disk: hard state, then the installed snapshot's reset, then entries;
// each prefix is a legal state.
struct Output {
  // Names this output. Report Persisted(token) when its writes, and those of all outputs before it,
  // are durable (with nothing to write, when those before are). Always set when there is something
  // to write or to send later.
  Token token;
  std::optional<HardState> hard_state;
  // Replace state machine and log by this received snapshot (its files are complete in the store);
  // the log then starts after it. Report Applied(meta.index) once the state machine is restored.
  std::optional<SnapshotMeta> install;
  // If the first index is not above the last in the log, the old tail from there on is superseded.
  std::vector<Entry> append;
  std::vector<Message> send_now;
  std::vector<Message> send_after_persist;
  // Committed entries, contiguous after the last that was handed out. Commands go to the state
  // machine.
  std::vector<Entry> apply;
  std::vector<ProposalOutcome> proposals;
  std::vector<ReadOutcome> reads;
  // Store this chunk (a SnapshotRequest of a current leader, checked for staleness) and answer
  // SnapshotChunkStored.
  std::optional<Message> store_chunk;
  // Role, term, leader or serving changed.
  std::optional<Status> status;

  bool HasWrites() const { return hard_state || install || !append.empty(); }
};

// For operators; a copy.
struct MemberView {
  NodeId id;
  Index match;
  bool voter = false;
  bool reachable = false;  // heard from within an election timeout
};
struct View {
  Status status;
  Index commit;
  Index applied;
  Index last_index;
  Index durable_index;
  Index first_index;
  Index snapshot_index;
  bool low_space = false;  // leader: too few voters have room for new jobs
  Configuration config;
  std::vector<MemberView> members;  // leader only
  uint64_t dropped_messages = 0;    // malformed, foreign or of a wrong incarnation
};

class RaftImpl;
class Invariants;

class Raft {
 public:
  // `reader` must outlive this. `seed` should differ between nodes. For a new cluster, the
  // recovered log must hold the initial configuration (BootstrapEntry), or the node waits for ever
  // as a non-member.
  Raft(const Options& options, const Recovered& recovered, const LogReader* reader, uint64_t seed,
       Time now);
  ~Raft();
  Raft(const Raft&) = delete;
  Raft& operator=(const Raft&) = delete;

  // `now` must not go back.
  void Step(Time now, Event event);
  // When to call Step(Timeout) at the latest.
  Time Deadline() const;
  bool HasOutput() const;
  // Everything since the last call. The shell must carry out all of it.
  Output TakeOutput();

  Status status() const;
  View GetView() const;
  // True if this node is leader, has room itself, and so has a quorum of voters.
  bool HasRoom() const;
  const Configuration& config() const;  // the one in force: the latest in the log
  // The configuration in force at `index` (applied or snapshot index): what a snapshot at that
  // index must carry. Requires compacted_index <= index <= last_index, and index not below the
  // snapshot that was recovered at the start.
  std::string EncodedConfigAt(Index index) const;
  // 0 if unknown (below the compaction point or above the end).
  Term TermAt(Index index) const;

 private:
  friend class Invariants;
  std::unique_ptr<RaftImpl> impl_;
};

// The entry with which every member of a new cluster formats its log: index 1, term 1, kind
// kConfig; each member starts with HardState{term 1, no vote, commit 1}. Same configuration, same
// bytes. Incarnations are 0 in it: the first entry that a leader appends after its no-op binds
// those of the members whose votes it has (R12).
Entry BootstrapEntry(const Configuration& config);

}  // namespace dqueue::raft
