#include "raft/testing/test_cluster.h"

#include <algorithm>
#include <cstdio>
#include <variant>

#include "base/check.h"
#include "raft/mutants.h"

namespace dqueue::raft::test {
namespace {

constexpr size_t kTraceLines = 150;
constexpr size_t kCommandsPerChunk = 3;
constexpr int kOutputsAtOnceMax = 10000;

std::string Join(const std::vector<std::string>& commands, size_t from, size_t count) {
  std::string text;
  for (size_t i = from; i < std::min(commands.size(), from + count); ++i) {
    text += commands[i] + "\n";
  }
  return text;
}

void AppendSplit(const std::string& text, std::vector<std::string>* commands) {
  size_t begin = 0;
  for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    commands->push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
}

}  // namespace

ChecksThrow::ChecksThrow() {
  SetCheckFailureHandler([](const std::string& text) { throw Violation(text); });
}
ChecksThrow::~ChecksThrow() { SetCheckFailureHandler(nullptr); }

// ---- TestNode

TestNode::TestNode(TestCluster* cluster, NodeId id)
    : cluster_(cluster), id_(id), disk_(std::make_unique<FakeDisk>(id, FirstIncarnation(id))) {}

void TestNode::Crash(size_t kept) {
  if (!up()) return;
  cluster_->Note(std::to_string(id_.value()) + " crashes");
  for (; kept > 0 && !writes_.empty(); --kept) {
    const Write& write = writes_.front();
    disk_->Write(write.hard_state, write.install, write.append);
    writes_.pop_front();
  }
  writes_.clear();
  raft_.reset();
  invariants_.reset();
  disk_stalled_ = false;
}

void TestNode::Restart() {
  if (up()) return;
  cluster_->Note(std::to_string(id_.value()) + " starts");
  const Recovered recovered = disk_->Recover();
  state_ = recovered.snapshot.index == Index() ? std::vector<std::string>()
                                               : snapshots_.at(recovered.snapshot.index.value());
  applied_ = recovered.snapshot.index;
  receiving_.reset();
  received_.clear();
  raft_ = std::make_unique<Raft>(cluster_->setup_.raft, recovered, disk_.get(),
                                 cluster_->random_.Next(), cluster_->now_);
  invariants_ = std::make_unique<Invariants>();
  invariants_->Check(*raft_);
  HandleOutputs();
}

void TestNode::Wipe() {
  Crash();
  cluster_->Note(std::to_string(id_.value()) + " loses its disk");
  disk_ = std::make_unique<FakeDisk>(id_, Incarnation(disk_->incarnation().value() + 100));
  disk_->Format(MakeConfiguration(cluster_->size()));
  snapshots_.clear();
}

void TestNode::Step(Event event) {
  if (!up()) return;
  raft_->Step(cluster_->now_, std::move(event));
  invariants_->Check(*raft_);
  HandleOutputs();
}

void TestNode::HandleOutputs() {
  int outputs = 0;
  while (raft_->HasOutput()) {
    if (++outputs > kOutputsAtOnceMax) cluster_->Fail("the core does not stop producing outputs");
    Output output = raft_->TakeOutput();
    invariants_->Check(*raft_);
    Handle(std::move(output));
  }
}

void TestNode::Handle(Output output) {
  if (cluster_->observer_) cluster_->observer_(*this, output);
  if (output.status) cluster_->OnStatus(*this, *output.status);
  for (const ProposalOutcome& outcome : output.proposals) cluster_->OnOutcome(*this, outcome);
  for (Message& message : output.send_now) cluster_->Send(*this, std::move(message));
  if (output.install) {
    if (!receiving_ || receiving_->index != output.install->index) {
      cluster_->Fail("install of a snapshot that was not received");
    }
    ++installs_;
    state_ = received_;
    snapshots_[output.install->index.value()] = received_;
  }
  if (output.token != Token()) {
    const Duration jitter = cluster_->disk_jitter;
    const Duration delay =
        cluster_->setup_.disk_delay +
        Duration(cluster_->random_.Below(static_cast<uint64_t>(jitter.count()) + 1));
    Time due = cluster_->now_ + delay;
    if (!writes_.empty()) due = std::max(due, writes_.back().due);
    writes_.push_back({.token = output.token,
                       .due = due,
                       .hard_state = output.hard_state,
                       .install = output.install,
                       .append = std::move(output.append),
                       .held = std::move(output.send_after_persist)});
  } else if (output.HasWrites() || !output.send_after_persist.empty()) {
    cluster_->Fail("writes without a token");
  }
  if (output.install) {
    applied_ = output.install->index;
    raft_->Step(cluster_->now_, Applied{applied_});
  }
  for (const Entry& entry : output.apply) Apply(entry);
  if (!output.apply.empty()) raft_->Step(cluster_->now_, Applied{applied_});
  for (const ReadOutcome& outcome : output.reads) cluster_->OnRead(outcome);
  if (output.store_chunk) StoreChunk(*output.store_chunk);
  invariants_->Check(*raft_);
}

void TestNode::Apply(const Entry& entry) {
  if (entry.index != applied_.Next()) {
    cluster_->Fail("applied " + std::to_string(entry.index.value()) + " after " +
                   std::to_string(applied_.value()));
  }
  applied_ = entry.index;
  if (entry.kind == EntryKind::kCommand) state_.push_back(*entry.payload);
  cluster_->OnApply(*this, entry);
}

void TestNode::CompleteWrite() {
  Write write = std::move(writes_.front());
  writes_.pop_front();
  disk_->Write(write.hard_state, write.install, write.append);
  for (Message& message : write.held) cluster_->Send(*this, std::move(message));
  Step(Persisted{write.token});
}

bool TestNode::TakeSnapshot(uint64_t trailing) {
  if (!up()) return false;
  // The snapshot must cover only entries that this disk holds: a crash must not leave a gap after
  // it.
  const View v = view();
  if (applied_ <= v.snapshot_index || applied_ > v.durable_index ||
      applied_ > disk_->last_index() || v.applied != applied_) {
    return false;
  }
  SnapshotMeta meta{.index = applied_,
                    .term = raft_->TermAt(applied_),
                    .config = raft_->EncodedConfigAt(applied_)};
  if (DQ_MUTANT(mutants::kSnapshotCurrentTerm)) meta.term = status().term;
  const Index compact_to(
      std::max(disk_->compacted_index().value(),
               std::min(raft_->CompactionLimit().value(),
                        applied_.value() > trailing ? applied_.value() - trailing : 0)));
  cluster_->Note(std::to_string(id_.value()) + " snapshot " + std::to_string(applied_.value()));
  snapshots_[applied_.value()] = state_;
  disk_->AddSnapshot(meta, compact_to);
  Step(SnapshotTaken{.meta = meta, .compact_to = compact_to});
  return true;
}

void TestNode::FillChunk(SnapshotRequest& request) const {
  const auto found = snapshots_.find(request.meta.index.value());
  if (found == snapshots_.end()) return;
  request.manifest = std::to_string(found->second.size());
  request.data = Join(found->second, request.cursor.offset, kCommandsPerChunk);
}

void TestNode::StoreChunk(const Message& message) {
  const SnapshotRequest& request = std::get<SnapshotRequest>(message.body);
  if (receiving_ != request.meta) {
    receiving_ = request.meta;
    received_.clear();
  }
  if (request.cursor.offset == received_.size()) AppendSplit(request.data, &received_);
  const bool done = request.manifest == std::to_string(received_.size());
  raft_->Step(cluster_->now_, SnapshotChunkStored{.meta = request.meta,
                                                  .from = message.from,
                                                  .next = {.file = 0, .offset = received_.size()},
                                                  .done = done,
                                                  .refused = false});
}

// ---- TestCluster

TestCluster::TestCluster(const Setup& setup) : setup_(setup), random_(setup.seed), now_(Time(1s)) {
  const Configuration config = MakeConfiguration(setup.nodes, setup.bound);
  for (const Member& member : config.voters) {
    nodes_.push_back(std::make_unique<TestNode>(this, member.id));
    FakeDisk& disk = *nodes_.back()->disk_;
    Entry first = BootstrapEntry(config);
    // As if the first entry had bound the incarnations.
    if (setup.bound) first.payload = Text(EncodeConfiguration(config));
    std::vector<Entry> entries = {first};
    if (!setup.logs.empty()) {
      for (const int term : setup.logs.at(nodes_.size() - 1)) {
        entries.push_back(
            {.index = Index(entries.size() + 1),
             .term = Term(static_cast<uint64_t>(term)),
             .kind = EntryKind::kCommand,
             .payload = Text(std::to_string(entries.size() + 1) + "^" + std::to_string(term))});
      }
    }
    const Term term(static_cast<uint64_t>(setup.term));
    disk.Write(HardState{term, NodeId(), Index()}, std::nullopt, entries);
    disk.Write(HardState{term, NodeId(), Index(1)}, std::nullopt, {});
  }
  for (auto& node : nodes_) node->Restart();
}

void TestCluster::Fail(const std::string& what) { throw Violation(what + "\n" + Trace()); }

void TestCluster::Note(const std::string& line) {
  char time[32];
  std::snprintf(time, sizeof(time), "[%8.3f] ",
                static_cast<double>((now_ - Time(1s)).count()) / 1000.0);
  trace_.push_back(time + line);
  if (trace_.size() > kTraceLines) trace_.pop_front();
}

std::string TestCluster::Trace() const {
  std::string text;
  for (const std::string& line : trace_) text += line + "\n";
  return text;
}

void TestCluster::KeepTrace(std::function<bool(const Message&)> wanted) {
  trace_wanted_ = std::move(wanted);
  kept_trace_.clear();
}

TestCluster::Due TestCluster::NextDue() {
  Due due;
  for (auto& node : nodes_) {
    if (!node->up()) continue;
    if (!node->writes_.empty() && !node->disk_stalled_ && node->writes_.front().due < due.time) {
      due = {.time = node->writes_.front().due, .disk = node.get(), .timer = nullptr};
    }
    if (node->raft_->Deadline() < due.time) {
      due = {.time = node->raft_->Deadline(), .disk = nullptr, .timer = node.get()};
    }
  }
  if (!network_.empty() && network_.begin()->due <= due.time) {
    due = {.time = network_.begin()->due, .disk = nullptr, .timer = nullptr};
  }
  due.time = std::max(due.time, now_);
  return due;
}

void TestCluster::Run(const Due& due) {
  now_ = due.time;
  if (due.disk != nullptr) return due.disk->CompleteWrite();
  if (due.timer != nullptr) return due.timer->Step(Timeout{});
  Message message = std::move(network_.extract(network_.begin()).value().message);
  TestNode& to = node(static_cast<int>(message.to.value()));
  if (!to.up()) return;
  Note(std::to_string(message.from.value()) + " > " + std::to_string(message.to.value()) + " t" +
       std::to_string(message.term.value()) + " " + Describe(message));
  if (trace_wanted_ && trace_wanted_(message)) kept_trace_.push_back(trace_.back());
  to.Step(Receive{std::move(message)});
}

void TestCluster::RunFor(Duration duration) {
  RunUntil([] { return false; }, duration);
}

bool TestCluster::RunUntil(const std::function<bool()>& condition, Duration limit) {
  const Time end = now_ + limit;
  while (!condition()) {
    const Due due = NextDue();
    if (due.time > end) {
      now_ = end;
      return false;
    }
    Run(due);
  }
  return true;
}

int TestCluster::leader() {
  int leader = 0;
  Term newest;
  for (auto& node : nodes_) {
    if (!node->up()) continue;
    const Status status = node->status();
    if (status.role == Role::kLeader && status.term > newest) {
      newest = status.term;
      leader = static_cast<int>(node->id().value());
    }
  }
  return leader;
}

int TestCluster::AwaitLeader(Duration limit) {
  const auto serving = [this] { return leader() != 0 && node(leader()).status().serving; };
  if (!RunUntil(serving, limit)) Fail("no leader serves");
  return leader();
}

bool TestCluster::AwaitAgreement(Duration limit) {
  return RunUntil(
      [this] {
        const int l = leader();
        if (l == 0) return false;
        const View view = node(l).view();
        return view.commit == view.last_index &&
               std::all_of(nodes_.begin(), nodes_.end(), [&](const auto& n) {
                 return !n->up() || (n->applied_ == view.commit && n->writes_.empty());
               });
      },
      limit);
}

uint64_t TestCluster::Propose(int node_number, const std::string& command) {
  const uint64_t id = next_id_++;
  proposed_[id] = command;
  node(node_number).Step(raft::Propose{.id = id, .payload = Text(command)});
  return id;
}

uint64_t TestCluster::Read(int node_number) {
  const uint64_t id = next_id_++;
  read_floor_[id] = acknowledged_to_;
  node(node_number).Step(raft::Read{.id = id});
  return id;
}

std::optional<ProposalOutcome> TestCluster::proposal(uint64_t id) const {
  const auto found = proposals_.find(id);
  if (found == proposals_.end()) return std::nullopt;
  return found->second;
}

std::optional<ReadOutcome> TestCluster::read(uint64_t id) const {
  const auto found = reads_.find(id);
  if (found == reads_.end()) return std::nullopt;
  return found->second;
}

void TestCluster::CutOneWay(int from, int to) { cuts_.insert({from, to}); }

void TestCluster::Cut(int a, int b) {
  CutOneWay(a, b);
  CutOneWay(b, a);
}

void TestCluster::Isolate(int node_number) {
  for (int other = 1; other <= size(); ++other) {
    if (other != node_number) Cut(node_number, other);
  }
}

void TestCluster::Heal() { cuts_.clear(); }

void TestCluster::ReportUnreachable(int node_number) {
  for (auto& other : nodes_) {
    const NodeId peer(node_number);
    if (other->id() != peer) other->Step(PeerUnreachable{peer});
  }
}

void TestCluster::Release(int from) {
  hold_ = nullptr;
  std::vector<Message> rest;
  for (Message& message : held_) {
    if (from == 0 || message.from == NodeId(static_cast<uint64_t>(from))) {
      network_.insert({now_, sequence_++, std::move(message)});
    } else {
      rest.push_back(std::move(message));
    }
  }
  held_ = std::move(rest);
}

// R1: a message must not carry state that a crash can undo.
void TestCluster::CheckSent(const TestNode& from, const Message& message) {
  const FakeDisk& disk = from.disk();
  if (message.term > disk.hard_state().term) Fail("sent in a term that is not durable");
  if (const auto* vote = std::get_if<VoteResponse>(&message.body)) {
    if (vote->granted && disk.hard_state().term == message.term &&
        disk.hard_state().vote != message.to) {
      Fail("vote granted before it was durable");
    }
  }
  if (std::holds_alternative<VoteRequest>(message.body) && disk.hard_state().term == message.term &&
      disk.hard_state().vote != message.from) {
    Fail("campaign before the own vote was durable");
  }
  if (const auto* ack = std::get_if<AppendResponse>(&message.body)) {
    if (ack->success && ack->match > disk.last_index()) Fail("acknowledged before durable");
  }
}

void TestCluster::Send(TestNode& from, Message message) {
  CheckSent(from, message);
  if (auto* snapshot = std::get_if<SnapshotRequest>(&message.body)) {
    from.FillChunk(*snapshot);
    if (snapshot->manifest.empty()) return;
  }
  if (cuts_.contains({message.from.value(), message.to.value()})) return;
  if (filter_ && filter_(message)) return;
  if (hold_ && hold_(message)) {
    held_.push_back(std::move(message));
    return;
  }
  const auto chance = [this](double p) {
    return p > 0 && static_cast<double>(random_.Below(1000000)) < p * 1000000;
  };
  if (chance(loss)) return;
  const int copies = chance(repeat) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    const Duration delay =
        setup_.net_delay + Duration(random_.Below(static_cast<uint64_t>(jitter.count()) + 1));
    network_.insert({now_ + delay, sequence_++, message});
  }
}

