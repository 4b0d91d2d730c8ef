// One cluster member: connects the raft core, the storage and the queue.
//
// A Node starts no threads. It has four actors, and its owner polls each of them: NodeRunner with
// threads and real time, the simulator in virtual time.
//
//   Poll(now)        the loop: inbox -> step -> take output -> log, peers -> apply -> answer. Owns
//                    the raft core, the state machine and the broker, and needs no locks for them.
//   PollLog()        group commit: writes and syncs the log writes that the loop submitted.
//   PollSnapshots()  snapshot files: writes them, reads chunks to send, stores received chunks.
//                    Prepares log segments.
//   PollAnswers()    makes and encodes large answers, so that the loop does not.
//
// A turn of the loop does a bounded amount of work, whatever callers send and whatever the state
// holds: the rest waits for the next turn, which hears peers first.
//
// Threads: each of the four runs on one thread at a time. "The loop's thread" is the thread that
// is in Poll(). Methods that say "any thread" may be called while an actor runs.
//
// A crash loses no acknowledged change: a change is acknowledged after a majority has it on disk. A
// storage error is reported once through Env::fatal and is never retried; the owner must then
// destroy the node (NodeRunner ends the process).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/histogram.h"
#include "dqueue/v1/service.pb.h"
#include "node/inbox/fair_inbox.h"
#include "node/status_watch.h"
#include "node/turn_meter.h"
#include "queue/api/key.h"
#include "queue/broker/broker.h"
#include "queue/broker/reports/named_queues.h"
#include "queue/state/state_level.h"
#include "raft/raft.h"
#include "storage/files/file_system.h"
#include "storage/log/log.h"

