// Whole nodes in virtual time, with disks in memory and a network without faults. sim/ tests nodes
// with faults.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <climits>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "node/node.h"
#include "storage/testing/fault_file_system.h"

namespace dqueue::node::test {

using namespace std::chrono_literals;

class Cluster;

// Delivers messages in the next step of the cluster. Loses none.
class Wire final : public PeerTransport {
 public:
  Wire(Cluster* cluster, raft::NodeId self) : cluster_(cluster), self_(self) {}
  void Send(raft::NodeId to, std::vector<raft::Message> messages) override;
  void SetPeers(const std::vector<raft::Member>& peers) override { peers_ = peers; }

  Cluster* cluster_;
  raft::NodeId self_;
  std::vector<raft::Member> peers_;
};

struct Machine {
  std::unique_ptr<storage::FaultFileSystem> storage = std::make_unique<storage::FaultFileSystem>();
  storage::FaultFileSystem& disk() { return *storage; }
  std::unique_ptr<Wire> wire;
  std::unique_ptr<Node> node;
  absl::Status fatal;
  std::vector<std::string> lines;     // for the operator
  std::vector<std::string> warnings;  // for the operator
  bool cut = false;                   // neither sends nor receives
  int snapshot_steps = INT_MAX;       // polls of its snapshot actor in one step of the cluster
};

class Cluster {
 public:
  // Starts the first `started` members, or all.
  explicit Cluster(int size, int started = INT_MAX, std::map<std::string, uint32_t> levels = {})
      : state_levels(std::move(levels)) {
    for (int i = 1; i <= size; ++i) names_.push_back("n" + std::to_string(i));
    for (int i = 0; i < std::min(size, started); ++i) EXPECT_TRUE(Start(names_[i]).ok());
  }

  Options OptionsOf(const std::string& name) const {
    Options options;
    options.name = name;
    options.data_dir = "/data";
    if (names_.size() > 1) {
      for (const std::string& n : names_) options.members.push_back({n, n + port});
    }
    options.bootstrap = true;
    options.log.segment_bytes = 256 << 10;
    options.log.max_entry_bytes = 128 << 10;
    options.broker.max_batch_bytes = 32 << 10;
    options.snapshot_log_bytes = snapshot_log_bytes;
    options.trailing_log_bytes = trailing_log_bytes;
    options.snapshot_chunk_bytes = snapshot_chunk_bytes;
    options.reserve_bytes = 1 << 20;
    options.seed = seed;
    const auto limit = memory_limits.find(name);
    if (limit != memory_limits.end()) {
      options.memory_limit = limit->second;
      options.raft.cache_bytes = 64 << 10;
    }
    const auto level = state_levels.find(name);
    if (level != state_levels.end()) options.state_level = level->second;
    return options;
  }

  absl::Status Start(const std::string& name) {
    Machine& machine = machines_[name];
    machine.wire = std::make_unique<Wire>(this, raft::NodeIdOf(name));
    machine.fatal = absl::OkStatus();
    Env env;
    env.fs = &machine.disk();
    env.peers = machine.wire.get();
    env.wall_ms = [this] { return 1'700'000'000'000 + now_.time_since_epoch().count() / 1000; };
    env.fatal = [&machine](const absl::Status& status) { machine.fatal = status; };
    env.log_line = [&machine](const std::string& line) { machine.lines.push_back(line); };
    env.log_warning = [&machine](const std::string& line) { machine.warnings.push_back(line); };
    auto node = Node::Open(OptionsOf(name), env, now_);
    if (!node.ok()) return node.status();
    machine.node = *std::move(node);
    return absl::OkStatus();
  }

  void Crash(const std::string& name) {
    machines_[name].node.reset();
    machines_[name].disk().Crash(++crashes_);
  }

  // Runs all nodes for `duration`, in steps of 0.5 ms.
  void Run(Duration duration) {
    const Time end = now_ + duration;
    while (now_ < end) {
      now_ += 500us;
      Deliver();
      for (auto& [name, machine] : machines_) {
        if (!machine.node) continue;
        for (int i = 0; i < 100 && machine.node->Poll(now_); ++i) {
        }
        while (machine.node->PollLog()) {
        }
        for (int i = 0; i < machine.snapshot_steps && machine.node->PollSnapshots(); ++i) {
        }
      }
    }
  }

  // Runs until done() is true, at most 10 s. Returns done().
  bool RunUntil(const std::function<bool()>& done) {
    for (int i = 0; i < 20000 && !done(); ++i) Run(500us);
    return done();
  }

  std::string Leader() {
    for (auto& [name, machine] : machines_) {
      if (machine.node && machine.node->raft().status().serving) return name;
    }
    return "";
  }
  std::string WaitForLeader() {
    RunUntil([this] { return !Leader().empty(); });
    return Leader();
  }

  template <class Call>
  std::optional<queue::Outcome<typename Call::ResponseType>> Ask(
      const std::string& name, typename Call::RequestType request) {
    auto answer = std::make_shared<std::optional<queue::Outcome<typename Call::ResponseType>>>();
    Call call;
    call.request = std::move(request);
    call.done = [answer](queue::Outcome<typename Call::ResponseType> outcome) {
      *answer = std::move(outcome);
    };
    machines_[name].node->Submit(std::move(call));
    RunUntil([&] { return answer->has_value(); });
    return *answer;
  }

  std::string Enqueue(const std::string& node, const std::string& payload) {
    v1::EnqueueJobsRequest request;
    request.add_jobs()->set_payload(payload);
    auto answer = Ask<queue::EnqueueCall>(node, request);
    if (!answer || !answer->ok() || answer->value.results_size() != 1) return "";
    return answer->value.results(0).id();
  }

  Node& node(const std::string& name) { return *machines_[name].node; }
  Machine& machine(const std::string& name) { return machines_[name]; }
  const std::vector<std::string>& names() const { return names_; }

  NodeMetrics Metrics(const std::string& name) {
    auto metrics = std::make_shared<std::optional<NodeMetrics>>();
    node(name).RequestMetrics([metrics](const NodeMetrics& m) { *metrics = m; });
    RunUntil([&] { return metrics->has_value(); });
    return **metrics;
  }

  std::map<std::string, uint64_t> memory_limits;  // by node; none: no limit
  std::map<std::string, uint32_t> state_levels;  // Options::state_level, if not the default
  uint64_t seed = 7;                             // of the nodes, for the next Start()
  std::string port = ":1";  // of the addresses in --peers, for the next Start()
  uint64_t snapshot_log_bytes = 64 << 20;
  uint64_t trailing_log_bytes = 0;
  size_t snapshot_chunk_bytes = 4096;

 private:
  friend class Wire;
  void Deliver() {
    std::deque<std::pair<raft::NodeId, std::vector<raft::Message>>> mail = std::move(mail_);
    mail_.clear();
    for (auto& [to, messages] : mail) {
      for (auto& [name, machine] : machines_) {
        if (!machine.node || machine.cut || raft::NodeIdOf(name) != to) continue;
        machine.node->Receive(std::move(messages));
      }
    }
  }

  std::vector<std::string> names_;
  std::map<std::string, Machine> machines_;
  std::deque<std::pair<raft::NodeId, std::vector<raft::Message>>> mail_;
  Time now_{};
  uint64_t crashes_ = 0;
};

inline void Wire::Send(raft::NodeId to, std::vector<raft::Message> messages) {
  for (const auto& [name, machine] : cluster_->machines_) {
    if (raft::NodeIdOf(name) == self_ && machine.cut) return;
  }
  cluster_->mail_.emplace_back(to, std::move(messages));
}

}  // namespace dqueue::node::test