void TestCluster::OnStatus(TestNode& node, const Status& status) {
  Note(std::to_string(node.id().value()) + " is " + RoleName(status.role) + " of term " +
       std::to_string(status.term.value()));
  if (status.role != Role::kLeader) return;
  const auto [entry, fresh] = leaders_.insert({status.term.value(), node.id().value()});
  if (!fresh && entry->second != node.id().value()) {
    Fail("two leaders in term " + std::to_string(status.term.value()));
  }
}

void TestCluster::OnOutcome(TestNode&, const ProposalOutcome& outcome) {
  if (!proposals_.insert({outcome.id, outcome}).second) Fail("a proposal has two outcomes");
  const std::string& command = proposed_.at(outcome.id);
  if (outcome.kind == ProposalOutcome::Kind::kNotAppended) refused_.insert(command);
  if (outcome.kind != ProposalOutcome::Kind::kCommitted) return;
  acknowledged_[outcome.index.value()] = command;
  acknowledged_to_ = std::max(acknowledged_to_, outcome.index);
  const auto known = committed_.find(outcome.index.value());
  if (known != committed_.end() && *known->second.payload != command) {
    Fail("acknowledged " + command + " but " + *known->second.payload + " was committed");
  }
}

void TestCluster::OnRead(const ReadOutcome& outcome) {
  if (!reads_.insert({outcome.id, outcome}).second) Fail("a read has two outcomes");
  if (outcome.confirmed && outcome.index < read_floor_.at(outcome.id)) {
    Fail("stale read: confirmed at " + std::to_string(outcome.index.value()) + ", acknowledged " +
         std::to_string(read_floor_.at(outcome.id).value()));
  }
}

void TestCluster::OnApply(TestNode& node, const Entry& entry) {
  const auto [known, fresh] =
      committed_.insert({entry.index.value(), Committed{entry.term, entry.payload}});
  if (!fresh && (known->second.term != entry.term || *known->second.payload != *entry.payload)) {
    Fail("node " + std::to_string(node.id().value()) + " applied another entry at " +
         std::to_string(entry.index.value()));
  }
  if (entry.kind != EntryKind::kCommand) return;
  if (refused_.contains(*entry.payload)) Fail("a refused proposal was applied");
  const auto acknowledged = acknowledged_.find(entry.index.value());
  if (acknowledged != acknowledged_.end() && acknowledged->second != *entry.payload) {
    Fail("acknowledged " + acknowledged->second + " but applied " + *entry.payload);
  }
}

}  // namespace dqueue::raft::test
