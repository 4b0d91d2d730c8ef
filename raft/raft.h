// The consensus core: a pure state machine that takes one event and returns one output. It
// implements Raft (Ongaro's paper and thesis) without files, sockets, clocks, threads, globals or
// logging. Time is an argument. Randomness comes from a seeded generator that the core owns. Not
// thread-safe. After a crash, construct a new Raft from what storage recovered.
//
// Rules. docs/raft.md names the file that implements each rule and the check that covers it.
//  R1  Messages in send_now may be sent at once. Messages in send_after_persist are sent only when
//      the Output's token is durable. Votes, acknowledgements and rejections wait. The core
//      decides, not the shell.
//  R2  Writes are asynchronous; there is no synchronous mode. Tokens complete in order, and several
//      may be in flight. After a truncation at index i, older tokens count only up to i-1.
//  R3  The leader counts its own copy of an entry only after Persisted, also in a cluster of one.
//  R4  A follower commits at most up to the last entry that the current leader has matched.
//      Heartbeats carry min(match, commit).
//  R5  Only an entry of the current term is committed by counting replicas (paper, figure 8). A new
//      leader appends a no-op; reads and configuration changes wait until it is committed, also in
//      a cluster of one. The entry that binds incarnations follows the no-op at once, because it
//      changes no quorum.
//  R6  A configuration takes effect when appended, is undone when truncated, and is part of every
//      snapshot.
//  R7  Pre-vote, check-quorum and leader stickiness are always on.
//  R8  Each confirmation round of a leader has an id that only grows; followers echo it. Leases
//      based on clocks are not used.
//  R9  Every queue is bounded in count or bytes and has a defined outcome when full.
//  R10 The same seed and the same events produce the same outputs, byte for byte.
//  R11 A proposal has exactly one outcome: committed, not appended, or unknown.
//  R12 Every message carries the cluster id, the sender's id and the sender's incarnation. A member
//      whose incarnation differs from the one bound in the configuration has no vote and is not
//      counted. Once an incarnation of any member is bound, a member without one is not counted
//      either. The dropped sender is told with a Refusal, once for each start and at most once a
//      second.
//  R13 A disk that went back in time has no vote. Each start of a node has a Boot, which is durable
//      before the node's first message. A node that learns that another member remembers a later
//      start, a higher term or more acknowledged entries than its disk had at its start sends
//      nothing more. Elections carry what the members remember of each other.
#pragma once

#include <array>
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

// Problem() checks the relations between the fields.
struct Options {
  Duration heartbeat = 50ms;
  Duration election_min = 300ms;  // election timeouts are uniform in [election_min, election_max)
  Duration election_max = 600ms;
  uint64_t max_append_entries = 1024;   // per AppendRequest
  uint64_t max_append_bytes = 1 << 20;  // per AppendRequest; a single larger entry is still sent
  uint64_t window_entries = 16384;      // in flight to one follower
  uint64_t window_bytes = 16 << 20;
  uint64_t max_uncommitted_entries = 65536;  // above it, proposals are rejected as overloaded
  uint64_t max_uncommitted_bytes = 64 << 20;
  uint64_t max_apply_bytes = 4 << 20;  // per Output; a single larger entry is still handed out
  uint64_t cache_bytes = 64 << 20;  // newest entries kept in memory; the LogReader has the others
  uint64_t max_pending_reads = 100000;
  // While no incarnation is bound, that is in a new cluster, this node starts no election before it
  // has heard from all other members, or this time has passed since its start; nor within this time
  // after a member with a longer log was heard. So wiped members elect nobody while a member that
  // knows the cluster can be heard. 0: no wait.
  Duration formation_wait{0};
  // Empty if valid. Otherwise a sentence with the field, its value and the rule, for example
  // election_min >= 4 * heartbeat, election_max > election_min, window_bytes >= max_append_bytes.
  std::string Problem() const;
};

// A run of log entries of one term.
struct TermRun {
  Index first;  // index of the first entry of the run
  Term term;
};
struct Recovered {
  ClusterId cluster;
  NodeId self;
  Incarnation incarnation;
  // The starts of this incarnation, oldest first; the last one is the present. May lack the oldest.
  // Empty: boots are not checked.
  std::vector<Boot> boots = {};
  HardState hard_state;
  // Entries up to compacted_index are gone from the log. compacted_term is the term of the last of
  // them (0 and 0: none).
  Index compacted_index;
  Term compacted_term;
  // Covers compacted_index + 1 to last_index without holes.
  std::vector<TermRun> runs;
  Index last_index;
  // The newest snapshot (index 0: none). Requires snapshot.index >= compacted_index. The state
  // machine already contains everything up to snapshot.index.
  SnapshotMeta snapshot;
  // Entries of kind kConfig above compacted_index, sorted by index.
  std::vector<Entry> config_entries;
};

