// Tests of log replication, commitment, reads and snapshots: one test for each sentence of the Raft
// paper and thesis that the core implements, and tests for the rules R1 to R11 of raft.h that go
// beyond them.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "raft/testing/test_cluster.h"
#include "raft/testing/test_core.h"

namespace dqueue::raft::test {
namespace {

AppendRequest Append(uint64_t prev_index, int prev_term, const std::vector<int>& terms,
                     uint64_t commit = 0) {
  AppendRequest request;
  request.prev_index = Index(prev_index);
  request.prev_term = Term(static_cast<uint64_t>(prev_term));
  request.commit = Index(commit);
  for (const int term : terms) request.entries.push_back(TestCore::Command(++prev_index, term));
  return request;
}

HeartbeatRequest Heartbeat(uint64_t commit, uint64_t read_id = 0) {
  return {.commit = Index(commit), .read_id = ReadId(read_id)};
}

// Terms of the log entries from index 2 on.
std::vector<int> LogTerms(TestCore& core) {
  std::vector<int> terms;
  for (Index i(2); i <= core.view().last_index; i = i.Next()) {
    terms.push_back(static_cast<int>(core.raft().TermAt(i).value()));
  }
  return terms;
}

std::vector<uint64_t> Indexes(const std::vector<Entry>& entries) {
  std::vector<uint64_t> indexes;
  for (const Entry& entry : entries) indexes.push_back(entry.index.value());
  return indexes;
}

using Numbers = std::vector<uint64_t>;

// ---- The leader

// Paper 5.2: a new leader "sends heartbeat messages to all of the other servers"; 5.3: it starts
// with nextIndex "just after the last one in its log"; paper 8: it commits "a blank no-op entry
// into the log at the start of its term".
TEST(Paper8, NewLeaderAppendsNoop) {
  TestCore core({.log = {1, 1}, .commit = 3});
  core.Tick();
  core.Receive(2, 1, PreVoteResponse{Term(2), true});
  core.Persist();
  const Output out = core.Receive(2, 2, VoteResponse{true});
  ASSERT_EQ(core.status().role, Role::kLeader);
  ASSERT_EQ(out.append.size(), 1u);
  EXPECT_EQ(out.append[0].kind, EntryKind::kNoop);
  EXPECT_EQ(out.append[0].term, Term(2));
  EXPECT_EQ(Lines(out.send_now), (std::vector<std::string>{"2 t2 append 4 prev 3^1 commit 3",
                                                           "3 t2 append 4 prev 3^1 commit 3"}));
  EXPECT_FALSE(core.status().serving);
  core.Persist();
  core.Acknowledge(3, Index(4));
  EXPECT_TRUE(core.status().serving);
}

// Paper 5.2: leaders send "periodic heartbeats" "to maintain their authority".
TEST(Paper52, HeartbeatsAreSentAtEachInterval) {
  TestCore core({});
  core.BecomeLeader();
  for (int i = 0; i < 5; ++i) {
    const Time before = core.now();
    const Output out = core.Tick();
    EXPECT_EQ(core.now() - before, i == 0 ? core.now() - before : Duration(50ms));
    EXPECT_EQ(Now<HeartbeatRequest>(out, 2).size(), 1u);
    EXPECT_EQ(Now<HeartbeatRequest>(out, 3).size(), 1u);
    core.Receive(2, 2, HeartbeatResponse{});
  }
}

// Paper 5.3: "The leader appends the command to its log as a new entry, then issues AppendEntries
// RPCs in parallel to each of the other servers"; thesis 10.2.1: in parallel with its own write.
TEST(Paper53, ProposalIsSentInParallelWithItsWrite) {
  TestCore core({});
  core.BecomeLeader();
  const Output out = core.Step(Propose{7, Text("a")});
  EXPECT_EQ(Indexes(out.append), (Numbers{3}));
  EXPECT_NE(out.token, Token());
  EXPECT_EQ(Lines(out.send_now), (std::vector<std::string>{"2 t2 append 3 prev 2^2 commit 2",
                                                           "3 t2 append 3 prev 2^2 commit 2"}));
  EXPECT_TRUE(out.send_after_persist.empty());
  // The payload is shared, not copied.
  EXPECT_EQ(Now<AppendRequest>(out, 2)[0].entries[0].payload, out.append[0].payload);
}

// Paper 5.3: "When the entry has been safely replicated, the leader applies the entry"; it is
// "committed once the leader has replicated it on a majority"; "the leader keeps track of the
// highest index it knows to be committed, and it includes that index in future AppendEntries".
TEST(Paper53, MajorityCommitsAndApplies) {
  TestCore core({.nodes = 5});
  core.BecomeLeader();
  core.Step(Propose{7, Text("a")});
  core.Persist();
  EXPECT_TRUE(core.Acknowledge(2, Index(3)).apply.empty());
  Output out = core.Acknowledge(3, Index(3));
  EXPECT_EQ(Indexes(out.apply), (Numbers{3}));
  ASSERT_EQ(out.proposals.size(), 1u);
  EXPECT_EQ(out.proposals[0].id, 7u);
  EXPECT_EQ(out.proposals[0].kind, ProposalOutcome::Kind::kCommitted);
  EXPECT_EQ(out.proposals[0].index, Index(3));
  out = core.Step(Propose{8, Text("b")});
  EXPECT_EQ(Now<AppendRequest>(out, 4)[0].commit, Index(3));
}

// R3: the leader's own copy counts only when it is durable, also in a cluster of one (etcd#14370).
TEST(R3, OwnCopyCountsOnlyWhenDurable) {
  TestCore core({});
  core.BecomeLeader();
  core.Step(Propose{7, Text("a")});
  EXPECT_TRUE(core.Step(Timeout{}).apply.empty());
  core.Acknowledge(2, Index(3));  // node 2 has the only durable copy
  EXPECT_EQ(core.view().commit, Index(2));
  core.Persist();
  EXPECT_EQ(core.view().commit, Index(3));
  core.Step(Propose{8, Text("b")});
  core.Acknowledge(2, Index(4));
  core.Acknowledge(3, Index(4));  // nodes 2 and 3 are a majority
  EXPECT_EQ(core.view().commit, Index(4));

  TestCore alone({.nodes = 1});
  alone.BecomeLeader();
  EXPECT_TRUE(alone.Step(Propose{7, Text("a")}).apply.empty());
  const Output out = alone.Persist();
  EXPECT_EQ(Indexes(out.apply), (Numbers{3}));
  EXPECT_EQ(out.proposals.size(), 1u);
}

// Paper 5.3: "If followers crash or run slowly, or if network packets are lost, the leader retries
// AppendEntries RPCs indefinitely". The retry is an empty probe, so a slow disk does not get
// entries twice.
TEST(Paper53, LostAppendsAreResent) {
  TestCore core({});
  core.BecomeLeader();
  core.Step(Propose{7, Text("a")});  // its appends are lost
  core.Persist();
  int questions = 0;
  for (int i = 0; i < 40; ++i) {
    core.Tick();
    for (const AppendRequest& request :
         Now<AppendRequest>(core.Receive(2, 2, HeartbeatResponse{}), 2)) {
      ++questions;
      EXPECT_EQ(request.prev_index, Index(3));
      EXPECT_TRUE(request.entries.empty());
    }
  }
  EXPECT_GT(questions, 30);
  AppendResponse refusal;
  refusal.rejected_prev = Index(3);
  refusal.hint_index = Index(2);
  refusal.hint_term = Term(2);
  Output out = core.Receive(2, 2, refusal);
  ASSERT_EQ(Now<AppendRequest>(out, 2).size(), 1u);
  EXPECT_EQ(Now<AppendRequest>(out, 2)[0].prev_index, Index(2));
  EXPECT_EQ(Indexes(Now<AppendRequest>(out, 2)[0].entries), (Numbers{3}));
  // A follower that sends nothing gets heartbeats but no more probes.
  out = core.Tick();
  EXPECT_TRUE(Now<AppendRequest>(out, 3).empty());
  EXPECT_EQ(Now<HeartbeatRequest>(out, 3).size(), 1u);
}

// Figure 3, Leader Append-Only: a second leader of the same term is impossible.
TEST(Paper53, SecondLeaderInTermFailsCheck) {
  ChecksThrow checks;
  TestCore core({});
  core.BecomeLeader();
  EXPECT_THROW(core.Receive(2, 2, Append(1, 1, {2})), Violation);
}

// ---- Pipelining and its bounds

TEST(Pipelining, AppendsArePipelinedUpToWindow) {
  Options options;
  options.max_append_entries = 2;
  options.window_entries = 5;
  TestCore core({.options = options});
  core.BecomeLeader();
  size_t sent = 0;
  for (uint64_t id = 0; id < 8; ++id) {
    for (const auto& request : Now<AppendRequest>(core.Step(Propose{id, Text("x")}), 2)) {
      sent += request.entries.size();
    }
  }
  EXPECT_EQ(sent, 5u);
  const Output out = core.Acknowledge(2, Index(4));
  ASSERT_EQ(Now<AppendRequest>(out, 2).size(), 1u);
  EXPECT_EQ(Indexes(Now<AppendRequest>(out, 2)[0].entries), (Numbers{8, 9}));
}

TEST(Pipelining, ProposalsBeforeAnOutputShareAMessage) {
  TestCore core({});
  core.BecomeLeader();
  core.raft().Step(core.now(), Propose{1, Text("a")});
  core.raft().Step(core.now(), Propose{2, Text("b")});
  const Output out = core.Step(Propose{3, Text("c")});
  EXPECT_EQ(Lines(out.send_now), (std::vector<std::string>{"2 t2 append 3..5 prev 2^2 commit 2",
                                                           "3 t2 append 3..5 prev 2^2 commit 2"}));
}

// R9: rejected as overloaded. The counters return to zero (etcd ad49c8fd9).
TEST(R9, ProposalsAboveLimitsAreRejected) {
  const auto refused = [](const Output& out) {
    return out.proposals.size() == 1 &&
           out.proposals[0].kind == ProposalOutcome::Kind::kNotAppended &&
           out.proposals[0].reason == ProposalOutcome::Reason::kOverloaded;
  };
  Options few;
  few.max_uncommitted_entries = 4;
  TestCore by_count({.options = few});
  by_count.BecomeLeader();
  for (int round = 0; round < 3; ++round) {
    for (uint64_t i = 0; i < 4; ++i) {
      EXPECT_FALSE(refused(by_count.Step(Propose{i, Text("x")})));
    }
    EXPECT_TRUE(refused(by_count.Step(Propose{9, Text("x")})));
    by_count.Persist();
    by_count.AcknowledgeAll();
  }
  Options small;
  small.max_uncommitted_bytes = 100;
  TestCore by_bytes({.options = small});
  by_bytes.BecomeLeader();
  for (int round = 0; round < 3; ++round) {
    // A single proposal of any size is accepted when no other is in flight.
    EXPECT_FALSE(refused(by_bytes.Step(Propose{1, Text(std::string(5000, 'x'))})));
    EXPECT_TRUE(refused(by_bytes.Step(Propose{2, Text("x")})));
    by_bytes.Persist();
    by_bytes.AcknowledgeAll();
    EXPECT_FALSE(refused(by_bytes.Step(Propose{3, Text("x")})));
    EXPECT_FALSE(refused(by_bytes.Step(Propose{4, Text("x")})));
    by_bytes.Persist();
    by_bytes.AcknowledgeAll();
  }
}

// etcd 7a8ab37bf: entries are handed out without gaps, whatever the limit.
TEST(R9, ApplyIsBoundedInBytes) {
  for (const uint64_t limit : {1, 40, 70, 100000}) {
    Options options;
    options.max_apply_bytes = limit;
    TestCore core({.options = options});
    core.BecomeLeader();
    for (uint64_t i = 0; i < 10; ++i) core.Step(Propose{i, Text("x")});
    core.Persist();
    Raft& raft = core.raft();
    AppendResponse ack;
    ack.success = true;
    ack.match = Index(12);
    raft.Step(core.now(), Receive{core.From(2, 2, ack)});
    uint64_t expected = 3;
    while (raft.HasOutput()) {
      const Output out = raft.TakeOutput();
      uint64_t bytes = 0;
      for (const Entry& entry : out.apply) {
        EXPECT_EQ(entry.index, Index(expected++));
        bytes += entry.SizeBytes();
      }
      EXPECT_TRUE(out.apply.size() <= 1 || bytes <= limit);
      // More are handed out only when these are applied.
      if (!out.apply.empty()) raft.Step(core.now(), Applied{out.apply.back().index});
    }
    EXPECT_EQ(expected, 13u);
  }
}

// ---- The follower's log

// Paper 5.3: "If the follower does not find an entry in its log with the same index and term, then
// it refuses the new entries."
TEST(Paper53, MismatchedAppendIsRejectedWithHint) {
  struct {
    std::vector<int> log;
    uint64_t prev_index;
    int prev_term;
    bool success;
    uint64_t hint_index;
    int hint_term;
  } const cases[] = {
      {{1, 1}, 3, 1, true, 0, 0},        {{1, 1}, 2, 1, true, 0, 0},
      {{1, 1}, 1, 1, true, 0, 0},        {{1, 1}, 9, 4, false, 3, 1},  // too short
      {{1, 1, 3, 3}, 5, 2, false, 3, 1},  // nothing of a term up to 2 can be at index 4 or 5
      {{1, 1, 2, 2}, 5, 4, false, 5, 2},  // the logs may match up to index 5
      {{2, 3, 4, 5}, 5, 3, false, 3, 3},
  };
  for (const auto& c : cases) {
    TestCore core({.log = c.log, .term = 6});
    const Output out = core.Receive(2, 6, Append(c.prev_index, c.prev_term, {}));
    ASSERT_EQ(Later<AppendResponse>(out, 2).size(), 1u);
    const AppendResponse response = Later<AppendResponse>(out, 2)[0];
    EXPECT_EQ(response.success, c.success) << c.prev_index << "^" << c.prev_term;
    if (c.success) continue;
    EXPECT_EQ(response.rejected_prev, Index(c.prev_index));
    EXPECT_EQ(response.hint_index, Index(c.hint_index)) << c.prev_index << "^" << c.prev_term;
    EXPECT_EQ(response.hint_term, Term(static_cast<uint64_t>(c.hint_term)));
  }
}

// Figure 2, AppendEntries: "3. If an existing entry conflicts with a new one, delete the existing
// entry and all that follow it. 4. Append any new entries not already in the log."
TEST(Figure2, OnlyConflictingEntriesAreTruncated) {
  struct {
    const char* what;
    AppendRequest request;
    std::vector<int> then;
    Numbers written;
  } const cases[] = {
      {"new entries", Append(4, 2, {2, 3}), {1, 1, 2, 2, 3}, {5, 6}},
      {"all present", Append(2, 1, {1, 2}), {1, 1, 2}, {}},
      {"all present, before the end", Append(1, 1, {1}), {1, 1, 2}, {}},
      {"some present", Append(2, 1, {1, 2, 2}), {1, 1, 2, 2}, {5}},
      {"a conflict at the end", Append(3, 1, {3}), {1, 1, 3}, {4}},
      {"a conflict at the start", Append(1, 1, {3}), {3}, {2}},
      {"nothing new", Append(3, 1, {}), {1, 1, 2}, {}},
  };
  for (const auto& c : cases) {
    TestCore core({.log = {1, 1, 2}, .term = 3});
    const Output out = core.Receive(2, 3, c.request);
    EXPECT_EQ(LogTerms(core), c.then) << c.what;
    EXPECT_EQ(Indexes(out.append), c.written) << c.what;
    const AppendResponse ack = Later<AppendResponse>(out, 2)[0];
    EXPECT_TRUE(ack.success);
    // Match covers the request, not the entries after it.
    EXPECT_EQ(ack.match.value(), c.request.prev_index.value() + c.request.entries.size()) << c.what;
  }
}

// R1: an acknowledgement waits for the write. One covers all requests that wait for the same write.
TEST(R1, AcknowledgementWaitsForWrite) {
  TestCore core({});
  Raft& raft = core.raft();
  raft.Step(core.now(), Receive{core.From(2, 1, Append(1, 1, {1}))});
  raft.Step(core.now(), Receive{core.From(2, 1, Append(2, 1, {1, 1}))});
  const Output out = raft.TakeOutput();
  EXPECT_TRUE(out.send_now.empty());
  ASSERT_EQ(Later<AppendResponse>(out, 2).size(), 1u);
  EXPECT_EQ(Later<AppendResponse>(out, 2)[0].match, Index(4));
  EXPECT_EQ(Indexes(out.append), (Numbers{2, 3, 4}));
}

// Pending responses of an old term are dropped when the term rises (cowsql 2c8bc386).
TEST(R1, ResponsesOfOlderTermAreDiscarded) {
  TestCore core({});
  Raft& raft = core.raft();
  raft.Step(core.now(), Receive{core.From(2, 1, Append(1, 1, {1, 1}))});
  raft.Step(core.now(), Receive{core.From(3, 2, Append(1, 1, {2}))});
  const Output out = raft.TakeOutput();
  EXPECT_TRUE(Later<AppendResponse>(out, 2).empty());
  ASSERT_EQ(Later<AppendResponse>(out, 3).size(), 1u);
  EXPECT_EQ(Later<AppendResponse>(out, 3)[0].match, Index(2));
}

// Figure 2: "If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new
// entry)". R4: entries after the last new one may come from an earlier leader (scylla#9965).
TEST(R4, FollowerCommitsUpToLastNewEntry) {
  TestCore core({.log = {1, 1, 1}, .term = 2});
  core.Receive(2, 2, Append(2, 1, {}, /*commit=*/4));
  EXPECT_EQ(core.view().commit, Index(2));
  core.Receive(2, 2, Append(2, 1, {1}, /*commit=*/4));
  EXPECT_EQ(core.view().commit, Index(3));
  core.Receive(2, 2, Append(3, 1, {2}, /*commit=*/4));
  EXPECT_EQ(core.view().commit, Index(4));
}

// Paper 5.3: "Once a follower learns that a log entry is committed, it applies the entry to its
// local state machine (in log order)". Entries are applied once.
TEST(Paper53, FollowerAppliesInOrderAndOnce) {
  TestCore core({.log = {1, 1, 1}});
  EXPECT_EQ(Indexes(core.Receive(2, 1, Append(4, 1, {}, 3)).apply), (Numbers{2, 3}));
  EXPECT_TRUE(core.Receive(2, 1, Append(4, 1, {}, 2)).apply.empty());
  EXPECT_EQ(core.view().commit, Index(3));
  EXPECT_EQ(Indexes(core.Receive(2, 1, Heartbeat(4)).apply), (Numbers{4}));
}

// A quorum makes an entry durable; the local disk may be late.
TEST(Paper53, CommittedEntriesMayBeAppliedBeforeLocalWrite) {
  TestCore core({});
  const Output out = core.Receive(2, 1, Append(1, 1, {1, 1}, 3));
  EXPECT_EQ(Indexes(out.apply), (Numbers{2, 3}));
  EXPECT_EQ(core.view().durable_index, Index(1));
  // The commit hint on disk stays at or below the durable end of the log.
  EXPECT_FALSE(out.hard_state.has_value());
  core.Persist();
  const Output next = core.Receive(2, 1, Append(3, 1, {1}, 4));
  ASSERT_TRUE(next.hard_state.has_value());
  EXPECT_EQ(next.hard_state->commit, Index(3));
}

// Paper 5.5: "Raft RPCs are idempotent". Repeated and reordered requests change nothing.
TEST(Paper55, RepeatedRequestsChangeNothing) {
  TestCore core({});
  core.Receive(2, 1, Append(1, 1, {1, 1, 1}, 2));
  core.Persist();
  for (int i = 0; i < 3; ++i) {
    const Output out = core.Receive(2, 1, Append(1, 1, {1, 1}, 2));
    EXPECT_FALSE(out.HasWrites());
    EXPECT_TRUE(out.apply.empty());
    EXPECT_EQ(LogTerms(core), (std::vector<int>{1, 1, 1}));
  }
}

// scylla#9552: an append that starts below the compaction point must not be rejected for ever.
TEST(Paper7, AppendBelowCompactionPointMatches) {
  TestCore core({.log = {1, 1, 1}, .commit = 4, .snapshot = 4});
  Output out = core.Receive(2, 1, Append(2, 1, {1, 1, 1, 1}, 4));
  ASSERT_EQ(Later<AppendResponse>(out, 2).size(), 1u);
  EXPECT_TRUE(Later<AppendResponse>(out, 2)[0].success);
  EXPECT_EQ(Later<AppendResponse>(out, 2)[0].match, Index(6));
  EXPECT_EQ(Indexes(out.append), (Numbers{5, 6}));
  core.Persist();
  out = core.Receive(2, 1, Append(1, 1, {}, 4));
  EXPECT_EQ(Later<AppendResponse>(out, 2)[0].match, Index(4));
}

// A correct leader cannot contradict a committed entry, so the node stops.
TEST(Paper543, ConflictWithCommittedEntryFailsCheck) {
  ChecksThrow checks;
  TestCore core({.log = {1, 1}, .term = 2, .commit = 3});
  EXPECT_THROW(core.Receive(2, 2, Append(1, 1, {2})), Violation);
}

// The leader believes that this node stored more than it has: its disk lost acknowledged entries.
// Without a response it is not counted.
TEST(R4, NodeThatLostAcknowledgedEntriesDoesNotRespond) {
  TestCore core({.log = {1}});
  const Output out = core.Receive(2, 1, Heartbeat(9));
  EXPECT_TRUE(out.send_now.empty() && out.send_after_persist.empty());
  EXPECT_EQ(core.view().commit, Index(1));
  EXPECT_EQ(core.view().dropped_messages, 1u);
}

// ---- R2

// A token completes after its entries were replaced by others at the same indexes. It must not make
// the new ones durable: if the node leads next, it counts its own copy.
TEST(R2, OldTokenDoesNotCoverNewEntries) {
  TestCore core({.nodes = 1, .log = {1}});
  TestCore follower({});
  follower.Receive(2, 1, Append(1, 1, {1, 1}));  // entries 2 and 3, token a
  const Token a = follower.token();
  follower.Receive(3, 2, Append(1, 1, {2, 2}));  // other entries 2 and 3, token b
  const Token b = follower.token();
  ASSERT_LT(a, b);
  follower.Step(Persisted{a});
  EXPECT_EQ(follower.view().durable_index, Index(1));
  follower.Step(Persisted{b});
  EXPECT_EQ(follower.view().durable_index, Index(3));
}

// ---- Repairing followers' logs

// Paper, figure 7: a follower's log of any kind (a) to (f) becomes equal to that of the leader of
// term 8. Both sides are real cores. Index 1 is the configuration, so the figure's index i is i + 1
// here.
TEST(Figure7, FollowerLogsConverge) {
  const std::vector<int> leader_log = {1, 1, 1, 4, 4, 5, 5, 6, 6, 6};
  const std::vector<std::pair<const char*, std::vector<int>>> followers = {
      {"a", {1, 1, 1, 4, 4, 5, 5, 6, 6}},
      {"b", {1, 1, 1, 4}},
      {"c", {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6}},
      {"d", {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7}},
      {"e", {1, 1, 1, 4, 4, 4, 4}},
      {"f", {1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3}},
  };
  for (const uint64_t entries_at_once : {1, 3, 1000}) {
    for (const auto& [name, log] : followers) {
      Options options;
      options.max_append_entries = entries_at_once;
      TestCore leader({.log = leader_log, .term = 7, .options = options});
      TestCore follower({.self = 2, .log = log, .term = 7});
      leader.BecomeLeader(/*settled=*/false);
      ASSERT_EQ(leader.status().term, Term(8));
      // The first append was sent at election; a heartbeat response makes the leader send it again.
      Output out = leader.Receive(2, 8, HeartbeatResponse{});
      int round_trips = 0;
      while (follower.view().last_index != leader.view().last_index ||
             LogTerms(follower) != LogTerms(leader)) {
        ASSERT_LT(++round_trips, 40) << name;
        Output answers;
        for (const AppendRequest& request : Now<AppendRequest>(out, 2)) {
          Output step = follower.Receive(1, 8, request);
          follower.Persist();
          for (AppendResponse response : Later<AppendResponse>(step, 1)) {
            Output more = leader.Receive(2, 8, response);
            for (Message& message : more.send_now) answers.send_now.push_back(std::move(message));
          }
        }
        out = std::move(answers);
      }
      // Paper, end of 5.3: one rejected request for each conflicting term, not for each entry.
      if (entries_at_once == 1000) {
        EXPECT_LE(round_trips, 4) << name;
      }
    }
  }
}

// ---- Commitment

// Paper 5.4.2, figure 8: "Raft never commits log entries from previous terms by counting replicas."
TEST(Figure8, OldTermIsNotCommittedByCounting) {
  // (c): S1 leads term 4 and replicates its entry of term 2 to a majority.
  Options options;
  options.max_append_entries = 1;
  TestCore s1({.nodes = 5, .log = {2}, .term = 3, .options = options});
  s1.BecomeLeader(/*settled=*/false);
  ASSERT_EQ(s1.status().term, Term(4));
  s1.Acknowledge(2, Index(2));
  s1.Acknowledge(3, Index(2));
  EXPECT_EQ(s1.view().commit, Index(1)) << "on a majority, but S5 could still overwrite it";
  // (e): committing an entry of its own term commits the older one.
  s1.Acknowledge(2, Index(3));
  EXPECT_EQ(s1.view().commit, Index(1));
  s1.Acknowledge(3, Index(3));
  EXPECT_EQ(s1.view().commit, Index(3));
}

// R11, redpanda#3009: an entry that may be lost is not reported as committed.
TEST(R11, ProposalInFlightIsUnknownAfterStepDown) {
  TestCore core({});
  core.BecomeLeader();
  core.Step(Propose{7, Text("a")});
  core.Step(Propose{8, Text("b")});
  core.Persist();
  core.Acknowledge(2, Index(3));
  const Output out = core.Receive(3, 5, Heartbeat(0));
  ASSERT_EQ(out.proposals.size(), 1u);
  EXPECT_EQ(out.proposals[0].id, 8u);
  EXPECT_EQ(out.proposals[0].kind, ProposalOutcome::Kind::kUnknown);
  const Output refused = core.Step(Propose{9, Text("c")});
  ASSERT_EQ(refused.proposals.size(), 1u);
  EXPECT_EQ(refused.proposals[0].kind, ProposalOutcome::Kind::kNotAppended);
  EXPECT_EQ(refused.proposals[0].reason, ProposalOutcome::Reason::kNotLeader);
}

// R4, scylla#10578: heartbeats carry min(match, commit).
TEST(R4, HeartbeatCarriesMinOfMatchAndCommit) {
  TestCore core({});
  core.BecomeLeader();
  core.Step(Propose{7, Text("a")});
  core.Persist();
  core.Acknowledge(2, Index(3));
  ASSERT_EQ(core.view().commit, Index(3));
  const Output out = core.Tick();
  EXPECT_EQ(Now<HeartbeatRequest>(out, 2)[0].commit, Index(3));
  EXPECT_EQ(Now<HeartbeatRequest>(out, 3)[0].commit, Index(2));
}

// etcd 16ba77767, scylla 4c95277619: late responses do not move match back.
TEST(Replication, LateResponsesDoNotLowerMatch) {
  TestCore core({});
  core.BecomeLeader();
  for (uint64_t i = 0; i < 4; ++i) core.Step(Propose{i, Text("x")});
  core.Persist();
  core.Acknowledge(2, Index(6));
  core.Acknowledge(2, Index(3));
  AppendResponse refusal;
  refusal.rejected_prev = Index(2);
  EXPECT_TRUE(core.Receive(2, 2, refusal).send_now.empty());
  EXPECT_EQ(core.view().members[1].match, Index(6));
  AppendResponse beyond;
  beyond.success = true;
  beyond.match = Index(99);
  core.Receive(2, 2, beyond);
  EXPECT_EQ(core.view().members[1].match, Index(6));
  EXPECT_EQ(core.view().dropped_messages, 1u);
}

TEST(Replication, OneStorageReadPerEvent) {
  Options options;
  options.max_append_entries = 2;
  TestCore core({.log = std::vector<int>(9, 1), .options = options});
  core.BecomeLeader(/*settled=*/false);
  Output out = core.Receive(2, 2, HeartbeatResponse{});
  AppendResponse refusal;
  refusal.rejected_prev = Now<AppendRequest>(out, 2).at(0).prev_index;
  refusal.hint_index = Index(1);
  refusal.hint_term = Term(1);
  out = core.Receive(2, 2, refusal);
  ASSERT_EQ(Now<AppendRequest>(out, 2).size(), 1u);
  EXPECT_EQ(Indexes(Now<AppendRequest>(out, 2)[0].entries), (Numbers{2, 3}));
  const int reads = core.disk().reads();
  out = core.Acknowledge(2, Index(3));
  EXPECT_EQ(Indexes(Now<AppendRequest>(out, 2).at(0).entries), (Numbers{4, 5}));
  EXPECT_EQ(core.disk().reads(), reads + 1);
  EXPECT_FALSE(core.raft().HasOutput());
}

// ---- Capacity

TEST(Capacity, LeaderHasRoomIfItAndAQuorumHave) {
  TestCore core({});
  EXPECT_FALSE(core.raft().HasRoom());
  core.BecomeLeader();
  EXPECT_TRUE(core.raft().HasRoom());
  core.Receive(2, 2, HeartbeatResponse{ReadId(), true});
  EXPECT_TRUE(core.raft().HasRoom());
  AppendResponse low;
  low.success = true;
  low.match = Index(2);
  low.low_space = true;
  core.Receive(3, 2, low);
  EXPECT_FALSE(core.raft().HasRoom());
  EXPECT_TRUE(core.view().low_space);
  core.Receive(3, 2, HeartbeatResponse{});
  EXPECT_TRUE(core.raft().HasRoom());
  core.Step(raft::Capacity{true});
  EXPECT_FALSE(core.raft().HasRoom());
}

TEST(Capacity, LeaderHasMemoryIfItAndAQuorumHave) {
  TestCore core({});
  EXPECT_FALSE(core.raft().HasMemory());
  core.BecomeLeader();
  EXPECT_TRUE(core.raft().HasMemory());
  const auto low = [&](uint64_t peer, bool space, bool memory) {
    core.Receive(peer, 2, HeartbeatResponse{ReadId(), space, memory});
  };
  low(2, false, true);
  EXPECT_TRUE(core.raft().HasMemory()) << "the other two are a quorum";
  low(3, false, true);
  EXPECT_FALSE(core.raft().HasMemory());
  EXPECT_TRUE(core.view().low_memory);
  EXPECT_TRUE(core.raft().HasRoom());
  low(3, true, false);
  EXPECT_FALSE(core.raft().HasMemory()) << "no quorum has both space and memory";
  low(2, true, true);
  EXPECT_FALSE(core.raft().HasRoom());
  EXPECT_TRUE(core.raft().HasMemory());
  low(2, false, false);
  low(3, false, false);
  EXPECT_TRUE(core.raft().HasMemory());
  core.Step(raft::Capacity{.low_memory = true});
  EXPECT_FALSE(core.raft().HasMemory());
  EXPECT_TRUE(core.raft().HasRoom());
}

// All members hold the same jobs: another leader would have no more memory.
TEST(Capacity, LowMemoryMovesNoLeadership) {
  TestCore core({});
  core.BecomeLeader();
  core.Receive(2, 2, HeartbeatResponse{});
  core.Step(raft::Capacity{.low_memory = true});
  core.Advance(std::chrono::milliseconds(60));
  const auto out = core.Step(raft::Timeout{});
  EXPECT_TRUE(Now<TimeoutNow>(out, 2).empty() && Later<TimeoutNow>(out, 2).empty());
  EXPECT_EQ(core.view().status.role, Role::kLeader);
}

TEST(Capacity, LowMemoryIsInEveryResponse) {
  TestCore core({});
  core.Step(raft::Capacity{.low_memory = true});
  EXPECT_TRUE(Later<AppendResponse>(core.Receive(2, 1, Append(1, 1, {1})), 2)[0].low_memory);
  EXPECT_TRUE(Later<AppendResponse>(core.Receive(2, 1, Append(9, 1, {})), 2)[0].low_memory);
  EXPECT_TRUE(Now<HeartbeatResponse>(core.Receive(2, 1, Heartbeat(1)), 2)[0].low_memory);
  core.Step(raft::Capacity{});
  EXPECT_FALSE(Now<HeartbeatResponse>(core.Receive(2, 1, Heartbeat(1)), 2)[0].low_memory);
}

TEST(Capacity, LowSpaceIsInEveryResponse) {
  TestCore core({});
  core.Step(raft::Capacity{true});
  EXPECT_TRUE(Later<AppendResponse>(core.Receive(2, 1, Append(1, 1, {1})), 2)[0].low_space);
  EXPECT_TRUE(Later<AppendResponse>(core.Receive(2, 1, Append(9, 1, {})), 2)[0].low_space);
  EXPECT_TRUE(Now<HeartbeatResponse>(core.Receive(2, 1, Heartbeat(1)), 2)[0].low_space);
  core.Step(raft::Capacity{false});
  EXPECT_FALSE(Now<HeartbeatResponse>(core.Receive(2, 1, Heartbeat(1)), 2)[0].low_space);
}

// ---- Reads (thesis 6.4)

// Thesis 6.4: "1. If the leader has not yet marked an entry from its current term committed, it
// waits until it has done so." Also in a cluster of one (etcd#7331).
TEST(Thesis64, ReadsWaitForNoop) {
  TestCore core({});
  core.BecomeLeader(/*settled=*/false);
  Output out = core.Step(Read{1});
  EXPECT_TRUE(Now<HeartbeatRequest>(out).empty());
  core.Receive(2, 2, HeartbeatResponse{});
  core.Receive(3, 2, HeartbeatResponse{});
  EXPECT_TRUE(core.Step(Timeout{}).reads.empty());
  out = core.Acknowledge(2, Index(2));
  EXPECT_EQ(Now<HeartbeatRequest>(out, 2).size(), 1u) << "the round starts now";
  EXPECT_EQ(core.Receive(2, 2, HeartbeatResponse{ReadId(1), false}).reads.size(), 1u);

  TestCore alone({.nodes = 1});
  alone.BecomeLeader(/*settled=*/false);
  TestCore early({.nodes = 1});
  early.Step(Timeout{});
  early.Persist();
  EXPECT_TRUE(early.Step(Read{1}).reads.empty());
  EXPECT_EQ(early.Persist().reads.size(), 1u);
}

// Thesis 6.4: "2. The leader saves its current commit index as readIndex. 3. [It] issues a new
// round of heartbeats and waits for their acknowledgments from a majority."
TEST(Thesis64, RoundConfirmsCommitIndexAtItsStart) {
  TestCore core({.nodes = 5});
  core.BecomeLeader();
  core.Step(Propose{1, Text("a")});
  core.Persist();
  Output out = core.Step(Read{10});
  for (const int peer : {2, 3, 4, 5}) {
    ASSERT_EQ(Now<HeartbeatRequest>(out, peer).size(), 1u);
    EXPECT_EQ(Now<HeartbeatRequest>(out, peer)[0].read_id, ReadId(1));
  }
  core.AcknowledgeAll();
  ASSERT_EQ(core.view().commit, Index(3));
  EXPECT_TRUE(core.Receive(2, 2, HeartbeatResponse{ReadId(1), false}).reads.empty());
  EXPECT_TRUE(core.Receive(2, 2, HeartbeatResponse{ReadId(1), false}).reads.empty());
  out = core.Receive(4, 2, HeartbeatResponse{ReadId(1), false});
  ASSERT_EQ(out.reads.size(), 1u);
  EXPECT_TRUE(out.reads[0].confirmed);
  EXPECT_EQ(out.reads[0].index, Index(2));
}

// Thesis 6.4: a leader that "was superseded" must not answer. Only heartbeats sent after the read
// prove that it was not (etcd#20418).
TEST(Thesis64, EchoOfOlderRoundDoesNotConfirm) {
  TestCore core({});
  core.BecomeLeader();
  core.Step(Read{1});
  core.Step(Read{2});  // waits for the next round
  Output out = core.Receive(2, 2, HeartbeatResponse{ReadId(1), false});
  ASSERT_EQ(out.reads.size(), 1u);
  EXPECT_EQ(out.reads[0].id, 1u);
  EXPECT_EQ(Now<HeartbeatRequest>(out, 3)[0].read_id, ReadId(2)) << "the next round starts";
  EXPECT_TRUE(core.Receive(3, 2, HeartbeatResponse{ReadId(1), false}).reads.empty());
  EXPECT_TRUE(core.Receive(3, 2, HeartbeatResponse{ReadId(), false}).reads.empty());
  // An echo of a round that was not started is invalid.
  core.Receive(3, 2, HeartbeatResponse{ReadId(3), false});
  EXPECT_EQ(core.view().dropped_messages, 1u);
  out = core.Receive(3, 2, HeartbeatResponse{ReadId(2), false});
  ASSERT_EQ(out.reads.size(), 1u);
  EXPECT_EQ(out.reads[0].id, 2u);
}

// Thesis 6.4: "several read-only requests can share" a round.
TEST(Thesis64, ReadsShareARound) {
  TestCore core({});
  core.BecomeLeader();
  for (uint64_t id = 1; id <= 4; ++id) core.raft().Step(core.now(), Read{id});
  const Output out = core.Step(Read{5});
  EXPECT_EQ(Now<HeartbeatRequest>(out).size(), 2u);
  EXPECT_EQ(core.Receive(3, 2, HeartbeatResponse{ReadId(1), false}).reads.size(), 5u);
}

// An append carries the round id if one is sent anyway. The echo does not wait for the append's
// write.
TEST(Thesis64, AppendCarriesRoundId) {
  TestCore core({});
  core.BecomeLeader();
  core.raft().Step(core.now(), Propose{1, Text("a")});
  const Output out = core.Step(Read{1});
  EXPECT_TRUE(Now<HeartbeatRequest>(out).empty());
  EXPECT_EQ(Now<AppendRequest>(out, 2).at(0).read_id, ReadId(1));

  TestCore follower({});
  AppendRequest request = Append(1, 1, {1});
  request.read_id = ReadId(4);
  Output answer = follower.Receive(2, 1, request);
  ASSERT_EQ(Now<HeartbeatResponse>(answer, 2).size(), 1u);
  EXPECT_EQ(Now<HeartbeatResponse>(answer, 2)[0].read_id, ReadId(4));
  EXPECT_EQ(Later<AppendResponse>(answer, 2).size(), 1u);
  answer = follower.Receive(2, 1, request);
  EXPECT_TRUE(Now<HeartbeatResponse>(answer, 2).empty()) << "echoed once";
}

TEST(Thesis64, LostRoundIsResentWithHeartbeat) {
  TestCore core({});
  core.BecomeLeader();
  core.Step(Read{1});
  const Output out = core.Tick();
  EXPECT_EQ(Now<HeartbeatRequest>(out, 2)[0].read_id, ReadId(1));
  EXPECT_EQ(core.Receive(2, 2, HeartbeatResponse{ReadId(1), false}).reads.size(), 1u);
}

// etcd#11483: every read gets an outcome.
TEST(Thesis64, ReadsFailWithoutLeadership) {
  TestCore core({});
  EXPECT_FALSE(core.Step(Read{1}).reads.at(0).confirmed);
  core.BecomeLeader();
  core.Step(Read{2});
  core.Step(Read{3});
  const Output out = core.Receive(2, 9, HeartbeatResponse{});
  ASSERT_EQ(out.reads.size(), 2u);
  EXPECT_FALSE(out.reads[0].confirmed);
  EXPECT_FALSE(out.reads[1].confirmed);
}

TEST(R9, PendingReadsAreBounded) {
  Options options;
  options.max_pending_reads = 3;
  TestCore core({.options = options});
  core.BecomeLeader();
  for (uint64_t id = 1; id <= 3; ++id) EXPECT_TRUE(core.Step(Read{id}).reads.empty());
  const Output out = core.Step(Read{4});
  ASSERT_EQ(out.reads.size(), 1u);
  EXPECT_EQ(out.reads[0].id, 4u);
  EXPECT_FALSE(out.reads[0].confirmed);
}

TEST(Thesis64, SingleNodeConfirmsReadsAtOnce) {
  TestCore core({.nodes = 1});
  core.BecomeLeader();
  const Output out = core.Step(Read{1});
  ASSERT_EQ(out.reads.size(), 1u);
  EXPECT_TRUE(out.reads[0].confirmed);
  EXPECT_EQ(out.reads[0].index, Index(2));
}

// ---- Snapshots (thesis 5)

SnapshotRequest Snapshot(uint64_t index, int term) {
  SnapshotRequest request;
  request.meta = {.index = Index(index),
                  .term = Term(static_cast<uint64_t>(term)),
                  .config = EncodeConfiguration(MakeConfiguration(3, /*bound=*/true))};
  return request;
}

SnapshotChunkStored Stored(const SnapshotRequest& request, int from, SnapshotCursor next,
                           bool done = false) {
  return {.meta = request.meta,
          .from = NodeId(static_cast<uint64_t>(from)),
          .next = next,
          .done = done,
          .refused = false};
}

// Paper 7: the leader sends a snapshot "when [it] has already discarded the next log entry that it
// needs to send".
TEST(Paper7, CompactedEntriesAreReplacedBySnapshot) {
  TestCore core({.log = {1, 1, 1}, .commit = 4, .snapshot = 4});
  core.BecomeLeader(/*settled=*/false);
  AppendResponse refusal;
  refusal.rejected_prev = Index(4);
  refusal.hint_index = Index(1);
  refusal.hint_term = Term(1);
  Output out = core.Receive(2, 2, refusal);
  ASSERT_EQ(Now<SnapshotRequest>(out, 2).size(), 1u);
  const SnapshotRequest offer = Now<SnapshotRequest>(out, 2)[0];
  EXPECT_EQ(offer.meta.index, Index(4));
  EXPECT_EQ(offer.meta.term, Term(1));
  EXPECT_EQ(offer.cursor, SnapshotCursor{});
  EXPECT_TRUE(offer.data.empty() && offer.manifest.empty());
  // Chunks are sent one at a time, from the cursor that the receiver wants.
  const auto answer = [&](SnapshotCursor next, bool done) {
    return core.Receive(2, 2, SnapshotResponse{Index(4), Term(1), next, done, false});
  };
  EXPECT_EQ(Now<SnapshotRequest>(answer({0, 0}, false), 2).at(0).cursor, (SnapshotCursor{0, 0}));
  EXPECT_EQ(Now<SnapshotRequest>(answer({1, 512}, false), 2).at(0).cursor,
            (SnapshotCursor{1, 512}));
  // A repeated response does not cause a second request.
  EXPECT_TRUE(answer({1, 512}, false).send_now.empty());
  out = answer({}, true);
  ASSERT_EQ(Now<AppendRequest>(out, 2).size(), 1u);
  EXPECT_EQ(Now<AppendRequest>(out, 2)[0].prev_index, Index(4));
  EXPECT_EQ(Indexes(Now<AppendRequest>(out, 2)[0].entries), (Numbers{5}));
}

TEST(Paper7, SnapshotRequestIsResentAfterContact) {
  TestCore core({.log = {1, 1, 1}, .commit = 4, .snapshot = 4});
  core.BecomeLeader(/*settled=*/false);
  AppendResponse refusal;
  refusal.rejected_prev = Index(4);
  refusal.hint_index = Index(1);
  refusal.hint_term = Term(1);
  core.Receive(2, 2, refusal);
  const auto run = [&](bool alive, int heartbeats) {
    int requests = 0;
    for (int i = 0; i < heartbeats; ++i) {
      requests += static_cast<int>(Now<SnapshotRequest>(core.Tick(), 2).size());
      core.Receive(3, 2, HeartbeatResponse{});
      if (alive) core.Receive(2, 2, HeartbeatResponse{});
    }
    return requests;
  };
  EXPECT_EQ(run(/*alive=*/false, 20), 0);
  const int repeated = run(/*alive=*/true, 20);
  EXPECT_GE(repeated, 4);
  EXPECT_LE(repeated, 6);
}

// The shell may have deleted the first snapshot, so a newer one is offered.
TEST(Paper7, NewerSnapshotReplacesUnansweredOne) {
  TestCore core({.log = {1, 1, 1}, .commit = 4, .snapshot = 3});
  core.BecomeLeader(/*settled=*/false);
  AppendResponse refusal;
  refusal.rejected_prev = Index(4);
  refusal.hint_index = Index(1);
  refusal.hint_term = Term(1);
  EXPECT_EQ(Now<SnapshotRequest>(core.Receive(2, 2, refusal), 2).at(0).meta.index, Index(3));
  core.Acknowledge(3, Index(5));
  core.Step(
      SnapshotTaken{.meta = {Index(5), Term(2), EncodeConfiguration(MakeConfiguration(3, true))},
                    .compact_to = Index(5)});
  Numbers offered;
  for (int i = 0; i < 30; ++i) {
    core.Receive(2, 2, HeartbeatResponse{});
    core.Receive(3, 2, HeartbeatResponse{});
    for (const auto& request : Now<SnapshotRequest>(core.Tick(), 2)) {
      offered.push_back(request.meta.index.value());
    }
  }
  ASSERT_FALSE(offered.empty());
  EXPECT_EQ(offered.front(), 3u) << "the first snapshot is tried first";
  EXPECT_EQ(offered.back(), 5u);
  // A response about the old snapshot is ignored.
  core.Receive(2, 2, SnapshotResponse{Index(3), Term(1), {}, true, false});
  EXPECT_EQ(core.view().members[1].match, Index());
}

// Figure 13: a follower stores the chunks, "discard[s] the entire log" and "reset[s] state machine
// using snapshot contents (and load[s] snapshot's cluster configuration)".
TEST(Figure13, CompleteSnapshotReplacesLogAndState) {
  TestCore core({.log = {2, 2}, .term = 2});
  const SnapshotRequest request = Snapshot(10, 3);
  Output out = core.Receive(2, 4, request);
  ASSERT_TRUE(out.store_chunk.has_value());
  out = core.Step(Stored(request, 2, {0, 99}));
  core.Persist();
  out = core.Step(Stored(request, 2, {1, 0}));
  ASSERT_EQ(Now<SnapshotResponse>(out, 2).size(), 1u);
  EXPECT_EQ(Now<SnapshotResponse>(out, 2)[0].next, (SnapshotCursor{1, 0}));
  EXPECT_FALSE(Now<SnapshotResponse>(out, 2)[0].done);
  out = core.Step(Stored(request, 2, {2, 0}, /*done=*/true));
  ASSERT_TRUE(out.install.has_value());
  // The term is that of the entry, not of the sender (scylla nemesis).
  EXPECT_EQ(*out.install, request.meta);
  EXPECT_TRUE(out.send_now.empty()) << "done waits until the snapshot is durable";
  EXPECT_TRUE(Later<SnapshotResponse>(out, 2).at(0).done);
  EXPECT_EQ(core.view().commit, Index(10));
  EXPECT_EQ(core.view().first_index, Index(11));
  EXPECT_EQ(core.raft().TermAt(Index(10)), Term(3));
  core.Persist();
  EXPECT_EQ(core.view().durable_index, Index(10));
}

// Until the state machine is restored, no entry is applied and the node does not campaign (etcd
// f1f74e0).
TEST(Figure13, NoApplyBeforeSnapshotIsRestored) {
  TestCore core({});
  const SnapshotRequest request = Snapshot(10, 1);
  core.Receive(2, 1, request);
  core.Step(Stored(request, 2, {}, /*done=*/true));
  Output out = core.Receive(2, 1, Append(10, 1, {1, 1}, 12));
  EXPECT_TRUE(Later<AppendResponse>(out, 2).at(0).success);
  EXPECT_TRUE(out.apply.empty());
  core.Persist();
  for (int i = 0; i < 5; ++i) core.Tick();
  EXPECT_EQ(core.status().role, Role::kFollower);
  out = core.Step(Applied{Index(10)});
  EXPECT_EQ(Indexes(out.apply), (Numbers{11, 12}));
}

// Figure 13: "If existing log entry has same index and term as snapshot's last included entry,
// retain log entries following it and reply."
TEST(Figure13, SnapshotContainedInLogIsNotStored) {
  TestCore core({.log = {1, 1, 2}, .term = 2});
  const SnapshotRequest request = Snapshot(3, 1);
  const Output out = core.Receive(2, 2, request);
  EXPECT_FALSE(out.store_chunk.has_value());
  EXPECT_TRUE(Later<SnapshotResponse>(out, 2).at(0).done);
  EXPECT_EQ(core.view().last_index, Index(4));
  EXPECT_EQ(core.view().commit, Index(3)) << "a snapshot holds only committed entries";
}

// scylla 851e3000c4, NuRaft#479: a late snapshot must not overwrite newer entries.
TEST(Figure13, OlderSnapshotIsIgnored) {
  TestCore core({.log = {1, 1, 1}, .commit = 4});
  Output out = core.Receive(2, 1, Snapshot(3, 1));
  EXPECT_FALSE(out.store_chunk.has_value());
  EXPECT_TRUE(Later<SnapshotResponse>(out, 2).at(0).done);
  // Appends pass the snapshot while it is being stored.
  const SnapshotRequest request = Snapshot(6, 1);
  core.Receive(2, 1, request);
  core.Receive(2, 1, Append(4, 1, {1, 1, 1}, 7));
  out = core.Step(Stored(request, 2, {}, /*done=*/true));
  EXPECT_FALSE(out.install.has_value());
  EXPECT_TRUE(Later<SnapshotResponse>(out, 2).at(0).done);
  EXPECT_EQ(core.view().last_index, Index(7));
}

TEST(Figure13, RefusedSnapshotRestarts) {
  TestCore core({.log = {1, 1, 1}, .commit = 4, .snapshot = 4});
  core.BecomeLeader(/*settled=*/false);
  AppendResponse refusal;
  refusal.rejected_prev = Index(4);
  refusal.hint_index = Index(1);
  refusal.hint_term = Term(1);
  core.Receive(2, 2, refusal);
  core.Receive(2, 2, SnapshotResponse{Index(4), Term(1), {1, 7}, false, false});
  EXPECT_TRUE(
      core.Receive(2, 2, SnapshotResponse{Index(4), Term(1), {}, false, true}).send_now.empty())
      << "resent only after a pause";
  std::vector<SnapshotCursor> cursors;
  for (int i = 0; i < 8; ++i) {
    core.Receive(2, 2, HeartbeatResponse{});
    for (const auto& request : Now<SnapshotRequest>(core.Tick(), 2)) {
      cursors.push_back(request.cursor);
    }
  }
  ASSERT_FALSE(cursors.empty());
  EXPECT_EQ(cursors[0], SnapshotCursor{});
}

// Only the current leader gets responses.
TEST(Figure13, ChunkOfDeposedLeaderIsNotAnswered) {
  TestCore core({});
  const SnapshotRequest request = Snapshot(10, 1);
  core.Receive(2, 1, request);
  core.Receive(3, 5, Heartbeat(1));
  core.Persist();
  const Output out = core.Step(Stored(request, 2, {1, 0}));
  EXPECT_TRUE(out.send_now.empty() && out.send_after_persist.empty());
}

// Thesis 5.1: after a snapshot the log up to it may be discarded. Its term and configuration
// remain.
TEST(Thesis51, LocalSnapshotCompactsLog) {
  TestCore core({.log = {1, 1, 1, 1}, .commit = 5});
  const std::string config = core.raft().EncodedConfigAt(Index(4));
  EXPECT_EQ(config, EncodeConfiguration(MakeConfiguration(3, true)));
  core.Step(SnapshotTaken{.meta = {Index(4), Term(1), config}, .compact_to = Index(3)});
  EXPECT_EQ(core.view().first_index, Index(4));
  EXPECT_EQ(core.view().snapshot_index, Index(4));
  EXPECT_EQ(core.raft().TermAt(Index(3)), Term(1));
  EXPECT_EQ(core.raft().TermAt(Index(2)), Term());
  EXPECT_EQ(core.raft().EncodedConfigAt(Index(5)), config);
  // An older snapshot that completes later changes nothing.
  core.Step(SnapshotTaken{.meta = {Index(3), Term(1), config}, .compact_to = Index(2)});
  EXPECT_EQ(core.view().snapshot_index, Index(4));
  EXPECT_EQ(core.view().first_index, Index(4));
}

// ---- Restart

TEST(Restart, AppliesFromSnapshotToCommitHint) {
  FakeDisk disk(NodeId(1), FirstIncarnation(NodeId(1)));
  TestCore core({.log = {1, 1, 1, 1}, .commit = 4, .snapshot = 2});
  EXPECT_EQ(core.view().applied, Index(4));
  EXPECT_EQ(core.view().commit, Index(4));
  EXPECT_EQ(core.view().first_index, Index(3));
  EXPECT_EQ(core.raft().config(), MakeConfiguration(3, true));
}

TEST(Restart, CommitHintIsLimitedToLastIndex) {
  FakeDisk disk(NodeId(1), Incarnation(1));
  disk.Format(MakeConfiguration(3));
  Recovered recovered = disk.Recover();
  recovered.hard_state.commit = Index(9);
  Raft raft(Options(), recovered, &disk, 1, Time(1s));
  EXPECT_EQ(raft.GetView().commit, Index(1));
}

TEST(Restart, LogTermAboveStoredTermFailsCheck) {
  ChecksThrow checks;
  FakeDisk disk(NodeId(1), Incarnation(1));
  disk.Format(MakeConfiguration(3));
  Recovered recovered = disk.Recover();
  recovered.hard_state.term = Term();
  EXPECT_THROW(Raft(Options(), recovered, &disk, 1, Time(1s)), Violation);
}

// Misuse by the shell: time that decreases, tokens and indexes that were not handed out.
TEST(Contract, InvalidEventsFailChecks) {
  ChecksThrow checks;
  struct {
    const char* what;
    Event event;
  } const cases[] = {
      {"an unknown token", Persisted{Token(99)}},
      {"applied above commit", Applied{Index(9)}},
      {"a snapshot above applied",
       SnapshotTaken{{Index(3), Term(1), EncodeConfiguration(MakeConfiguration(3))}, Index()}},
      {"compaction past the snapshot",
       SnapshotTaken{{Index(1), Term(1), EncodeConfiguration(MakeConfiguration(3))}, Index(2)}},
      {"a proposal without payload", Propose{1, nullptr}},
  };
  for (const auto& c : cases) {
    TestCore core({.log = {1, 1}});
    EXPECT_THROW(core.Step(c.event), Violation) << c.what;
  }
  TestCore core({});
  EXPECT_THROW(core.raft().Step(core.now() - 1ms, Timeout{}), Violation);
}

TEST(R10, SameSeedSameEventsSameOutputs) {
  const auto run = [](uint64_t seed) {
    std::string story;
    TestCore core({.seed = seed});
    const auto note = [&](const Output& out) {
      for (const std::string& line : Lines(out.send_now)) story += line + "\n";
      for (const std::string& line : Lines(out.send_after_persist)) story += line + "\n";
      story += std::to_string(core.raft().Deadline().time_since_epoch().count()) + "\n";
    };
    for (int i = 0; i < 3; ++i) note(core.Tick());
    note(core.Receive(2, 1, PreVoteResponse{Term(2), true}));
    note(core.Persist());
    note(core.Receive(3, 2, VoteResponse{true}));
    note(core.Step(Propose{1, Text("a")}));
    note(core.Step(PeerUnreachable{NodeId(2)}));
    note(core.Receive(2, 5, Heartbeat(0)));
    note(core.Step(PeerUnreachable{NodeId(2)}));
    note(core.Tick());
    return story;
  };
  EXPECT_EQ(run(7), run(7));
  EXPECT_NE(run(7), run(8));
}

}  // namespace
}  // namespace dqueue::raft::test
