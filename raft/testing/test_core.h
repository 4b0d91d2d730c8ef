// One core, controlled step by step: the test is the network, the disk and the clock. Nothing is
// persisted or delivered unless the test does it. Peers are the nodes 1 … n with
// FirstIncarnation().
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "raft/invariants.h"
#include "raft/raft.h"
#include "raft/testing/fake_disk.h"

namespace dqueue::raft::test {

class TestCore {
 public:
  struct Setup {
    int nodes = 3;
    int self = 1;
    // Terms of the entries after the configuration at index 1.
    std::vector<int> log = {};
    int term = 1;
    int vote = 0;
    int commit = 1;
    bool bound = true;
    Options options = {};
    uint64_t seed = 1;
    // The starts of this node's disk (R13).
    std::vector<Boot> boots = {};
    // If not 0: a snapshot at this index, with the log compacted up to it.
    int snapshot = 0;
  };

  explicit TestCore(const Setup& setup) : setup_(setup), now_(Time(1s)) {
    const NodeId self(setup.self);
    disk_ = std::make_unique<FakeDisk>(self, FirstIncarnation(self));
    const Configuration config = MakeConfiguration(setup.nodes, setup.bound);
    Entry first = BootstrapEntry(config);
    first.payload = Text(EncodeConfiguration(config));
    std::vector<Entry> entries = {first};
    for (const int term : setup.log) entries.push_back(Command(entries.size() + 1, term));
    disk_->Write(HardState{Term(setup.term), NodeId(setup.vote), Index()}, std::nullopt, entries);
    disk_->Write(HardState{Term(setup.term), NodeId(setup.vote), Index(setup.commit)}, std::nullopt,
                 {});
    if (setup.snapshot > 0) {
      const Index index(setup.snapshot);
      disk_->AddSnapshot(
          {.index = index, .term = disk_->Find(index)->term, .config = EncodeConfiguration(config)},
          index);
    }
    Start();
  }

  // Restarts from the disk. What was not persisted is lost.
  void Restart() {
    unwritten_.clear();
    Start();
  }

  // The command entry at `index` of `term`; its payload names both.
  static Entry Command(uint64_t index, int term) {
    return {.index = Index(index),
            .term = Term(term),
            .kind = EntryKind::kCommand,
            .payload = Text(std::to_string(index) + "^" + std::to_string(term))};
  }

  Raft& raft() { return *raft_; }
  const FakeDisk& disk() const { return *disk_; }
  Status status() const { return raft_->status(); }
  View view() const { return raft_->GetView(); }
  Time now() const { return now_; }
  void Advance(Duration duration) { now_ += duration; }

  // Steps the core and returns all outputs, merged. Entries are applied at once.
  Output Step(Event event) {
    raft_->Step(now_, std::move(event));
    invariants_->Check(*raft_);
    return TakeAll();
  }
  Output Receive(int from, int term, MessageBody body) {
    return Step(raft::Receive{From(from, term, std::move(body))});
  }
  Message From(int from, int term, MessageBody body) const {
    return {.cluster = kCluster,
            .from = NodeId(from),
            .from_incarnation = FirstIncarnation(NodeId(from)),
            .to = NodeId(setup_.self),
            .term = Term(term),
            .body = std::move(body)};
  }
  // Advances the time to the deadline and steps a Timeout.
  Output Tick() {
    now_ = std::max(now_, raft_->Deadline());
    return Step(Timeout{});
  }
  // Writes all pending outputs to the disk and reports them persisted.
  Output Persist() {
    for (const Output& output : unwritten_) {
      disk_->Write(output.hard_state, output.install, output.append);
    }
    unwritten_.clear();
    return token_ == Token() ? TakeAll() : Step(Persisted{token_});
  }
  Token token() const { return token_; }

