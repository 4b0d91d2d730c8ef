// A whole cluster in one thread and in virtual time: nodes, network and checkers. Scripted tests
// (scenario_test.cc) and random runs (simulation.h) drive it. Run() throws a Violation when a
// checker finds a broken rule.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "sim/checkers/answer_checker.h"
#include "sim/checkers/clock_checker.h"
#include "sim/checkers/commit_checker.h"
#include "sim/checkers/durability_checker.h"
#include "sim/checkers/election_checker.h"
#include "sim/checkers/grant_checker.h"
#include "sim/checkers/job_model.h"
#include "sim/checkers/ledger.h"
#include "sim/event_queue.h"
#include "sim/network.h"
#include "sim/profile.h"
#include "sim/random_stream.h"
#include "sim/sim_node.h"
#include "sim/trace.h"

namespace dqueue::sim {

class World {
 public:
  World(uint64_t seed, const Profile& profile, bool print_trace = false);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // ---- time
  Time now() const { return queue_.now(); }
  void At(Time at, std::function<void()> action) { queue_.AddClosure(at, std::move(action)); }
  void After(Duration delay, std::function<void()> action) { At(now() + delay, std::move(action)); }
  void Run(Duration duration);
  // Runs until `done` returns true after some event. Returns false if `limit` passes first.
  bool RunUntil(const std::function<bool()>& done, Duration limit);

  // ---- the cluster; nodes are numbered from 1
  int size() const { return static_cast<int>(nodes_.size()); }
  int majority() const { return size() / 2 + 1; }
  // Whether a running node knows that the incarnation of every member is bound. Before that a
  // cluster that formed without a member needs a majority of the others (R12).
  bool AllBound() const;
  SimNode& node(int number) { return *nodes_.at(static_cast<size_t>(number - 1)); }
  const SimNode& node(int number) const { return *nodes_.at(static_cast<size_t>(number - 1)); }
  // The number of the node with this id or name, or 0 if there is none.
  int NumberOf(raft::NodeId id) const;
  int NumberOf(const std::string& name) const;
  // The serving leader of the highest term, or 0 if there is none.
  int Leader() const;
  Network& network() { return network_; }
  // Cuts both directions between each of `left` and each of `right`.
  void Partition(std::initializer_list<int> left, std::initializer_list<int> right);
  void Isolate(int number);
  // Cuts or heals the network between all clients and this node.
  void CutClients(int number, bool cut) { client_cut_[static_cast<size_t>(number)] = cut; }
  bool ClientsCut(int number) const { return client_cut_[static_cast<size_t>(number)]; }
  // Notifies `node`, if it is up, that its connection to `peer` broke.
  void NotifyDisconnected(int node, int peer);
  // Notifies each other node with probability disconnect_notice.
  void ProcessEnded(int number);

  // Ends all processes. Must be called before the clients are destroyed.
  void PowerOff();

  // ---- parts
  EventQueue& queue() { return queue_; }
  Trace& trace() { return trace_; }
  const Profile& profile() const { return profile_; }
  Ledger& ledger() { return ledger_; }
  ElectionChecker& elections() { return elections_; }
  ClockChecker& clocks() { return clocks_; }
  CommitChecker& commits() { return commits_; }
  DurabilityChecker& durability() { return durability_; }
  JobModel& jobs() { return jobs_; }
  GrantChecker& grants() { return grants_; }
  AnswerChecker& answers() { return answers_; }
  KeyChecker& keys() { return answers_.keys(); }
  uint64_t seed() const { return seed_; }
  uint64_t NextCallId() { return ++last_call_; }
  RandomStream& client_random() { return client_random_; }
  double client_loss() const { return client_loss_; }
  // Ends loss, duplication and long delays in the network, and all faults of clients.
  void StopFaults();
  // Adds an event to the trace, with the current time.
  void Note(TraceEvent event);

 private:
  void RunOne();

  uint64_t seed_;
  Profile profile_;
  Trace trace_;
  EventQueue queue_;
  Network network_;
  JobModel jobs_;
  Ledger ledger_;
  ElectionChecker elections_;
  ClockChecker clocks_;
  CommitChecker commits_;
  DurabilityChecker durability_;
  GrantChecker grants_;
  AnswerChecker answers_;
  RandomStream client_random_;
  double client_loss_;
  uint64_t last_call_ = 0;
  std::vector<bool> client_cut_;
  std::vector<std::unique_ptr<SimNode>> nodes_;
  // Livelock detection: counts the events of the current virtual second.
  int64_t second_ = -1;
  uint64_t events_in_second_ = 0;
};

}  // namespace dqueue::sim
