// The implementation of Raft. It is one class, because the rules share state, with one file for
// each concern:
//
//   raft.cc         construction, events, outputs    receive.cc      checks of every message
//   election.cc     votes, pre-votes, roles          replication.cc  appends, heartbeats, commit
//   read.cc         confirmation rounds              snapshot.cc     sending and installing
//   transfer.cc     leadership transfer              membership.cc   incarnations, peers
//   standing.cc     refusals; disks that went back in time
//
// Step() changes state and queues responses. TakeOutput() creates append requests and confirmation
// rounds, so that all events since the last output share one message for each peer.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/random.h"
#include "raft/durability.h"
#include "raft/log_view.h"
#include "raft/progress.h"
#include "raft/raft.h"
#include "raft/roles.h"

namespace dqueue::raft {

class RaftImpl {
 public:
  RaftImpl(const Options& options, const Recovered& recovered, const LogReader* reader,
           uint64_t seed, Time now);

  void Step(Time now, Event event);
  Time Deadline() const;
  bool HasOutput() const;
  Output TakeOutput();

  Status GetStatus() const;
  View GetView() const;
  bool HasRoom() const;
  bool HasMemory() const;
  Index CompactionLimit() const;
  const LogView& log() const { return log_; }

 private:
  friend class Invariants;

  // ---- Events (raft.cc, unless named otherwise)
  void On(Receive event);  // receive.cc
  void On(Propose event);  // replication.cc
  void On(Read event);     // read.cc
  void On(Persisted event);
  void On(Applied event);
  void On(SnapshotTaken event);        // snapshot.cc
  void On(SnapshotChunkStored event);  // snapshot.cc
  void On(PeerUnreachable event);
  void On(Capacity event);
  void On(Transfer event);  // transfer.cc
  void On(Timeout event);

  // ---- receive.cc
  // Why the message must be dropped. nullopt: it is admitted, or it is malformed or for another
  // node; then *malformed is true.
  std::optional<Refusal::Reason> Objection(const Message& message, bool* malformed) const;
  bool WellFormed(const Message& message) const;
  void RejectStale(const Message& message);
  void Dispatch(Message message);

  // ---- standing.cc
  void OnRefusal(const Message& message);
  // Drops a message: counts it and tells its sender, once for each start and at most once a second.
  void Refuse(const Message& message, Refusal::Reason reason);
  // Records the sender's boot. False if it contradicts what is known of the sender.
  bool RecordBoot(const Message& message);
  KnownBoot Known(NodeId id) const;
  // Compares what `witness` remembers of this node with this node's disk (R13).
  void CheckKnown(NodeId witness, const KnownBoot& known);
  // True if the new cluster may elect a leader: Options::formation_wait.
  bool MayForm() const;
  // Notes that a member's log ends at `last_index`, for MayForm().
  void NoteLogEnd(Index last_index);
  // True if this is a new disk, and a member knows another one of this node.
  bool Disowned() const;

  // ---- election.cc
  void OnPreVoteRequest(const Message& message, const PreVoteRequest& request);
  void OnPreVoteResponse(const Message& message, const PreVoteResponse& response);
  void OnVoteRequest(const Message& message, const VoteRequest& request);
  void OnVoteResponse(const Message& message, const VoteResponse& response);
  void OnTimeoutNow(const Message& message);
  void BecomeFollower(Term term, NodeId leader);
  void BecomePreCandidate();
  void BecomeCandidate(bool transfer);
  void BecomeLeader();
  // Records a request that only the leader of the current term sends; becomes follower if needed.
  Follower& FollowLeader(NodeId leader);
  void OnElectionDeadline();
  void CountOwnVote();
  // True if a current leader is active: then votes are refused unless a transfer asks for them (R7,
  // thesis 4.2.3).
  bool HeardFromLeader() const;
  bool HeardFromQuorum(Duration within) const;
  bool UpToDate(Index last_index, Term last_term) const;
  bool PrefersOwnCandidacy(NodeId rival, const PreVoteRequest& request) const;
  bool CanCampaign() const;
  Duration RandomElectionTimeout();

  // ---- replication.cc
  void OnAppendRequest(const Message& message, AppendRequest& request);
  void OnAppendResponse(const Message& message, const AppendResponse& response);
  void OnHeartbeatRequest(const Message& message, const HeartbeatRequest& request);
  void OnHeartbeatResponse(const Message& message, const HeartbeatResponse& response);
  void AppendNewEntries(AppendRequest& request);
  void SendAppendResponse(NodeId to, AppendResponse response);
  void TruncateFrom(Index first);
  void AppendAsLeader(EntryKind kind, Payload payload);
  void LeaderDeadline(Leader& leader);
  void SendHeartbeat(Leader& leader, Progress& peer);
  void SendAppends(Leader& leader, Progress& peer);
  void MaybeCommit();
  void CommitTo(Index index);
  void FlushLeader(Leader& leader);
  bool LeaderHasWork(const Leader& leader) const;
  bool AppendDue(const Progress& peer) const;
  // Reports outcomes for all proposals and reads that only a leader can finish.
  void AbandonLeadership(Leader& leader);
  // Records a message of the peer and returns its progress; nullptr if the peer has none.
  Progress* RecordContact(Leader& leader, const Message& message);

