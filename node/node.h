// One cluster member: the loop that lets raft, storage and queue work together. No thread is made
// here: a Node is three actors that its owner polls, NodeRunner with real threads and real time,
// the simulator in virtual time.
//
//   Poll(now)        the loop: inbox -> step -> take output -> log, peers -> apply -> answer. Owns
//                    the core, the state machine, the lease table and the broker: no locks there.
//
//   PollLog()        group commit: writes and syncs what the loop has submitted.
//   PollSnapshots()  snapshot files: writes, reads for sending, stores received chunks; prepares
//                    log segments.
//
// Each returns true if it did something (poll again) and false if there is nothing to do until it
// is woken. One thread at a time in each. Post() and Submit() may be called from any thread.
// Storage errors are reported once through Env::fatal and the node must then be destroyed (in
// production the process ends): nothing is retried.
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
#include "node/status_watch.h"
#include "queue/api/key.h"
#include "queue/broker/broker.h"
#include "raft/raft.h"
#include "storage/files/file_system.h"
#include "storage/log/log.h"

namespace dqueue::node {

// Carries messages to other members. Called by whoever runs the loop's turn; must not block; may
// drop, delay and reorder.
class PeerTransport {
 public:
  virtual ~PeerTransport() = default;
  // All to one member, in order.
  virtual void Send(raft::NodeId to, std::vector<raft::Message> messages) = 0;
  // Whom to connect to: the members of the newest configuration other than this node. On each
  // change.
  virtual void SetPeers(const std::vector<raft::Member>& peers) = 0;
};

// For checkers. Called on the loop's thread.
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
  PeerTransport* peers = nullptr;    // may be null for a node alone
  std::function<int64_t()> wall_ms;  // Unix time; called on the loop's thread
  // Called from any thread when the actor has work. May be called often; must be cheap and must not
  // poll on the spot.
  std::function<void()> wake_loop;
  // Called instead of wake_loop at the end of Submit() and Receive() and when a log write is
  // durable: the calling thread may take the turn itself and save a change of threads. Null:
  // wake_loop is called.
  std::function<void()> run_loop;
  // Called instead of run_loop at the end of Receive(): the calling thread may also write the log,
  // and then waits for the disk. Null: run_loop is called.
  std::function<void()> run_loop_and_log;
  std::function<void()> wake_log;
  std::function<void()> wake_snapshots;
  std::function<void(const absl::Status&)> fatal;
  std::function<void(const std::string&)> log_line;  // what an operator should see; may be null
  Probe* probe = nullptr;
};

struct MemberSpec {
  std::string name;
  std::string address;
};

struct Options {
  std::string name;      // --id
  std::string data_dir;  // holds wal/, snap/ and LOCK
  // All members, this one included; empty: this node alone.
  std::vector<MemberSpec> members;
  // Form a new cluster if data_dir is empty. No effect on a data directory of the same node and
  // members.
  bool bootstrap = false;
  raft::Options raft;
  storage::LogOptions log;
  queue::BrokerOptions broker;
  uint64_t snapshot_log_bytes = 256 << 20;  // take a snapshot when the log has grown by this (and
                                            // by as much as the last snapshot's size)
  uint64_t trailing_log_bytes =
      32 << 20;  // kept behind a snapshot for followers that are a little late
  size_t snapshot_chunk_bytes = 512 << 10;
  uint64_t reserve_bytes = 256 << 20;  // below this much free disk, enqueues are refused
  size_t max_inbox_calls = 200000;     // beyond: OVERLOADED
  uint64_t seed = 0;                   // of elections, ids and jitter
  std::string Problem() const;         // empty if valid
};

// A copy, for status pages.
struct NodeView {
  std::string name;
  raft::ClusterId cluster;
  raft::View raft;
  std::string leader_name;  // empty: none known
  std::string leader_address;
  uint64_t applied_index = 0;
  uint64_t digest = 0;  // at applied_index
  uint64_t jobs = 0;
  queue::Broker::Gauges broker;
  storage::LogStats log;
  uint64_t snapshot_index = 0;
};

