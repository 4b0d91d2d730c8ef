// A cluster in one thread and virtual time: real cores, fake disks with delays, and a network that
// delays, drops, resends and cuts. Each step checks the core's invariants and the rules that span
// nodes: one leader for each term, one entry for each committed index, no message before its state
// is durable, no stale read. A broken rule throws Violation.
//
//   TestCluster t({.nodes = 3});
//   t.AwaitLeader();
//   t.node(2).Crash();
//   t.Propose(t.leader(), "a");
//   t.RunFor(1s);
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/random.h"
#include "raft/invariants.h"
#include "raft/raft.h"
#include "raft/testing/fake_disk.h"

namespace dqueue::raft::test {

struct Violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// While an object of this class exists, a failed DQ_CHECK throws Violation instead of ending the
// process.
class ChecksThrow {
 public:
  ChecksThrow();
  ~ChecksThrow();
};

class TestCluster;

class TestNode {
 public:
  TestNode(TestCluster* cluster, NodeId id);

  NodeId id() const { return id_; }
  bool up() const { return raft_ != nullptr; }
  const Raft& raft() const { return *raft_; }
  Status status() const { return raft_->status(); }
  View view() const { return raft_->GetView(); }
  const FakeDisk& disk() const { return *disk_; }
  // Applied commands, in order.
  const std::vector<std::string>& state() const { return state_; }

  // Pending writes are lost, except the first `kept`.
  void Crash(size_t kept = 0);
  void Restart();
  // Replaces the disk by a newly formatted one with another incarnation.
  void Wipe();
  void StallDisk(bool stalled) { disk_stalled_ = stalled; }
  void Step(Event event);
  // Takes a snapshot at the last applied entry and compacts all but `trailing` entries before it.
  // False if nothing was applied since the last snapshot, or not all of it is durable.
  bool TakeSnapshot(uint64_t trailing);
  size_t writes_under_way() const { return writes_.size(); }
  // Requires writes_under_way() > 0.
  Token oldest_write() const { return writes_.front().token; }
  // When the oldest of them ends; Time::max() if there is none.
  Time write_due() const { return writes_.empty() ? Time::max() : writes_.front().due; }
  // Ends the oldest of them now. Requires writes_under_way() > 0.
  void CompleteWrite();
  // Number of snapshots installed since the start of the test.
  int installs() const { return installs_; }

 private:
  friend class TestCluster;
  struct Write {
    Token token;
    Time due;
    std::optional<HardState> hard_state;
    std::optional<SnapshotMeta> install;
    std::vector<Entry> append;
    std::vector<Message> held;
  };
  void HandleOutputs();
  void Handle(Output output);
  void Apply(const Entry& entry);
  void StoreChunk(const Message& message);
  void FillChunk(SnapshotRequest& request) const;

  TestCluster* cluster_;
  NodeId id_;
  std::unique_ptr<FakeDisk> disk_;
  std::unique_ptr<Raft> raft_;
  std::unique_ptr<Invariants> invariants_;
  std::deque<Write> writes_;
  bool disk_stalled_ = false;
  int installs_ = 0;
  std::vector<std::string> state_;
  Index applied_;
  std::map<uint64_t, std::vector<std::string>> snapshots_;  // on disk, by index
  // The snapshot being received.
  std::optional<SnapshotMeta> receiving_;
  std::vector<std::string> received_;
};

class TestCluster {
 public:
  struct Setup {
    int nodes = 3;
    uint64_t seed = 1;
    Options raft = {};
    Duration disk_delay = 500us;
    Duration net_delay = 200us;
    bool bound = false;  // incarnations are bound from the start
    // If not empty: the terms of each node's entries after the configuration at index 1.
    std::vector<std::vector<int>> logs = {};
    int term = 1;  // the stored term at the start
  };
  explicit TestCluster(const Setup& setup);

  int size() const { return static_cast<int>(nodes_.size()); }
  TestNode& node(int i) { return *nodes_[static_cast<size_t>(i) - 1]; }
  Time now() const { return now_; }
  Random& random() { return random_; }