// Reads entries that the core no longer caches. Called from Step() and TakeOutput(). Must not call
// the core.
class LogReader {
 public:
  virtual ~LogReader() = default;
  // Returns entries from `first` to at most `last` (inclusive): at least one, then as many as fit
  // max_bytes. All of them are durable. If an entry cannot be read, the process ends, because a
  // damaged log must not be used.
  virtual std::vector<Entry> ReadEntries(Index first, Index last, uint64_t max_bytes) const = 0;
};

// ---- Events

// A message from the network. The core checks cluster, receiver, sender, incarnation and boot; it
// drops and counts a message that fails (View::dropped_messages).
struct Receive {
  Message message;
};
// Replicates a command. The caller chooses `id`; its ProposalOutcome carries it. An id must not be
// reused.
struct Propose {
  uint64_t id = 0;
  Payload payload;
};
// Requests confirmation that this node is leader at some time after this event. ReadOutcome answers
// it.
struct Read {
  uint64_t id = 0;
};
// The writes of all Outputs up to and including `token` are durable.
struct Persisted {
  Token token;
};
// The state machine has applied all entries up to `index`.
struct Applied {
  Index index;
};
// A local snapshot is durable. The log up to and including compact_to may be discarded. Requires
// compact_to <= meta.index <= applied index; compact_to should be at most CompactionLimit(). If a
// newer snapshot is known, because one was installed meanwhile, the event only compacts.
struct SnapshotTaken {
  SnapshotMeta meta;
  Index compact_to;
};
// The shell stored or refused the chunk of Output::store_chunk.
struct SnapshotChunkStored {
  SnapshotMeta meta;
  NodeId from;
  SnapshotCursor next;
  bool done = false;     // all files are complete and verified; the core installs the snapshot
  bool refused = false;  // a check failed and the partial copy was deleted
};
// The connection to a peer broke. A hint; no safety rule depends on it.
struct PeerUnreachable {
  NodeId peer;
};
// The disk or the memory is short (true) or has room again (false).
struct Capacity {
  bool low_space = false;
  bool low_memory = false;
};
// Moves leadership to `target` (0: the voter with the highest match index). No effect on a node
// that is not leader. Proposals are rejected while the transfer runs. It is aborted after
// election_max.
struct Transfer {
  NodeId target;
};
// Time has passed. Send it at Deadline().
struct Timeout {};

using Event = std::variant<Receive, Propose, Read, Persisted, Applied, SnapshotTaken,
                           SnapshotChunkStored, PeerUnreachable, Capacity, Transfer, Timeout>;

// ---- Output

struct ProposalOutcome {
  enum class Kind {
    // The entry at `index` is this proposal; an apply of it follows, unless a snapshot is installed
    // first.
    kCommitted,
    kNotAppended,  // the proposal has no effect, now or later
    kUnknown,      // leadership was lost while in flight; it may or may not be committed later
  };
  enum class Reason { kNone, kNotLeader, kTransferring, kOverloaded };
  uint64_t id = 0;
  Kind kind = Kind::kNotAppended;
  Reason reason = Reason::kNone;  // of kNotAppended
  Index index;                    // of kCommitted
};

struct ReadOutcome {
  uint64_t id = 0;
  // True: this node was leader at some time after the Read event. A state machine that has applied
  // `index` is current.
  bool confirmed = false;
  Index index;
};

enum class Role { kFollower, kPreCandidate, kCandidate, kLeader };
const char* RoleName(Role role);

struct Status {
  Role role = Role::kFollower;
  Term term;
  NodeId leader;  // 0: unknown
  // True: this node is leader and its no-op is committed, so reads and proposals can succeed.
  bool serving = false;
  friend bool operator==(const Status&, const Status&) = default;
};

// A Refusal that this node received, and that it may have caused.
struct RefusedBy {
  NodeId from;
  ClusterId cluster;
  Refusal refusal;
};
// The reason why this node has lost acknowledged data or votes: its disk went back in time.
struct WentBack {
  NodeId witness;      // the member that remembers more
  KnownBoot known;     // what it remembers; boot.number 0: only the entries
  Index acknowledged;  // not 0: this node acknowledged entries up to here, and holds fewer
};