// A copy, for scrapers. Counts are since this process began.
struct NodeMetrics {
  NodeView view;
  // As this node has applied them; a follower may be behind. `leased`: of the leader only.
  v1::GetStatsResponse stats;
  Histogram commit_time;        // leader: from proposing a batch to having applied it
  uint64_t proposals = 0;       // batches
  uint64_t leader_changes = 0;  // as seen here
  uint64_t elections_won = 0;
  uint64_t snapshots_written = 0;
  uint64_t snapshots_installed = 0;  // received from a leader
  uint64_t free_bytes = 0;           // of the disk, when last looked; 0: not yet
  // How long jobs waited and were held while this node led.
  queue::JobTimes times;
  // From opening the node until it had everything back that was in its snapshot and log; not set
  // before that.
  std::optional<Duration> recovery_time;
};

class Node {
 public:
  virtual ~Node() = default;

  // Opens (or, with bootstrap, forms) the node. Errors, with what to do in the message:
  //   NOT_FOUND            empty data directory and no --bootstrap
  //   FAILED_PRECONDITION  data directory of another node or cluster, or in use by another process
  //   INVALID_ARGUMENT     Options::Problem(), or members that differ from the cluster's
  //   DATA_LOSS            damage: file, offset, reason
  static absl::StatusOr<std::unique_ptr<Node>> Open(const Options& options, const Env& env,
                                                    Time now);

  // From any thread.
  virtual void Submit(queue::AnyCall call) = 0;  // a client's request
  // From a peer. May wait for the disk, of several callers at most one at a time. The messages are
  // taken before that: those of a call that is made meanwhile come behind them.
  virtual void Receive(std::vector<raft::Message> messages) = 0;
  virtual void PeerDisconnected(raft::NodeId peer) = 0;
  // Answered on the loop's thread.
  virtual void RequestView(std::function<void(const NodeView&)> done) = 0;
  virtual void RequestMetrics(std::function<void(const NodeMetrics&)> done) = 0;
  // Hands leadership to the voter with this name (empty: to the most up-to-date one), and answers
  // with the name of the new leader; at once if that is this node already. Calls meanwhile wait.
  // Errors:
  //   NOT_LEADER, NO_LEADER  as from the broker
  //   NOT_A_VOTER            FAILED_PRECONDITION: no voter has that name, or it is the only voter
  //   TRANSFER_FAILED        ABORTED: given up after an election timeout
  // Answered on the loop's thread; never if the node is destroyed first.
  using TransferDone = std::function<void(queue::Outcome<std::string>)>;
  virtual void TransferLeadership(std::string to, TransferDone done) = 0;
  // Calls `watcher` with the status of this moment, on the calling thread, before it returns; then
  // with each change (of keys: in more than times of last use), on the loop's thread. A change of
  // keys is told before the call that made it is answered. The watcher must not block and must not
  // call this node. Ends when the returned subscription is destroyed. From any thread.
  [[nodiscard]] virtual StatusWatch Watch(StatusWatcher watcher) = 0;
  // Stop taking new calls, hand leadership over if leader; done() when that has succeeded or has
  // been given up.
  virtual void Drain(std::function<void()> done) = 0;

  virtual bool Poll(Time now) = 0;
  // When Poll() must be called at the latest.
  virtual Time Deadline() const = 0;
  virtual bool PollLog() = 0;
  virtual bool PollSnapshots() = 0;
  // After the last Poll*(): writes the clean-shutdown mark.
  virtual absl::Status Close() = 0;

  // On the loop's thread (or in the simulator).
  virtual const queue::StateMachine& state() const = 0;
  virtual const raft::Raft& raft() const = 0;
};

}  // namespace dqueue::node
