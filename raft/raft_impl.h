// The inside of Raft. One class, because the rules of Raft talk to each other, but one file for
// each concern:
//
//   raft.cc         construction, events, outputs      receive.cc      who may speak, in which term
//   election.cc     votes, pre-votes, roles            replication.cc  appends, heartbeats, commit
//   read.cc         confirmation rounds                snapshot.cc     sending and installing
//   transfer.cc     leadership moved on purpose        membership.cc   incarnations, peers
//
// Step() only changes state and queues answers; appends and confirmation rounds are made when the
// output is taken, so that everything that arrived since the last one shares a message.
#pragma once

#include <cstdint>
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
  // False: foreign, malformed, from a stranger who has no say, or of another incarnation.
  bool Admissible(const Message& message) const;
  bool WellFormed(const Message& message) const;
  void AnswerStale(const Message& message);
  void Dispatch(Message message);

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
  // The sender of a request that only the leader of this term makes.
  Follower& FollowLeader(NodeId leader);
  void OnElectionDeadline();
  void CountOwnVote();
  // A leader is at work: elections that it did not ask for are refused (R7, thesis 4.2.3).
  bool HearsLeader() const;
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
  void AppendVouched(AppendRequest& request);
  void AnswerAppend(NodeId to, AppendResponse response);
  void TruncateFrom(Index first);
  void AppendOwn(EntryKind kind, Payload payload);
  void LeaderDeadline(Leader& leader);
  void SendHeartbeat(Leader& leader, Progress& peer);
  void SendAppends(Leader& leader, Progress& peer);
  void MaybeCommit();
  void CommitTo(Index index);
  void FlushLeader(Leader& leader);
  bool LeaderHasWork(const Leader& leader) const;
  bool AppendDue(const Progress& peer) const;
  // Ends what only a leader can promise: proposals and reads get their outcomes.
  void AbandonLeadership(Leader& leader);
  // The progress of the sender, which has just shown that it is alive; nullptr if none is kept.
  Progress* Heard(Leader& leader, const Message& message);

  // ---- read.cc
  void AnswerReadId(Follower& follower, NodeId leader, ReadId read_id);
  bool RoundCanBegin(const Leader& leader) const;
  void MaybeBeginRound(Leader& leader);
  void MaybeConfirmRound(Leader& leader);
  void FailReads(std::vector<uint64_t>& reads);

  // ---- snapshot.cc
  void OnSnapshotRequest(Message message);
  void OnSnapshotResponse(const Message& message, const SnapshotResponse& response);
  void StartSnapshot(Progress& peer);
  void MaybeRepeatSnapshot(Progress& peer);
  void SendSnapshotRequest(Progress& peer);
  // True if everything in the snapshot is in the log already; commits up to it.
  bool AlreadyHas(const SnapshotMeta& meta);
  void Install(const SnapshotMeta& meta);

  // ---- transfer.cc
  void StartTransfer(Leader& leader, NodeId target, bool stalled);
  void MaybeFinishTransfer();
  void RetryTransfer(Leader& leader);
  // True if the leader gave up because its disk stands still.
  bool LeaveStalledDisk(Leader& leader);
  void LeaveFullDisk(Leader& leader);
  // 0: nobody. The most caught-up voter that was heard of lately (and has room, if asked).
  NodeId BestTransferTarget(const Leader& leader, bool with_room) const;
  Duration OldestWriteAge() const;

  // ---- membership.cc
  // Progress for exactly the other members of the configuration in force; `next` for new ones.
  void RefreshPeers(Leader& leader, Index next);
  void BindVoters(Leader& leader, const Ballot& ballot);
  void MaybeBindHeard(Leader& leader);
  void AppendConfiguration(Leader& leader, const Configuration& config);
  bool OwnIncarnationBound() const;

  // Leaves at once if this term is durable; a message never tells of a term that a crash could take
  // back.
  void SendNow(NodeId to, MessageBody body);
  void SendAfterPersist(NodeId to, MessageBody body);
  Message Envelope(NodeId to, MessageBody body) const;
  bool TermDurable() const { return durability_.hard_state().term == term_; }
  bool ApplyDue() const { return handed_out_ < commit_ && applied_ >= install_index_; }
  HardState HardStateToWrite() const;

  const Options options_;
  const ClusterId cluster_;
  const NodeId self_;
  const Incarnation incarnation_;
  Random random_;
  Time now_;

  // Persistent state (paper, figure 2). hard_state_submitted_ is what the last Output said.
  Term term_;
  NodeId vote_;
  HardState hard_state_submitted_;
  LogView log_;
  Durability durability_;
  SnapshotMeta snapshot_;  // the newest that is complete in the store

  Index commit_;
  Index handed_out_;     // given to the state machine
  Index applied_;        // reported back by it
  Index install_index_;  // entries wait until this snapshot is applied

  RoleState role_;
  Duration election_timeout_;  // drawn anew for each election
  bool low_space_ = false;
  uint64_t events_ = 0;
  uint64_t dropped_messages_ = 0;

  // The Output in the making.
  std::optional<SnapshotMeta> install_;
  std::vector<Message> send_now_;
  std::vector<Message> send_after_persist_;
  std::optional<size_t> last_ack_;  // in send_after_persist_: a success that a later one may extend
  std::vector<ProposalOutcome> proposal_outcomes_;
  std::vector<ReadOutcome> read_outcomes_;
  std::optional<Message> store_chunk_;
  Status status_reported_;
};

}  // namespace dqueue::raft