  // ---- read.cc
  void EchoReadId(Follower& follower, NodeId leader, ReadId read_id);
  bool RoundCanBegin(const Leader& leader) const;
  void MaybeBeginRound(Leader& leader);
  void MaybeConfirmRound(Leader& leader);
  void FailReads(std::vector<uint64_t>& reads);

  // ---- snapshot.cc
  void OnSnapshotRequest(Message message);
  void OnSnapshotResponse(const Message& message, const SnapshotResponse& response);
  void StartSnapshot(Progress& peer);
  void MaybeResendSnapshot(Progress& peer);
  void SendSnapshotRequest(Progress& peer);
  // True if the log contains everything that is in the snapshot. Then commits up to meta.index.
  bool ContainsSnapshot(const SnapshotMeta& meta);
  void Install(const SnapshotMeta& meta);

  // ---- transfer.cc
  void StartTransfer(Leader& leader, NodeId target, bool stalled);
  void MaybeFinishTransfer();
  void MaybeRetryTransfer(Leader& leader);
  // True if this node stepped down because its disk stalls.
  bool MaybeLeaveStalledDisk(Leader& leader);
  void MaybeLeaveFullDisk(Leader& leader);
  // The reachable voter with the highest match index; if `with_room`, only voters with room. 0:
  // none.
  NodeId BestTransferTarget(const Leader& leader, bool with_room) const;
  Duration OldestWriteAge() const;

  // ---- membership.cc
  // Makes one Progress for each other member of the configuration in force. New ones start at
  // `next`.
  void RefreshPeers(Leader& leader, Index next);
  void BindVoters(Leader& leader, const Ballot& ballot);
  void MaybeBindContacted(Leader& leader);
  void AppendConfiguration(Leader& leader, const Configuration& config);
  bool OwnIncarnationBound() const;
  // R12: the peer's incarnation is the one bound in the configuration.
  bool Counts(const Progress& peer) const;

  // Sends at once if the current term is durable, otherwise after it is. A message must never carry
  // a term that a crash can undo.
  void SendNow(NodeId to, MessageBody body);
  void SendAfterPersist(NodeId to, MessageBody body);
  Message Envelope(NodeId to, MessageBody body) const;
  bool TermDurable() const { return durability_.hard_state().term == term_; }
  bool ApplyDue() const { return handed_out_ < commit_ && applied_ == handed_out_; }
  HardState HardStateToWrite() const;

  const Options options_;
  const ClusterId cluster_;
  const NodeId self_;
  const Incarnation incarnation_;
  const std::vector<Boot> boots_;
  const Time started_;
  const Term started_term_;  // the stored term at the start
  Random random_;
  Time now_;

  // Persistent state (paper, figure 2). hard_state_submitted_ is the last one put into an Output.
  Term term_;
  NodeId vote_;
  HardState hard_state_submitted_;
  LogView log_;
  Durability durability_;
  SnapshotMeta snapshot_;  // the newest snapshot that is complete in the store

  Index commit_;
  Index handed_out_;     // last entry handed to the state machine
  Index applied_;        // last entry that the state machine reported applied
  Index install_index_;  // no entry is applied before this snapshot is restored

  RoleState role_;
  Duration election_timeout_;  // drawn again for each election
  bool low_space_ = false;
  bool low_memory_ = false;
  uint64_t events_ = 0;
  uint64_t dropped_messages_ = 0;
  std::array<uint64_t, kRefusalReasons> refused_messages_ = {};

  // What this node remembers of the members, by id. Not stored.
  std::map<NodeId, KnownBoot> known_;
  // The incarnations of members that sent anything, for MayForm() and the first binding.
  std::map<NodeId, Incarnation> heard_;
  std::optional<Time> longer_log_heard_;  // the last time, for MayForm()
  struct Told {
    Incarnation incarnation;
    Boot boot;
    Time next;  // no Refusal to this start before this time
  };
  std::map<NodeId, Told> refused_;  // by sender; bounded
  bool disowned_ = false;           // a member knows another incarnation of this node
  bool lost_ = false;               // WentBack was reported; all input is ignored

  // Contents of the next Output.
  std::optional<SnapshotMeta> install_;
  std::vector<Message> send_now_;
  std::vector<Message> send_after_persist_;
  std::optional<size_t> last_ack_;  // in send_after_persist_: the last success, which a later one
                                    // to the same node extends
  std::vector<ProposalOutcome> proposal_outcomes_;
  std::vector<ReadOutcome> read_outcomes_;
  std::optional<Message> store_chunk_;
  std::vector<RefusedBy> refusals_;
  std::optional<WentBack> went_back_;
  Status status_reported_;
};

}  // namespace dqueue::raft