// The work that the shell must do next. Writes go to disk in this order: hard state, install,
// entries. Every prefix of that order is a legal state after a crash.
struct Output {
  // Set if there is anything to write or to send after persisting. Report Persisted(token) when the
  // writes of this Output and of all Outputs before it are durable. An Output without writes is
  // durable when the earlier ones are.
  Token token;
  std::optional<HardState> hard_state;
  // Replace the state machine and the log by this received snapshot, whose files are complete in
  // the store. The log then starts at meta.index + 1. Report Applied(meta.index) once the state
  // machine is restored.
  std::optional<SnapshotMeta> install;
  // If the first index is not above the last index of the log, the old entries from there on are
  // superseded.
  std::vector<Entry> append;
  std::vector<Message> send_now;
  std::vector<Message> send_after_persist;
  // Committed entries for the state machine. They continue without a gap after the last entry
  // handed out. More are handed out only when these are reported as Applied, so that a shell may
  // apply them over several turns without holding a whole log in memory.
  std::vector<Entry> apply;
  std::vector<ProposalOutcome> proposals;
  std::vector<ReadOutcome> reads;
  // Store this chunk: a SnapshotRequest of the current leader. Answer with SnapshotChunkStored.
  std::optional<Message> store_chunk;
  // Set if role, term, leader or serving changed.
  std::optional<Status> status;
  std::vector<RefusedBy> refusals;
  // Set once. The node must stop and must not start again from this disk (R13).
  std::optional<WentBack> went_back;

  bool HasWrites() const { return hard_state || install || !append.empty(); }
};

// State for operators and metrics. A copy.
struct MemberView {
  NodeId id;
  Index match;
  bool voter = false;
  bool reachable = false;  // sent a message within the last election_max
};
struct View {
  Status status;
  Index commit;
  Index applied;
  Index last_index;
  Index durable_index;
  Index first_index;
  Index snapshot_index;
  bool low_space =
      false;  // leader only: no quorum of voters, or not the leader itself, has room for new jobs
  bool low_memory = false;  // leader only: the same for memory
  Configuration config;
  std::vector<MemberView> members;  // leader only
  uint64_t dropped_messages = 0;    // malformed, of another cluster, or of another incarnation
  // Of dropped_messages: those for the reason kOtherCluster + i.
  std::array<uint64_t, kRefusalReasons> refused_messages = {};
};

class RaftImpl;
class Invariants;

class Raft {
 public:
  // `reader` must outlive this object. `seed` should differ between nodes. The log of a new cluster
  // must hold the initial configuration (BootstrapEntry); without a configuration the node never
  // starts an election.
  Raft(const Options& options, const Recovered& recovered, const LogReader* reader, uint64_t seed,
       Time now);
  ~Raft();
  Raft(const Raft&) = delete;
  Raft& operator=(const Raft&) = delete;

  // Requires `now` >= the `now` of the previous call.
  void Step(Time now, Event event);
  // The latest time at which Step(Timeout) must be called.
  Time Deadline() const;
  bool HasOutput() const;
  // Returns everything since the last call. The shell must carry out all of it.
  Output TakeOutput();

  Status status() const;
  View GetView() const;
  // True if this node is leader, its disk has room, and a quorum of voters has room.
  bool HasRoom() const;
  // The same for memory. A voter without room on its disk does not count here either: a new job
  // needs a quorum that has both.
  bool HasMemory() const;
  // Of the log entries that are in memory.
  uint64_t cached_bytes() const;
  const Configuration& config() const;  // the configuration in force: the last one in the log
  // The configuration in force at `index`, encoded. A snapshot at `index` must carry it. Requires
  // compacted_index <= index <= last_index, and index >= the index of the recovered snapshot.
  std::string EncodedConfigAt(Index index) const;
  // The greatest index up to which the log may be compacted now. While a member that responds
  // receives a snapshot, the log after that snapshot stays: otherwise the member would need the
  // next one, and so on for ever. No limit while the disk is low on space.
  Index CompactionLimit() const;
  // 0 if unknown: below the compaction point or above the end of the log.
  Term TermAt(Index index) const;

 private:
  friend class Invariants;
  std::unique_ptr<RaftImpl> impl_;
};

// The first log entry of every member of a new cluster: index 1, term 1, kind kConfig. Each member
// starts with HardState{term 1, no vote, commit 1}. The same configuration gives the same bytes.
// All incarnations in it are 0. The first leader binds the incarnations of the members that voted
// for it, in the entry after its no-op (R12).
Entry BootstrapEntry(const Configuration& config);

}  // namespace dqueue::raft