namespace dqueue::node {

// Sends messages to other members. Called on the loop's thread. Must not block. May drop, delay and
// reorder messages.
class PeerTransport {
 public:
  virtual ~PeerTransport() = default;
  // Sends all messages to one member, in order.
  virtual void Send(raft::NodeId to, std::vector<raft::Message> messages) = 0;
  // Sets the members to connect to: all members of the newest configuration except this node.
  // Called at the start and when the configuration may have changed.
  virtual void SetPeers(const std::vector<raft::Member>& peers) = 0;
};

// Observes a node, for the checkers of the simulator. Called on the loop's thread.
class Probe {
 public:
  virtual ~Probe() = default;
  virtual void AfterStep(const raft::Raft& raft) = 0;
  virtual void BeforeSend(const raft::Message& message) = 0;
  virtual void AfterApply(const raft::Entry& entry, uint64_t digest) = 0;
  virtual void AfterRestore(const raft::SnapshotMeta& meta, uint64_t digest) = 0;
  virtual void OnGrant(const std::string& job_id, queue::LeaseToken token) = 0;
};

struct Env {
  storage::FileSystem* fs = nullptr;
  PeerTransport* peers = nullptr;    // null: messages are dropped (a cluster of one node)
  std::function<int64_t()> wall_ms;  // Unix time; called on the loop's thread
  // Called from any thread when the loop has work; wake_log and wake_snapshots do the same for the
  // other actors. Called often: each must be cheap, and must not poll the actor itself.
  std::function<void()> wake_loop;
  // Called instead of wake_loop at the end of Submit() and Receive(), and when a log write is
  // durable. May call Poll() on the calling thread, which saves a thread switch. Null: wake_loop is
  // called.
  std::function<void()> run_loop;
  // Called instead of run_loop at the end of Receive(). May also call PollLog() on the calling
  // thread, which then waits for the disk. Null: run_loop is called.
  std::function<void()> run_loop_and_log;
  std::function<void()> wake_log;
  std::function<void()> wake_snapshots;
  // Null: there is no answering thread; the loop answers itself.
  std::function<void()> wake_answers;
  // The resident memory of the process; called on the snapshot thread. Null: unknown.
  std::function<uint64_t()> resident_bytes;
  std::function<void(const absl::Status&)> fatal;    // a storage error; called once, any thread
  std::function<void(const std::string&)> log_line;  // a line for the operator; may be null
  // As log_line, for what needs the operator's attention. Null: log_line is called.
  std::function<void(const std::string&)> log_warning;
  Probe* probe = nullptr;  // may be null
  // Measures turns, for NodeMetrics::turns; never goes back. Null: turns are not measured.
  TurnMeter::Clock turn_clock;
};

struct MemberSpec {
  std::string name;
  std::string address;
};

struct Options {
  std::string name;      // --id
  std::string data_dir;  // holds wal/, snap/ and LOCK
  // All members, including this node. Empty: this node alone.
  std::vector<MemberSpec> members;
  // True: form a new cluster if data_dir has no log. Otherwise no effect.
  bool bootstrap = false;
  raft::Options raft;
  storage::LogOptions log;
  queue::BrokerOptions broker;
  // snapshot_log_bytes, reserve_bytes and log.segment_bytes may be 0: then they, and with
  // log.segment_bytes trailing_log_bytes, follow the size of the volume (node/disk/volume_fit.h).
  //
  // A snapshot is taken when the log has grown by the greater of this and the size of the last
  // snapshot.
  uint64_t snapshot_log_bytes = 256 << 20;
  // Log kept before a snapshot, for followers that are slightly behind. 0: none.
  uint64_t trailing_log_bytes = 32 << 20;
  size_t snapshot_chunk_bytes = 512 << 10;
  uint64_t reserve_bytes = 256 << 20;  // with less free disk space, this node counts as full
  InboxLimits inbox;                   // of calls waiting for a turn; OVERLOADED beyond
  // Memory that the process may use, in bytes; long before, new jobs are refused. 0: no limit. Set
  // it with SetMemoryLimit (node/memory_budget.h).
  uint64_t memory_limit = 0;
  uint64_t seed = 0;  // for random election times, ids and jitter
  // The highest level of the replicated state that this node tells the others it knows. Lower than
  // kStateLevelMax: like an older program, as long as no other node raises the level.
  uint32_t state_level = queue::kStateLevelMax;
  std::string Problem() const;  // empty if the options are valid
};

// The memory of a node by what it holds, in bytes.
struct MemoryUse {
  queue::StateMemory state;
  uint64_t log = 0;       // cached log entries, and those on their way
  uint64_t calls = 0;     // requests that wait for a turn, and commands that wait for a batch
  uint64_t resident = 0;  // of the process, when it was measured last; 0: not measured
  uint64_t limit = 0;     // Options::memory_limit
  uint64_t counted() const { return state.total() + log + calls; }
};

// A copy, for status pages.
struct NodeView {
  std::string name;
  raft::ClusterId cluster;
  raft::View raft;
  std::string leader_name;  // empty: no leader is known
  std::string leader_address;
  uint64_t applied_index = 0;
  uint64_t digest = 0;  // of the state machine at applied_index
  uint64_t jobs = 0;
  queue::Broker::Gauges broker;
  storage::LogStats log;
  uint64_t snapshot_index = 0;  // of the newest complete snapshot; 0: none
  // Why this node is not part of the cluster, and what to do. Empty: nobody says so.
  std::string excluded = {};
};

// A copy, for metrics pages. Counters start at 0 in Node::Open.
struct NodeMetrics {
  NodeView view;
  // As applied on this node; a follower may be behind. Only the leader sets `leased`.
  queue::QueueFigures queues;
  uint64_t forgotten_queues = 0;    // since the cluster was formed
  queue::UsedIds used_request_ids;  // remembered though their jobs are gone
  uint32_t state_level = 0;         // queue/state/state_level.h
  int64_t clock_offset_ms = 0;      // the cluster's time minus this node's wall clock
  Histogram commit_time;            // leader only: from proposing a batch until it is applied
  uint64_t proposals = 0;           // proposed batches
  uint64_t leader_changes = 0;      // seen by this node
  uint64_t elections_won = 0;
  uint64_t snapshots_written = 0;
  uint64_t snapshots_installed = 0;  // received from a leader
  uint64_t snapshots_damaged = 0;    // found damaged when they were sent
  uint64_t snapshots_refused = 0;    // chunks that this node or a receiver of its chunks refused
  uint64_t free_bytes = 0;           // free disk space at the last check; 0: not checked yet
  MemoryUse memory;
  // Waiting and lease times of jobs while this node led.
  queue::JobTimes times;
  TurnTimes turns;  // how long turns of the loop took, and what for
  // From Node::Open until the recovered log was applied. Not set before that.
  std::optional<Duration> recovery_time;
};

class Node {
 public:
  virtual ~Node() = default;