  // Wins an election with the votes of the first peers. If `settled`, also commits the no-op and
  // acknowledges it from every peer.
  void BecomeLeader(bool settled = true) {
    Tick();
    const int term = static_cast<int>(status().term.value());
    Answer([&](int peer) { Receive(peer, term, PreVoteResponse{Term(term + 1), true}); });
    Persist();
    Answer([&](int peer) {
      if (status().role == Role::kCandidate) Receive(peer, term + 1, VoteResponse{true});
    });
    Persist();
    if (settled) AcknowledgeAll();
  }
  // Acknowledges the whole log from every peer.
  Output AcknowledgeAll() {
    Output all;
    Answer([&](int peer) { Merge(Acknowledge(peer, view().last_index), &all); });
    return all;
  }
  Output Acknowledge(int peer, Index match) {
    AppendResponse response;
    response.success = true;
    response.match = match;
    return Receive(peer, static_cast<int>(status().term.value()), response);
  }

  // Calls `answer` with the number of each peer.
  template <class F>
  void Answer(F answer) {
    for (int peer = 1; peer <= setup_.nodes; ++peer) {
      if (peer != setup_.self) answer(peer);
    }
  }

 private:
  void Start() {
    Recovered recovered = disk_->Recover();
    recovered.boots = setup_.boots;
    raft_ = std::make_unique<Raft>(setup_.options, recovered, disk_.get(), setup_.seed, now_);
    invariants_ = std::make_unique<Invariants>();
    invariants_->Check(*raft_);
    token_ = Token();
    TakeAll();
  }

  static void Merge(Output from, Output* into) {
    const auto move = [](auto& source, auto& target) {
      target.insert(target.end(), std::make_move_iterator(source.begin()),
                    std::make_move_iterator(source.end()));
    };
    if (from.token != Token()) into->token = from.token;
    if (from.hard_state) into->hard_state = from.hard_state;
    if (from.install) into->install = std::move(from.install);
    if (from.store_chunk) into->store_chunk = std::move(from.store_chunk);
    if (from.status) into->status = from.status;
    if (from.went_back) into->went_back = from.went_back;
    move(from.refusals, into->refusals);
    move(from.append, into->append);
    move(from.send_now, into->send_now);
    move(from.send_after_persist, into->send_after_persist);
    move(from.apply, into->apply);
    move(from.proposals, into->proposals);
    move(from.reads, into->reads);
  }

  Output TakeAll() {
    Output all;
    while (raft_->HasOutput()) {
      Output output = raft_->TakeOutput();
      invariants_->Check(*raft_);
      if (output.token != Token()) token_ = output.token;
      if (output.HasWrites()) {
        unwritten_.emplace_back();
        unwritten_.back().hard_state = output.hard_state;
        unwritten_.back().install = output.install;
        unwritten_.back().append = output.append;
      }
      if (!output.apply.empty()) raft_->Step(now_, Applied{output.apply.back().index});
      Merge(std::move(output), &all);
    }
    return all;
  }

  Setup setup_;
  Time now_;
  std::unique_ptr<FakeDisk> disk_;
  std::unique_ptr<Raft> raft_;
  std::unique_ptr<Invariants> invariants_;
  Token token_;
  std::vector<Output> unwritten_;
};

// The bodies of type T in `messages`; `to` selects the receiver (0: all).
template <class T>
std::vector<T> Bodies(const std::vector<Message>& messages, int to = 0) {
  std::vector<T> bodies;
  for (const Message& message : messages) {
    if (to != 0 && message.to != NodeId(to)) continue;
    if (const T* body = std::get_if<T>(&message.body)) bodies.push_back(*body);
  }
  return bodies;
}
template <class T>
std::vector<T> Now(const Output& output, int to = 0) {
  return Bodies<T>(output.send_now, to);
}
template <class T>
std::vector<T> Later(const Output& output, int to = 0) {
  return Bodies<T>(output.send_after_persist, to);
}

// For each message "RECEIVER tTERM DESCRIPTION", in order.
inline std::vector<std::string> Lines(const std::vector<Message>& messages) {
  std::vector<std::string> lines;
  for (const Message& message : messages) {
    lines.push_back(std::to_string(message.to.value()) + " t" +
                    std::to_string(message.term.value()) + " " + Describe(message));
  }
  return lines;
}

}  // namespace dqueue::raft::test
