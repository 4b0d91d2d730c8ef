// The loop's state. node.cc opens and answers; node_loop.cc is the turn; node_snapshots.cc takes
// and installs snapshots; node_transfer.cc gives leadership away.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node/inbox.h"
#include "node/node.h"
#include "node/snapshot_actor.h"
#include "storage/snapshots/snapshot_store.h"

namespace dqueue::node {

class NodeImpl final : public Node {
 public:
  NodeImpl(const Options& options, const Env& env);
  ~NodeImpl() override;

  absl::Status Start(Time now);

  void Submit(queue::AnyCall call) override;
  void Receive(std::vector<raft::Message> messages) override;
  void PeerDisconnected(raft::NodeId peer) override;
  void RequestView(std::function<void(const NodeView&)> done) override;
  void RequestMetrics(std::function<void(const NodeMetrics&)> done) override;
  void TransferLeadership(std::string to, TransferDone done) override;
  StatusWatch Watch(StatusWatcher watcher) override;
  void Drain(std::function<void()> done) override;
  bool Poll(Time now) override;
  Time Deadline() const override;
  bool PollLog() override;
  bool PollSnapshots() override;
  absl::Status Close() override;
  const queue::StateMachine& state() const override { return *state_; }
  const raft::Raft& raft() const override { return *raft_; }

 private:
  // ---- the turn (node_loop.cc)
  void TakeInbox(Time now);
  void Step(Time now, raft::Event event);
  // True if more commands wait.
  bool Propose(Time now);
  void Confirm(Time now);
  // Carries out what the core wants. True if there was something.
  bool HandleOutputs(Time now);
  void HandleOutput(Time now, raft::Output output);
  void HandleStatus(const raft::Status& status);
  void WriteAndSend(raft::Output* output);
  void SendMessages(std::vector<raft::Message> messages);
  void ReleaseHeld(raft::Token durable);
  void ApplyEntries(Time now, const std::vector<raft::Entry>& entries);
  // Tells the watchers, if something of NodeStatus has changed.
  void PublishStatus();
  // Takes the time of recovery when it is over.
  void NoteRecovery(Time now);
  void AnswerConfirmed(Time now);
  void MaybeServe(Time now);
  void UpdatePeers();

  // ---- leadership given away (node_transfer.cc)
  void BeginHandover(Time now, std::string to, const TransferDone& done);
  void MaybeEndHandover(Time now);
  void MaybeDrain(Time now);
  Time TransferDeadline() const;

  // ---- snapshots (node_snapshots.cc)
  SnapshotActor::Callbacks ActorCallbacks();
  bool MaybeSnapshot();
  uint64_t MilestoneBytes() const;
  bool SnapshotDue() const;
  void MaybeRemoveOld();
  // Where a snapshot at `index` leaves enough of the log behind it.
  raft::Index CompactionPoint(raft::Index index) const;
  void SnapshotWritten(Time now, std::optional<storage::Manifest> manifest);
  void SnapshotRestored(Time now, const storage::Manifest& manifest,
                        std::unique_ptr<queue::StateMachine> state);
  void SpaceChecked(Time now, uint64_t free_bytes, bool log_space_failed);

  // ---- the rest (node.cc)
  void Post(std::function<void(Time)> task);
  void RunLoop();
  void MakeBroker(uint64_t salt);
  queue::LeaderHint Hint() const;
  NodeView MakeView() const;
  void Fatal(const absl::Status& status);
  void Say(const std::string& line) const;

  const Options options_;
  const Env env_;
  raft::NodeId self_;
  std::unique_ptr<storage::FileLock> lock_;
  std::unique_ptr<storage::Log> log_;
  std::unique_ptr<SnapshotActor> actor_;
  std::unique_ptr<queue::StateMachine> state_;
  std::unique_ptr<queue::Broker> broker_;
  std::unique_ptr<raft::Raft> raft_;
  std::atomic<bool> dead_{false};  // a storage error was reported

  Inbox inbox_;
  Time now_{};
  raft::Status status_;
  Time opened_at_{};
  // Of the log that was found: its end, and the term that it was left in.
  raft::Index recovered_last_;
  raft::Term recovered_term_;
  bool serving_ = false;  // the broker is the leader's
  uint64_t broker_salt_ = 0;

  // Messages that wait for their token.
  struct Held {
    raft::Token token;
    std::vector<raft::Message> messages;
  };
  std::deque<Held> held_;
  raft::Token last_token_;     // newest asked for
  raft::Token durable_token_;  // newest reported

  // Committed proposals whose entries are still to be applied, by index.
  struct Committed {
    raft::Index index;
    uint64_t batch_id = 0;
  };
  std::deque<Committed> committed_;
  std::deque<raft::ReadOutcome> confirmed_;  // wait for the state machine to reach their index
  queue::Effects effects_;                   // of the entry applied last, if this node leads

  // Snapshots.
  bool snapshot_in_state_ = false;               // the state machine is producing an image
  bool snapshot_in_actor_ = false;               // its files are not complete yet
  std::optional<raft::SnapshotMeta> restoring_;  // installed, and being read
  raft::SnapshotMeta snapshot_meta_;
  raft::Index snapshot_index_;   // of the newest complete one
  uint64_t snapshot_bytes_ = 0;  // its size
  raft::Token mark_token_;       // when durable, so is the log's mark of the newest snapshot
  bool remove_old_ = false;      // older snapshots can go once that mark is durable
  Time snapshot_retry_at_{};     // after the disk was full
  // (index, bytes of entries applied so far) at intervals, to find compaction points.
  struct Milestone {
    raft::Index index;
    uint64_t bytes = 0;
  };
  std::deque<Milestone> milestones_;
  uint64_t applied_bytes_ = 0;
  uint64_t bytes_at_snapshot_ = 0;

  NodeMetrics metrics_;  // what is counted here
  // When the batches were proposed that are not applied yet, by their id.
  std::map<uint64_t, Time> proposed_;

  StatusBoard board_;
  // As published last.
  raft::Status published_status_;
  bool published_serving_ = false;
  queue::KeyTablePtr published_keys_;
  std::shared_ptr<const raft::Configuration> published_config_;  // null: changed since

  Time next_space_check_{};
  bool low_space_ = false;

  // Asked for by an operator; one at a time.
  struct Handover {
    std::string to;  // may be empty
    Time give_up_at;
    TransferDone done;
  };
  std::optional<Handover> handover_;

  bool draining_ = false;
  std::vector<std::function<void()>> drained_;
  Time next_transfer_{};
};

}  // namespace dqueue::node
