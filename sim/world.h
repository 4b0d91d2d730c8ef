// A whole cluster in one thread and in virtual time: nodes, wires, clients, and the checkers that
// watch every step. Scripts (scenario_test.cc) drive it by hand; simulation.h drives it by chance.
// A broken rule is thrown as a Violation from Run().
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "sim/checkers/answer_checker.h"
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
  void At(Time at, std::function<void()> what) { queue_.AddClosure(at, std::move(what)); }
  void After(Duration delay, std::function<void()> what) { At(now() + delay, std::move(what)); }
  void Run(Duration duration);
  // Until `done` holds (looked at after each event); false if `limit` passed before.
  bool RunUntil(const std::function<bool()>& done, Duration limit);

  // ---- the cluster; nodes are numbered from 1
  int size() const { return static_cast<int>(nodes_.size()); }
  int majority() const { return size() / 2 + 1; }
  SimNode& node(int number) { return *nodes_.at(static_cast<size_t>(number - 1)); }
  const SimNode& node(int number) const { return *nodes_.at(static_cast<size_t>(number - 1)); }
  // 0 if it is nobody's.
  int NumberOf(raft::NodeId id) const;
  int NumberOf(const std::string& name) const;
  // The serving leader of the highest term; 0: none.
  int Leader() const;
  Network& network() { return network_; }
  // Cuts both directions between each of `left` and each of `right`.
  void Partition(std::initializer_list<int> left, std::initializer_list<int> right);
  void Isolate(int number);
  // Clients cannot reach the node (or can again).
  void CutClients(int number, bool cut) { client_cut_[static_cast<size_t>(number)] = cut; }
  bool ClientsCut(int number) const { return client_cut_[static_cast<size_t>(number)]; }
  // The peers of a process that died, or the two ends of a cut link, may be told.
  void TellDisconnected(int node, int peer);
  void ProcessEnded(int number);

  // Ends all processes. To be called while the clients are still there.
  void PowerOff();

  // ---- parts
  EventQueue& queue() { return queue_; }
  Trace& trace() { return trace_; }
  const Profile& profile() const { return profile_; }
  Ledger& ledger() { return ledger_; }
  ElectionChecker& elections() { return elections_; }
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
  // Ends all faults of network and clients; delays stay.
  void Calm();
  // Adds an event to the trace, with the time of now.
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
  CommitChecker commits_;
  DurabilityChecker durability_;
  GrantChecker grants_;
  AnswerChecker answers_;
  RandomStream client_random_;
  double client_loss_;
  uint64_t last_call_ = 0;
  std::vector<bool> client_cut_;
  std::vector<std::unique_ptr<SimNode>> nodes_;
  // Livelock: events within the current virtual second.
  int64_t second_ = -1;
  uint64_t events_in_second_ = 0;
};

}  // namespace dqueue::sim
