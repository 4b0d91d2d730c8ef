#include "raft/testing/stories.h"

#include <string>
#include <variant>

#include "raft/testing/test_cluster.h"
#include "raft/testing/test_core.h"

namespace dqueue::raft::test {
namespace {

void Expect(bool condition, const std::string& what) {
  if (!condition) throw Violation(what);
}

template <class Body>
bool Is(const Message& message) {
  return std::holds_alternative<Body>(message.body);
}

// Drops the election requests of all nodes but `node`.
auto DropOtherCandidates(int node) {
  return [node](const Message& message) {
    return (Is<PreVoteRequest>(message) || Is<VoteRequest>(message)) &&
           message.from != NodeId(static_cast<uint64_t>(node));
  };
}

}  // namespace

void Figure8() {
  // Start of (c): S1 has an entry of term 2 and S5 one of term 3 at the same index.
  TestCluster::Setup setup;
  setup.nodes = 5;
  setup.raft.max_append_entries = 1;
  setup.bound = true;
  setup.logs = {{2}, {}, {}, {}, {3}};
  setup.term = 3;
  TestCluster t(setup);
  // S1 leads term 4 and replicates its old entry to S2 and S3. No node can store S1's entry of term
  // 4.
  t.DropIf([&t, only = DropOtherCandidates(1)](const Message& message) {
    if (only(message)) return true;
    const auto* append = std::get_if<AppendRequest>(&message.body);
    if (append == nullptr || append->entries.empty()) return false;
    if (append->entries.back().term != message.term) return message.to == NodeId(4);
    return t.node(static_cast<int>(message.to.value())).disk().last_index() >= append->prev_index;
  });
  t.Cut(1, 5);
  Expect(t.RunUntil([&] { return t.leader() == 1; }, 5s), "S1 does not lead");
  const auto has = [&t](int node) { return t.node(node).disk().last_index() == Index(2); };
  Expect(t.RunUntil([&] { return has(2) && has(3); }, 5s), "S2 and S3 do not get the entry");
  t.RunFor(20ms);
  // (d): S1 crashes. S3 and S4 elect S5, which overwrites the entry everywhere.
  t.node(1).Crash();
  t.node(2).Crash();
  t.DropIf(DropOtherCandidates(5));
  // S5's log is more up to date than S3's, because its last term is higher.
  Expect(t.RunUntil([&] { return t.leader() == 5; }, 10s), "S5 does not lead");
  t.node(1).Restart();
  t.node(2).Restart();
  t.Heal();
  t.DropIf(nullptr);
  t.AwaitLeader();
  Expect(t.AwaitAgreement(), "no agreement");
  Expect(t.node(1).state() == std::vector<std::string>{"2^3"}, "the entry of term 3 is lost");
}

void DelayedEchoesOfOlderRound() {
  TestCluster t({.nodes = 3, .bound = true});
  const int old_leader = t.AwaitLeader();
  Expect(t.AwaitAgreement(), "no agreement");
  const int a = old_leader % 3 + 1;
  const int b = a % 3 + 1;
  // A round whose echoes are held back.
  t.HoldIf([](const Message& message) { return Is<HeartbeatResponse>(message); });
  const uint64_t first = t.Read(old_leader);
  t.RunFor(5ms);
  // The other nodes elect a new leader, which commits an entry.
  t.Isolate(old_leader);
  t.ReportUnreachable(old_leader);
  Expect(t.RunUntil(
             [&] {
               return t.leader() != old_leader && t.leader() != 0 &&
                      t.node(t.leader()).status().serving;
             },
             300ms),
         "no other leader in time");
  t.Propose(t.leader(), "news");
  t.RunFor(10ms);
  Expect(t.acknowledged().size() == 1, "the new leader does not commit");
  Expect(t.node(old_leader).status().role == Role::kLeader, "the old leader stepped down already");
  const uint64_t second = t.Read(old_leader);
  t.Release(a);
  t.RunFor(1ms);
  Expect(t.read(first).has_value() && t.read(first)->confirmed, "the first read is not confirmed");
  t.Release(b);
  t.RunFor(1ms);
  Expect(!t.read(second).has_value() || !t.read(second)->confirmed, "stale read");
  Expect(t.RunUntil([&] { return t.read(second).has_value(); }, 5s), "the read has no outcome");
  Expect(!t.read(second)->confirmed, "stale read");
}

void ReadOnADeposedLeader() {
  TestCluster t({.nodes = 3, .bound = true});
  const int old_leader = t.AwaitLeader();
  t.Isolate(old_leader);
  t.ReportUnreachable(old_leader);
  Expect(t.RunUntil(
             [&] {
               return t.leader() != old_leader && t.leader() != 0 &&
                      t.node(t.leader()).status().serving;
             },
             300ms),
         "no other leader in time");
  t.Propose(t.leader(), "news");
  t.RunFor(10ms);
  Expect(t.node(old_leader).status().role == Role::kLeader, "the old leader stepped down already");
  const uint64_t read = t.Read(old_leader);
  Expect(t.RunUntil([&] { return t.read(read).has_value(); }, 5s), "the read has no outcome");
  Expect(!t.read(read)->confirmed, "stale read");
}

void WipedDiskDoesNotVote() {
  TestCluster t({.nodes = 3});
  const int leader = t.AwaitLeader();
  const int kept = leader % 3 + 1;
  const int late = kept % 3 + 1;
  t.RunFor(200ms);  // all three incarnations are bound
  Expect(t.AwaitAgreement(), "no agreement");
  t.node(late).Crash();
  t.Propose(leader, "precious");
  t.RunFor(20ms);
  Expect(t.acknowledged().size() == 1, "a majority does not commit");
  // One of the two copies is wiped; the node with the other copy is down.
  t.node(kept).Wipe();
  t.node(leader).Crash();
  t.node(kept).Restart();
  t.node(late).Restart();
  t.RunFor(5s);
  Expect(t.leader() == 0, "nodes without the entry elected a leader");
  t.node(leader).Restart();
  const int next = t.AwaitLeader();
  Expect(next == leader, "the new leader lacks an acknowledged entry");
  Expect(t.node(next).state() == std::vector<std::string>{"precious"},
         "an acknowledged entry is lost");
  // The wiped node is not counted later either.
  t.node(late).Crash();
  const uint64_t lonely = t.Propose(next, "lonely");
  t.RunFor(3s);
  Expect(!t.proposal(lonely).has_value() ||
             t.proposal(lonely)->kind != ProposalOutcome::Kind::kCommitted,
         "a wiped disk was counted");
}

void LeftoverTailIsNotCommitted() {
  TestCore core({.log = {1, 2, 2}, .term = 3});
  AppendRequest request;
  request.prev_index = Index(2);
  request.prev_term = Term(1);
  request.commit = Index(4);
  core.Receive(2, 3, request);
  Expect(core.view().commit == Index(2), "committed past the last new entry");
}

}  // namespace dqueue::raft::test
