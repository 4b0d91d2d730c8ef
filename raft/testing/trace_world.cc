// Commands of scripted traces that move time, the network and the disks.
#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "raft/testing/trace_interpreter.h"
#include "raft/testing/trace_lines.h"

namespace dqueue::raft::test {
namespace {

constexpr Duration kNetworkDelay = 1ms;
constexpr size_t kCountMax = 1000;
// More events than any story has: a script that never settles must fail.
constexpr int kEventsMax = 10000;

}  // namespace

// ---- Time

void TraceInterpreter::FireTimer(TestNode& node) {
  cluster_->AdvanceTo(node.raft().Deadline());
  node.Step(Timeout{});
}

void TraceInterpreter::FireTimeout(TraceArgs& args) {
  TestNode& node = UpNodeArg(args);
  args.End();
  FireTimer(node);
}

void TraceInterpreter::Wait(TraceArgs& args) {
  TestCluster& cluster = Started(args);
  const Duration duration = args.Milliseconds();
  args.End();
  cluster.AdvanceTo(cluster.now() + duration);
}

void TraceInterpreter::Run(TraceArgs& args) {
  TestCluster& cluster = Started(args);
  const Time end = cluster.now() + args.Milliseconds();
  args.End();
  for (int events = 0; RunNext(end); ++events) {
    if (events == kEventsMax) args.Fail(absl::StrCat("more than ", kEventsMax, " events"));
  }
  cluster.AdvanceTo(end);
}

bool TraceInterpreter::RunNext(Time end) {
  const TraceNetwork::Flight* flight = network_.Next();
  Time due = flight == nullptr ? Time::max() : flight->sent + kNetworkDelay;
  TestNode* disk = nullptr;
  TestNode* timer = nullptr;
  for (int i = 1; i <= cluster_->size(); ++i) {
    TestNode& node = cluster_->node(i);
    if (!node.up()) continue;
    if (!Stalled(node) && node.write_due() < due) {
      due = node.write_due();
      disk = &node;
      timer = nullptr;
    }
    if (node.raft().Deadline() < due) {
      due = node.raft().Deadline();
      disk = nullptr;
      timer = &node;
    }
  }
  if (due > end) return false;
  cluster_->AdvanceTo(due);
  if (disk != nullptr) {
    CompleteWrite(*disk);
  } else if (timer != nullptr) {
    timer->Step(Timeout{});
  } else {
    Arrive(network_.TakeMatching({}, 1, /*held_too=*/false).front().message);
  }
  return true;
}

void TraceInterpreter::Settle(TraceArgs& args) {
  Started(args);
  args.End();
  SettleAll();
}

void TraceInterpreter::SettleAll() {
  for (int events = 0; events < kEventsMax;) {
    const int before = events;
    for (const auto& flight : network_.TakeMatching({}, kCountMax, /*held_too=*/false)) {
      Arrive(flight.message);
      ++events;
    }
    for (int i = 1; i <= cluster_->size(); ++i) {
      TestNode& node = cluster_->node(i);
      for (; !Stalled(node) && node.writes_under_way() > 0; ++events) CompleteWrite(node);
    }
    if (events == before) return;
  }
  throw Violation(absl::StrCat("more than ", kEventsMax, " events at one moment"));
}

void TraceInterpreter::Elect(TraceArgs& args) {
  TestNode& node = UpNodeArg(args);
  args.End();
  const bool muted = std::exchange(muted_, true);
  FireTimer(node);
  SettleAll();
  muted_ = muted;
  Say(StatusLine(node.id(), node.status()));
}

// ---- Network

void TraceInterpreter::OnSend(const Message& message) {
  const bool cut = network_.IsCut(message);
  if (!hidden_.contains(TraceKind(message))) {
    Say(absl::StrCat(MessageLine(message), cut ? " (cut)" : ""));
  }
  if (!cut) network_.Add({cluster_->now(), message});
}

void TraceInterpreter::Arrive(const Message& message) {
  TestNode& to = cluster_->node(static_cast<int>(message.to.value()));
  const std::string what = absl::StrCat(TraceKind(message), " of ", NodeName(message.from));
  if (!to.up()) return Say(absl::StrCat(NodeName(to.id()), " is down, misses ", what));
  const uint64_t dropped = to.view().dropped_messages;
  to.Step(raft::Receive{message});
  if (to.view().dropped_messages > dropped) {
    Say(absl::StrCat(NodeName(to.id()), " ignores ", what));
  }
}

std::vector<TraceNetwork::Flight> TraceInterpreter::TakeNamed(TraceArgs& args) {
  TestCluster& cluster = Started(args);
  if (args.Take("all")) {
    args.End();
    return network_.TakeMatching({}, kCountMax, /*held_too=*/false);
  }
  TraceNetwork::Pattern pattern{.link = args.Link(cluster.size()), .kind = ""};
  std::optional<uint64_t> first = args.Option("first", 1, kCountMax);
  if (!first) {
    pattern.kind = args.OptionalKind();
    first = args.Option("first", 1, kCountMax);
  }
  args.End();
  auto flights = network_.TakeMatching(pattern, first.value_or(kCountMax), /*held_too=*/true);
  if (flights.empty()) Say("nothing is in flight there");
  return flights;
}

void TraceInterpreter::Deliver(TraceArgs& args) {
  for (const auto& flight : TakeNamed(args)) Arrive(flight.message);
}

void TraceInterpreter::Drop(TraceArgs& args) {
  for (const auto& flight : TakeNamed(args)) {
    Say(absl::StrCat("lost: ", MessageLine(flight.message)));
  }
}

void TraceInterpreter::Duplicate(TraceArgs& args) {
  TestCluster& cluster = Started(args);
  const TraceNetwork::Pattern pattern{.link = args.Link(cluster.size()),
                                      .kind = args.OptionalKind()};
  args.End();
  std::vector<TraceNetwork::Flight> copies;
  for (const TraceNetwork::Flight& flight : network_.flights()) {
    if (pattern.Matches(flight.message)) copies.push_back(flight);
  }
  if (copies.empty()) Say("nothing is in flight there");
  for (TraceNetwork::Flight& copy : copies) network_.Add(std::move(copy));
}

void TraceInterpreter::Hold(TraceArgs& args) {
  TestCluster& cluster = Started(args);
  const TraceLink link = args.Link(cluster.size());
  std::string kind = args.OptionalKind();
  args.End();
  network_.Hold({.link = link, .kind = std::move(kind)});
}

void TraceInterpreter::Release(TraceArgs& args) {
  Started(args);
  args.End();
  network_.Release();
}

void TraceInterpreter::Cut(TraceArgs& args) {
  TestCluster& cluster = Started(args);
  if (args.NextIsLink()) {
    network_.Cut(args.Link(cluster.size()));
  } else {
    const int node = args.Node(cluster.size());
    network_.Cut({.from = node, .to = 0});
    network_.Cut({.from = 0, .to = node});
  }
  args.End();
}

void TraceInterpreter::Heal(TraceArgs& args) {
  Started(args);
  args.End();
  network_.Heal();
}

void TraceInterpreter::ShowNetwork(TraceArgs& args) {
  Started(args);
  args.End();
  if (network_.flights().empty()) Say("nothing is in flight");
  for (const auto& flight : network_.flights()) {
    Say(absl::StrCat("in flight: ", MessageLine(flight.message)));
  }
}

// ---- Disks

void TraceInterpreter::CompleteWrite(TestNode& node) {
  Say(absl::StrCat(NodeName(node.id()), " persisted #", node.oldest_write().value()));
  node.CompleteWrite();
}

void TraceInterpreter::CompleteWrites(TestNode& node, size_t count) {
  for (size_t i = std::min(count, node.writes_under_way()); i > 0; --i) CompleteWrite(node);
}

void TraceInterpreter::Persist(TraceArgs& args) {
  if (args.Take("all")) {
    TestCluster& cluster = Started(args);
    args.End();
    for (int i = 1; i <= cluster.size(); ++i) CompleteWrites(cluster.node(i), kCountMax);
    return;
  }
  TestNode& node = UpNodeArg(args);
  const size_t count = args.More() ? args.Number(1, kCountMax) : kCountMax;
  args.End();
  if (node.writes_under_way() == 0) Say(NodeName(node.id()) + " has nothing to persist");
  CompleteWrites(node, count);
}

void TraceInterpreter::Stall(TraceArgs& args) {
  const TestNode& node = NodeArg(args);
  args.End();
  stalled_.insert(node.id());
}

void TraceInterpreter::Unstall(TraceArgs& args) {
  const TestNode& node = NodeArg(args);
  args.End();
  stalled_.erase(node.id());
}

void TraceInterpreter::Crash(TraceArgs& args) {
  TestNode& node = UpNodeArg(args);
  const uint64_t kept = args.Option("kept", 1, kCountMax).value_or(0);
  args.End();
  node.Crash(kept);
  stalled_.erase(node.id());
}

void TraceInterpreter::Restart(TraceArgs& args) {
  TestNode& node = NodeArg(args);
  args.End();
  if (node.up()) args.Fail(absl::StrCat(NodeName(node.id()), " is up; crash it first"));
  node.Restart();
}

void TraceInterpreter::Wipe(TraceArgs& args) {
  TestNode& node = NodeArg(args);
  args.End();
  node.Wipe();
  stalled_.erase(node.id());
}

}  // namespace dqueue::raft::test
