// The commands of scripted traces, over a TestCluster; trace_script.h is their manual.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "raft/testing/test_cluster.h"
#include "raft/testing/trace_args.h"
#include "raft/testing/trace_network.h"

namespace dqueue::raft::test {

class TraceInterpreter {
 public:
  // Executes one command. Throws ScriptError for a mistake and Violation for a failed check.
  void Execute(const TraceCommand& line);
  // Lines since the last call.
  std::vector<std::string> TakeOutput();
  // Adds the line "violation: ..." to the output.
  void SayViolation(const std::string& what);

 private:
  struct Command {
    const char* name;
    void (TraceInterpreter::*run)(TraceArgs& args);
  };
  static const std::vector<Command>& Commands();

  // trace_interpreter.cc
  void Nodes(TraceArgs& args);
  void Log(TraceArgs& args);
  void Propose(TraceArgs& args);
  void Read(TraceArgs& args);
  void TransferTo(TraceArgs& args);
  void Snapshot(TraceArgs& args);
  void SetCapacity(TraceArgs& args);
  void ReportUnreachable(TraceArgs& args);
  void State(TraceArgs& args);
  void AppliedCommands(TraceArgs& args);
  void Hide(TraceArgs& args);
  void Show(TraceArgs& args);
  void Mute(TraceArgs& args);
  void Unmute(TraceArgs& args);

  // trace_world.cc: time, network and disks.
  void FireTimeout(TraceArgs& args);
  void Wait(TraceArgs& args);
  void Run(TraceArgs& args);
  void Settle(TraceArgs& args);
  void Elect(TraceArgs& args);
  void Deliver(TraceArgs& args);
  void Drop(TraceArgs& args);
  void Duplicate(TraceArgs& args);
  void Hold(TraceArgs& args);
  void Release(TraceArgs& args);
  void Cut(TraceArgs& args);
  void Heal(TraceArgs& args);
  void ShowNetwork(TraceArgs& args);
  void Persist(TraceArgs& args);
  void Stall(TraceArgs& args);
  void Unstall(TraceArgs& args);
  void Crash(TraceArgs& args);
  void Restart(TraceArgs& args);
  void Wipe(TraceArgs& args);

  // The cluster, started by the first command that needs it.
  TestCluster& Started(const TraceArgs& args);
  // Reads a node that exists.
  TestNode& NodeArg(TraceArgs& args);
  // Reads a node that is up.
  TestNode& UpNodeArg(TraceArgs& args);
  // Reads the nodes to show; all if none is named.
  std::vector<TestNode*> NodesToShow(TraceArgs& args);
  // Reads "all" or a link, kind and count, and takes the messages out of the network.
  std::vector<TraceNetwork::Flight> TakeNamed(TraceArgs& args);
  // Adds a line to the output.
  void Say(const std::string& line);
  void OnSend(const Message& message);
  void Arrive(const Message& message);
  void FireTimer(TestNode& node);
  void SettleAll();
  void CompleteWrite(TestNode& node);
  // The oldest `count` of those that are under way now.
  void CompleteWrites(TestNode& node, size_t count);
  bool Stalled(const TestNode& node) const { return stalled_.contains(node.id()); }
  // Does the next thing that is due until `end`; false if there is none.
  bool RunNext(Time end);

  TestCluster::Setup setup_;
  bool described_ = false;  // by a nodes command
  std::unique_ptr<TestCluster> cluster_;
  TraceNetwork network_;
  std::set<NodeId> stalled_;
  std::set<std::string> hidden_;
  std::map<uint64_t, std::string> labels_;  // of proposals and reads, by id
  uint64_t calls_ = 0;
  uint64_t reads_ = 0;

  bool muted_ = false;
  std::string last_time_;  // printed in this block
  std::vector<std::string> output_;
};

}  // namespace dqueue::raft::test
