// The implementation of Node. node.cc opens the node and takes calls from other threads;
// node_loop.cc runs a turn; node_snapshots.cc takes and installs snapshots; node_memory.cc counts
// memory; node_transfer.cc transfers leadership.
//
// The members without a comment about threads belong to the loop's thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/work_budget.h"
#include "node/answers.h"
#include "node/cluster_clock.h"
#include "node/inbox/inbox.h"
#include "node/memory_budget.h"
#include "node/node.h"
#include "node/snapshot_actor.h"
#include "node/standing.h"
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
  void PeerRefused(raft::NodeId peer, std::string why) override;
  void RequestView(std::function<void(const NodeView&)> done) override;
  void RequestMetrics(std::function<void(const NodeMetrics&)> done) override;
  void TransferLeadership(std::string to, TransferDone done) override;
  StatusWatch Watch(StatusWatcher watcher) override;
  void Drain(std::function<void()> done) override;
  bool Poll(Time now) override;
  Time Deadline() const override;
  bool PollLog() override;
  bool PollSnapshots() override;
  bool PollAnswers() override;
  Duration TurnCost() const override;
  absl::Status Close() override;
  const queue::StateMachine& state() const override { return *state_; }
  const raft::Raft& raft() const override { return *raft_; }

 private:
  // ---- the turn (node_loop.cc)
  // What each kind of work may still do in this turn.
  struct Shares {
    Shares();
    WorkBudget calls, tasks, timers, apply, leases, reads, proposals;
    int64_t others_ns = 0;  // what has no share: messages, a piece of a snapshot
    int64_t SpentNs() const;
    // Call before work of this kind: leaves it no more than what the turn has left.
    WorkBudget* Begin(WorkBudget* share);
  };
  // Steps raft with the messages; calls and tasks wait in inbox_left_.
  void TakeInbox(Time now);
  // Each does its kind of work until its share of the turn is used up. Not while an entry is
  // applied in part: the state machine then has no meaning for others.
  void RunCalls(Time now);
  void RunTasks(Time now);
  // False: the share is used up, and more is due.
  bool RunTimers(Time now);
  // An entry is applied in part, or the broker has consumed its effects in part.
  bool Applying() const { return state_->applying() || broker_->applying(); }
  void Step(Time now, raft::Event event);
  // Takes the clocks that a member's message tells.
  void TakeClocks(Time now, const raft::Message& message);
  // On the leader: brings the cluster's time up to now.
  void AdvanceClock(Time now);
  // Proposes up to kBatchesPerTurn batches. True if more commands are waiting.
  bool Propose(Time now);
  void Confirm(Time now);
  // Handles all outputs of the raft core. True if there was one.
  bool HandleOutputs(Time now);
  void HandleOutput(raft::Output output);
  // A snapshot replaces committed entries that were not handed out: what became of the proposals
  // among them is unknown to their callers.
  void ForgetCommitted();
  void HandleStatus(const raft::Status& status);
  void WriteAndSend(raft::Output* output);
  void SendMessages(std::vector<raft::Message> messages);
  // Adds the clocks and the state level to the messages of one peer and sends them.
  void SendTo(raft::NodeId to, std::vector<raft::Message> messages);
  // Sends the messages that waited for tokens up to `durable`.
  void ReleaseHeld(raft::Token durable);
  // Applies entries of to_apply_ until the share of the turn is used up. True: raft was told.
  bool ApplyEntries(Time now);
  // True: the entry is applied, and its calls are answered. False: the share is used up.
  bool ApplyEntry(Time now, const raft::Entry& entry);
  void AfterApply(const raft::Entry& entry);
  // Publishes the status if it has changed.
  void MaybePublishStatus();
  // Records the recovery time when the recovered log is applied.
  void MaybeEndRecovery(Time now);
  // Answers confirmed reads whose index is applied.
  void AnswerConfirmed(Time now);
  // Makes the broker the leader's when all entries of earlier leaders are applied.
  void MaybeServe(Time now);
  void UpdatePeers();
  // The highest level that every member is known to know.
  uint32_t MembersLevel() const;

  // ---- standing in the cluster (node_standing.cc)
  void HandleRefusals(Time now, const std::vector<raft::RefusedBy>& refusals);
  // Stops this node for ever: its disk went back in time.
  void HandleWentBack(const raft::WentBack& lost);
  // Recomputes excluded_ and logs a change.
  void UpdateStanding(Time now);
  // Logs, at a slow pace, that this node refuses the messages of another one.
  void NoteRefusalSent(const raft::Message& message);
  // Counts and logs a refusal of a chunk that this node sent.
  void NoteChunkRefused(const raft::Message& message);
  std::string MemberName(raft::NodeId id) const;  // empty: not in the configuration

  // ---- leadership transfer (node_transfer.cc)
  void BeginTransfer(Time now, std::string to, const TransferDone& done);
  void MaybeEndTransfer(Time now);
  void MaybeDrain(Time now);
  Time TransferDeadline() const;

  // ---- snapshots (node_snapshots.cc)
  SnapshotActor::Callbacks ActorCallbacks();
  // Begins a snapshot if one is due, and produces its next piece. True: more pieces follow.
  bool MaybeSnapshot();
  // The distance between milestones.
  uint64_t MilestoneBytes() const;
  bool SnapshotDue() const;
  // Gives up the snapshot that is being taken, if there is one.
  void AbandonSnapshot();
  // True if a snapshot may free space on a disk that is low.
  bool SnapshotFreesSpace() const;
  // A snapshot that was to be sent is damaged.
  void SnapshotDamaged(const raft::SnapshotMeta& meta, const std::string& problem);
  void MaybeRemoveOld();
  // The last index to compact after a snapshot at `index`: keeps trailing_log_bytes of the log.
  raft::Index CompactionPoint(raft::Index index) const;
  void SnapshotWritten(Time now, std::optional<storage::Manifest> manifest);
  void SnapshotRestored(Time now, const storage::Manifest& manifest,
                        std::unique_ptr<queue::StateMachine> state);
  void SpaceChecked(Time now, uint64_t free_bytes, bool log_space_failed);

  // ---- memory (node_memory.cc)
  // For status pages.
  struct StateFigures {
    uint64_t applied_index = 0;
    uint64_t digest = 0;
    uint64_t jobs = 0;
    uint32_t level = 0;
    queue::QueueFigures queues;
    uint64_t forgotten_queues = 0;
    queue::UsedIds used_request_ids;
  };
  StateFigures Figures();
  // If a snapshot is to be restored and no entry before it waits: gives the state to the snapshot
  // thread, which frees it and then restores the snapshot. Meanwhile this node has an empty one:
  // there is not always memory for two.
  void MaybeReplaceState();
  MemoryUse MemoryInUse() const;
  void CheckMemory(Time now);
  // Tells the broker whether new jobs must be refused.
  void UpdateLowMemory();

  // ---- all else (node.cc)
  // Runs `task` in the next turn. Any thread.
  void Post(std::function<void(Time)> task);
  // Runs the work on the answering thread, or here if there is none.
  void RunElsewhere(Answers::Work work);
  // Calls Env::run_loop, or Env::wake_loop if that is null. Any thread.
  void RunLoop();
  // Replaces the broker. `salt` makes its random numbers differ from the last broker's.
  void MakeBroker(uint64_t salt);
  queue::LeaderHint Hint() const;
  NodeView MakeView() const;
  // Reports a storage error once. Any thread.
  void Fatal(const absl::Status& status);
  void LogLine(const std::string& line) const;
  void LogWarning(const std::string& line) const;

  const Options options_;
  const Env env_;
  raft::NodeId self_;
  ClusterClock clock_;
  std::unique_ptr<storage::FileLock> lock_;
  std::unique_ptr<storage::Log> log_;
  std::unique_ptr<SnapshotActor> actor_;
  std::unique_ptr<queue::StateMachine> state_;
  std::unique_ptr<queue::Broker> broker_;
  std::unique_ptr<raft::Raft> raft_;
  std::atomic<bool> failed_{false};  // a storage error was reported; any thread

  Inbox inbox_;      // any thread
  Answers answers_;  // any thread
  Time now_{};       // of the current or last turn
  raft::Status status_;
  Time opened_at_{};
  // The last index and the term of the recovered log.
  raft::Index recovered_last_;
  raft::Term recovered_term_;
  bool serving_ = false;  // this node leads, and the broker answers calls
  uint64_t broker_salt_ = 0;

  // Messages to send when `token` is durable.
  struct Held {
    raft::Token token;
    std::vector<raft::Message> messages;
  };
  std::deque<Held> held_;
  raft::Token last_token_;     // newest token submitted to the log
  raft::Token durable_token_;  // newest token that the log reported as durable

  // Calls, late ones too, and tasks that found no room in a turn.
  InboxContents inbox_left_;
  bool more_in_inbox_ = false;
  bool calls_unfinished_ = false;  // the broker has a call with very many items in progress
  bool reads_unanswered_ = false;  // the broker has confirmed reads to answer
  Shares shares_;                  // of the current or last turn

  // Committed entries that are not applied yet. The first may be applied in part.
  std::deque<raft::Entry> to_apply_;
  // Of the first entry, from the moment when its application begins.
  bool applying_own_ = false;        // this node proposed it
  bool collecting_effects_ = false;  // the broker gets its effects
  bool effects_begun_ = false;       // the state machine has applied it
  uint32_t level_before_ = 0;        // the state's level before it
  // Committed proposals that are not applied yet, by index.
  struct Committed {
    raft::Index index;
    uint64_t batch_id = 0;
  };
  std::deque<Committed> committed_;
  std::deque<raft::ReadOutcome> confirmed_;  // reads whose index is not applied yet
  queue::Effects effects_;                   // of the entry that is or was applied last

  // Snapshots.
  bool snapshot_in_state_ = false;               // the state machine is producing pieces
  bool snapshot_in_actor_ = false;               // the files are not complete yet
  std::optional<raft::SnapshotMeta> restoring_;  // received; the actor is building its state
  bool replace_state_ = false;                   // when to_apply_ is empty
  // Of the state that was given up for the one that is restored: counters must not seem to start
  // anew.
  std::optional<StateFigures> before_restore_;
  raft::SnapshotMeta snapshot_meta_;
  raft::Index snapshot_index_;    // of the newest complete snapshot
  uint64_t snapshot_bytes_ = 0;   // size of that snapshot
  raft::Token mark_token_;        // durable: the log's mark of the newest snapshot is durable too
  bool remove_old_ = false;       // remove older snapshots when mark_token_ is durable
  Time snapshot_retry_at_{};      // no snapshot before this time: the disk was full
  bool snapshot_wanted_ = false;  // the newest snapshot is damaged: take another one
  // Under low space: no snapshot before this time, and the pause after the next one.
  Time pressure_snapshot_at_{};
  Duration pressure_pause_{};
  // An index and the bytes of all entries applied up to it, at intervals. For CompactionPoint().
  struct Milestone {
    raft::Index index;
    uint64_t bytes = 0;
  };
  std::deque<Milestone> milestones_;
  uint64_t applied_bytes_ = 0;
  uint64_t bytes_at_snapshot_ = 0;      // when the newest snapshot began,
  uint64_t bytes_before_snapshot_ = 0;  // and what it was then: if that snapshot fails

  queue::NamedQueues named_queues_;
  TurnMeter meter_;
  NodeMetrics metrics_;  // only the counters, commit_time, free_bytes and recovery_time
  // The proposal times of batches that are not applied yet, by batch id.
  std::map<uint64_t, Time> proposed_;
  // The level of the replicated state in the last message of each member of the configuration.
  std::map<raft::NodeId, uint32_t> levels_;

  StatusBoard board_;
  // The status of the last publication.
  raft::Status published_status_;
  bool published_serving_ = false;
  queue::KeyTablePtr published_keys_;
  std::shared_ptr<const raft::Configuration> published_config_;  // null: may have changed

  Standing standing_;
  std::string excluded_;  // Standing::Problem() at the last update
  std::string published_excluded_;

  Time next_space_check_{};
  bool low_space_ = false;
  MemoryBudget memory_;
  uint64_t resident_bytes_ = 0;  // at the last check

  // A transfer that TransferLeadership() requested; one at a time.
  struct RequestedTransfer {
    std::string to;   // empty: any voter
    Time give_up_at;  // TRANSFER_FAILED from then on
    TransferDone done;
  };
  std::optional<RequestedTransfer> requested_transfer_;

  bool draining_ = false;                       // Drain() was called
  std::vector<std::function<void()>> drained_;  // callbacks of Drain() to call
  Time next_transfer_{};                        // of the transfers that Drain() repeats
};

}  // namespace dqueue::node