  // Opens the node; with Options::bootstrap, forms it first. After a crash, recovers the log and
  // the newest snapshot. Errors; the message has the next step for the operator:
  //   NOT_FOUND            the data directory is empty and --bootstrap is not set
  //   FAILED_PRECONDITION  the data directory belongs to another node or other members, or another
  //                        process uses it
  //   INVALID_ARGUMENT     Options::Problem(), or Options::members is not a valid configuration
  //   DATA_LOSS            damage: file, offset, reason; or the directory went back in time
  static absl::StatusOr<std::unique_ptr<Node>> Open(const Options& options, const Env& env,
                                                    Time now);

  // A client's call. Answered through call.done: on the loop's thread, on the answering thread, or
  // on this thread if it is refused with OVERLOADED or for its contents. Checks and encodes an
  // EnqueueJobs request on this thread. Any thread.
  virtual void Submit(queue::AnyCall call) = 0;
  // Messages from peers. Adds them to the inbox, then may wait for the disk; at most one caller at
  // a time waits. Messages of a later Receive() are processed later. Any thread.
  virtual void Receive(std::vector<raft::Message> messages) = 0;
  // The connection to `peer` has broken. Any thread.
  virtual void PeerDisconnected(raft::NodeId peer) = 0;
  // `peer` answered, and refused the connection of this node as not from a member. Any thread.
  virtual void PeerRefused(raft::NodeId peer, std::string why) = 0;
  // Calls `done` on the answering thread, or on the loop's thread if there is none. Any thread.
  virtual void RequestView(std::function<void(const NodeView&)> done) = 0;
  virtual void RequestMetrics(std::function<void(const NodeMetrics&)> done) = 0;
  // Transfers leadership to the voter named `to`; if empty, to the voter whose log is most up to
  // date. The result is the name of the new leader. Succeeds at once if `to` is this node and it
  // leads. Calls wait during the transfer. Errors:
  //   NOT_LEADER, NO_LEADER  as from the broker
  //   NOT_A_VOTER            FAILED_PRECONDITION: no voter has this name, or this node is the only
  //                          member
  //   TRANSFER_FAILED        ABORTED: another transfer is in progress, or the target did not lead
  //                          within an election timeout and a heartbeat
  // Calls `done` on the loop's thread; never if the node is destroyed first. Any thread.
  using TransferDone = std::function<void(queue::Outcome<std::string>)>;
  virtual void TransferLeadership(std::string to, TransferDone done) = 0;
  // Calls `watcher` with the current status on the calling thread before it returns, then with each
  // changed status on the loop's thread. A change of the keys' times of last use alone is not
  // published. A change of keys is published before the call that made it is answered. The watcher
  // must not block and must not call this node. Destroying the result ends the subscription. Any
  // thread.
  [[nodiscard]] virtual StatusWatch Watch(StatusWatcher watcher) = 0;
  // Refuses new calls, and transfers leadership if this node leads; repeats the transfer until it
  // succeeds. Calls `done` on the loop's thread when this node does not lead or is the only member.
  // Any thread.
  virtual void Drain(std::function<void()> done) = 0;

  // The four actors; see the top of this file. True: poll again at once. False: no work until the
  // actor is woken. `now` must not decrease.
  virtual bool Poll(Time now) = 0;
  virtual bool PollLog() = 0;
  virtual bool PollSnapshots() = 0;
  virtual bool PollAnswers() = 0;
  // The estimated length of the last turn (WorkBudget), for the simulator.
  virtual Duration TurnCost() const = 0;
  // Poll() must be called at this time even if the loop is not woken. On the loop's thread, after
  // Poll().
  virtual Time Deadline() const = 0;
  // Writes the clean-shutdown mark. Call it after the last Poll*(). FAILED_PRECONDITION: a storage
  // error was reported before.
  virtual absl::Status Close() = 0;

  // On the loop's thread.
  virtual const queue::StateMachine& state() const = 0;
  virtual const raft::Raft& raft() const = 0;
};

}  // namespace dqueue::node
