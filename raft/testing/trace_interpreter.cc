#include "raft/testing/trace_interpreter.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "raft/testing/trace_lines.h"

namespace dqueue::raft::test {
namespace {

constexpr uint64_t kNodesMax = 9;
constexpr uint64_t kTermMax = 1000;
constexpr uint64_t kEntriesMax = 1000;
constexpr uint64_t kSeedMax = 1000;
constexpr size_t kTimeColumns = 6;

}  // namespace

const std::vector<TraceInterpreter::Command>& TraceInterpreter::Commands() {
  using T = TraceInterpreter;
  static const std::vector<Command> commands = {
      {"nodes", &T::Nodes},
      {"log", &T::Log},
      {"timeout", &T::FireTimeout},
      {"wait", &T::Wait},
      {"run", &T::Run},
      {"settle", &T::Settle},
      {"elect", &T::Elect},
      {"deliver", &T::Deliver},
      {"drop", &T::Drop},
      {"duplicate", &T::Duplicate},
      {"hold", &T::Hold},
      {"release", &T::Release},
      {"cut", &T::Cut},
      {"heal", &T::Heal},
      {"network", &T::ShowNetwork},
      {"persist", &T::Persist},
      {"stall", &T::Stall},
      {"unstall", &T::Unstall},
      {"crash", &T::Crash},
      {"restart", &T::Restart},
      {"wipe", &T::Wipe},
      {"propose", &T::Propose},
      {"read", &T::Read},
      {"transfer", &T::TransferTo},
      {"snapshot", &T::Snapshot},
      {"capacity", &T::SetCapacity},
      {"state", &T::State},
      {"unreachable", &T::ReportUnreachable},
      {"hide", &T::Hide},
      {"applied", &T::AppliedCommands},
      {"show", &T::Show},
      {"mute", &T::Mute},
      {"unmute", &T::Unmute},
  };
  return commands;
}

void TraceInterpreter::Execute(const TraceCommand& line) {
  TraceArgs args(line);
  const auto known = std::find_if(Commands().begin(), Commands().end(),
                                  [&](const Command& c) { return c.name == args.command(); });
  if (known == Commands().end()) {
    args.Fail(absl::StrCat("unknown command; allowed: ",
                           absl::StrJoin(Commands(), ", ", [](std::string* out, const Command& c) {
                             out->append(c.name);
                           })));
  }
  (this->*known->run)(args);
}

void TraceInterpreter::Say(const std::string& line) {
  if (muted_) return;
  const Duration since = cluster_ == nullptr ? Duration() : cluster_->now() - Time(1s);
  std::string time = absl::StrCat(since / 1ms, "ms");
  std::string column = time == last_time_ ? "" : time;
  column.resize(std::max(column.size(), kTimeColumns), ' ');
  output_.push_back(absl::StrCat(column, " ", line));
  last_time_ = std::move(time);
}

void TraceInterpreter::SayViolation(const std::string& what) {
  muted_ = false;
  Say(absl::StrCat("violation: ", what));
}

std::vector<std::string> TraceInterpreter::TakeOutput() {
  last_time_.clear();
  return std::exchange(output_, {});
}

// ---- Set-up

void TraceInterpreter::Nodes(TraceArgs& args) {
  if (described_) args.Fail("a script has one cluster; the command stands once, first");
  described_ = true;
  setup_.nodes = static_cast<int>(args.Number(1, kNodesMax));
  setup_.bound = true;
  setup_.disk_delay = 1ms;
  // One microsecond between the bounds leaves one timeout to draw.
  setup_.raft.election_min = 300ms;
  setup_.raft.election_max = 300ms + Duration(1);
  while (args.More()) {
    if (const auto term = args.Option("term", 1, kTermMax)) {
      setup_.term = static_cast<int>(*term);
    } else if (const auto entries = args.Option("max-append-entries", 1, kEntriesMax)) {
      setup_.raft.max_append_entries = *entries;
    } else if (const auto seed = args.Option("seed", 1, kSeedMax)) {
      setup_.seed = *seed;
    } else if (args.Take("unbound")) {
      setup_.bound = false;
    } else {
      args.Refuse("term=N, max-append-entries=N, seed=N, unbound");
    }
  }
}

void TraceInterpreter::Log(TraceArgs& args) {
  if (!described_ || cluster_ != nullptr) {
    args.Fail("logs are given between nodes and the commands that need a running cluster");
  }
  setup_.logs.resize(static_cast<size_t>(setup_.nodes));
  std::vector<int>& log = setup_.logs[static_cast<size_t>(args.Node(setup_.nodes)) - 1];
  log.clear();
  // A log has no term that is newer than the stored one, and terms do not fall.
  uint64_t least = 1;
  do {
    least = args.Number(least, static_cast<uint64_t>(setup_.term));
    log.push_back(static_cast<int>(least));
  } while (args.More());
}

TestCluster& TraceInterpreter::Started(const TraceArgs& args) {
  if (!described_) args.Fail("there is no cluster yet; a script begins with nodes 3");
  if (cluster_ == nullptr) {
    cluster_ = std::make_unique<TestCluster>(setup_);
    cluster_->DropIf([this](const Message& message) {
      OnSend(message);
      return true;
    });
    cluster_->ObserveOutputs([this](const TestNode& node, const Output& output) {
      const auto label = [this](uint64_t id) { return labels_.at(id); };
      for (const std::string& line : OutputLines(node.id(), output, label)) Say(line);
    });
  }
  return *cluster_;
}

TestNode& TraceInterpreter::NodeArg(TraceArgs& args) {
  TestCluster& cluster = Started(args);
  return cluster.node(args.Node(cluster.size()));
}

TestNode& TraceInterpreter::UpNodeArg(TraceArgs& args) {
  TestNode& node = NodeArg(args);
  if (!node.up()) args.Fail(absl::StrCat(NodeName(node.id()), " is down; restart it first"));
  return node;
}

// ---- Clients and operators

void TraceInterpreter::Propose(TraceArgs& args) {
  const int node = static_cast<int>(UpNodeArg(args).id().value());
  do {
    const std::string command = args.Quoted();
    labels_[++calls_] = absl::StrCat("\"", command, "\"");
    const uint64_t id = cluster_->Propose(node, command);
    DQ_CHECK(id == calls_);
  } while (args.More());
}

void TraceInterpreter::Read(TraceArgs& args) {
  const int node = static_cast<int>(UpNodeArg(args).id().value());
  args.End();
  labels_[++calls_] = absl::StrCat("read ", ++reads_);
  Say(absl::StrCat(labels_[calls_], " arrives at n", node));
  const uint64_t id = cluster_->Read(node);
  DQ_CHECK(id == calls_);
}

void TraceInterpreter::TransferTo(TraceArgs& args) {
  TestNode& node = UpNodeArg(args);
  const NodeId target = args.More() ? NodeArg(args).id() : NodeId();
  args.End();
  node.Step(Transfer{target});
}

void TraceInterpreter::Snapshot(TraceArgs& args) {
  TestNode& node = UpNodeArg(args);
  const uint64_t trailing = args.Option("trailing", 0, kEntriesMax).value_or(0);
  args.End();
  if (!node.TakeSnapshot(trailing)) args.Fail("nothing new is applied and durable");
  const SnapshotMeta& meta = node.disk().snapshot();
  Say(absl::StrCat(NodeName(node.id()), " snapshot at ", meta.index.value(), "/", meta.term.value(),
                   ", log compacted to ", node.disk().compacted_index().value()));
}

void TraceInterpreter::SetCapacity(TraceArgs& args) {
  TestNode& node = UpNodeArg(args);
  const bool low = args.Take("low");
  if (!low && !args.Take("ok")) args.Refuse("low, ok");
  args.End();
  node.Step(Capacity{.low_space = low});
}

void TraceInterpreter::ReportUnreachable(TraceArgs& args) {
  const NodeId peer = NodeArg(args).id();
  if (!args.More()) return cluster_->ReportUnreachable(static_cast<int>(peer.value()));
  while (args.More()) UpNodeArg(args).Step(PeerUnreachable{peer});
}

// ---- Output

std::vector<TestNode*> TraceInterpreter::NodesToShow(TraceArgs& args) {
  TestCluster& cluster = Started(args);
  std::vector<TestNode*> nodes;
  while (args.More()) nodes.push_back(&NodeArg(args));
  if (nodes.empty()) {
    for (int i = 1; i <= cluster.size(); ++i) nodes.push_back(&cluster.node(i));
  }
  return nodes;
}

void TraceInterpreter::State(TraceArgs& args) {
  for (const TestNode* node : NodesToShow(args)) Say(StateLine(*node));
}

void TraceInterpreter::AppliedCommands(TraceArgs& args) {
  for (const TestNode* node : NodesToShow(args)) {
    Say(absl::StrCat(NodeName(node->id()), " applied [", absl::StrJoin(node->state(), ", "), "]"));
  }
}

void TraceInterpreter::Hide(TraceArgs& args) {
  if (!args.More()) args.Refuse("a kind of message, such as Heartbeat");
  while (args.More()) hidden_.insert(args.OptionalKind());
}

void TraceInterpreter::Show(TraceArgs& args) {
  if (!args.More()) args.Refuse("a kind of message, such as Heartbeat");
  while (args.More()) hidden_.erase(args.OptionalKind());
}

void TraceInterpreter::Mute(TraceArgs& args) {
  args.End();
  muted_ = true;
}

void TraceInterpreter::Unmute(TraceArgs& args) {
  args.End();
  muted_ = false;
}

}  // namespace dqueue::raft::test