  void RunFor(Duration duration);
  // Moves the clock and does nothing else: timers, writes and messages that are due stay due.
  void AdvanceTo(Time time) { now_ = std::max(now_, time); }
  // False if `condition` does not hold within `limit`.
  bool RunUntil(const std::function<bool()>& condition, Duration limit);
  // The running node that leads the newest term; 0: none.
  int leader();
  // Runs until a leader serves and returns its number. Throws Violation after `limit`.
  int AwaitLeader(Duration limit = 5s);
  // Runs until all running nodes have applied the whole log of the leader. False after `limit`.
  bool AwaitAgreement(Duration limit = 5s);

  // Each call returns a new id.
  uint64_t Propose(int node, const std::string& command);
  uint64_t Read(int node);
  std::optional<ProposalOutcome> proposal(uint64_t id) const;
  std::optional<ReadOutcome> read(uint64_t id) const;
  // Commands reported committed, by index.
  const std::map<uint64_t, std::string>& acknowledged() const { return acknowledged_; }

  // ---- The network
  void Cut(int a, int b);  // both ways
  void CutOneWay(int from, int to);
  void Isolate(int node);
  void Heal();
  // Sends PeerUnreachable{node} to all other nodes.
  void ReportUnreachable(int node);
  // Drops the messages for which `filter` returns true.
  void DropIf(std::function<bool(const Message&)> filter) { filter_ = std::move(filter); }
  // Holds the messages for which `filter` returns true until Release().
  void HoldIf(std::function<bool(const Message&)> filter) { hold_ = std::move(filter); }
  // Delivers the held messages sent by `from` (0: all nodes), in order.
  void Release(int from = 0);
  double loss = 0;
  double repeat = 0;
  Duration jitter{0};
  Duration disk_jitter{0};

  // The last events, with times in virtual milliseconds.
  std::string Trace() const;
  void Note(const std::string& line);
  // From now on, keeps a trace line of every delivered message for which `wanted` returns true.
  void KeepTrace(std::function<bool(const Message&)> wanted);
  const std::vector<std::string>& kept_trace() const { return kept_trace_; }
  // Called with each Output before it is carried out.
  void ObserveOutputs(std::function<void(const TestNode&, const Output&)> observer) {
    observer_ = std::move(observer);
  }

 private:
  friend class TestNode;
  struct InFlight {
    Time due;
    uint64_t sequence;
    Message message;
    bool operator<(const InFlight& other) const {
      return std::tie(due, sequence) < std::tie(other.due, other.sequence);
    }
  };
  // The next event: the end of a write, a timer, or else the arrival of a message.
  struct Due {
    Time time = Time::max();
    TestNode* disk = nullptr;
    TestNode* timer = nullptr;
  };
  Due NextDue();
  void Run(const Due& due);
  [[noreturn]] void Fail(const std::string& what);
  void Send(TestNode& from, Message message);
  void CheckSent(const TestNode& from, const Message& message);
  void OnOutcome(TestNode& node, const ProposalOutcome& outcome);
  void OnRead(const ReadOutcome& outcome);
  void OnStatus(TestNode& node, const Status& status);
  void OnApply(TestNode& node, const Entry& entry);

  Setup setup_;
  Random random_;
  Time now_;
  std::vector<std::unique_ptr<TestNode>> nodes_;
  std::set<InFlight> network_;
  uint64_t sequence_ = 0;
  std::set<std::pair<uint64_t, uint64_t>> cuts_;
  std::function<bool(const Message&)> filter_;
  std::function<bool(const Message&)> hold_;
  std::vector<Message> held_;

  // Facts that all nodes together have shown.
  struct Committed {
    Term term;
    Payload payload;
  };
  std::map<uint64_t, uint64_t> leaders_;     // term -> node
  std::map<uint64_t, Committed> committed_;  // index -> entry
  uint64_t next_id_ = 1;
  std::map<uint64_t, std::string> proposed_;  // id -> command
  std::map<uint64_t, ProposalOutcome> proposals_;
  std::map<uint64_t, ReadOutcome> reads_;
  std::map<uint64_t, Index>
      read_floor_;  // id -> highest acknowledged index at the time of the read
  std::map<uint64_t, std::string> acknowledged_;
  std::set<std::string> refused_;
  Index acknowledged_to_;

  std::deque<std::string> trace_;
  std::function<bool(const Message&)> trace_wanted_;
  std::function<void(const TestNode&, const Output&)> observer_;
  std::vector<std::string> kept_trace_;
};

}  // namespace dqueue::raft::test
