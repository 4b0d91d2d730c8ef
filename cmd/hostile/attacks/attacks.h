// The attacks: one idea each, in a file of its own. Each makes legal requests of an authorised
// client, at their limits. attacks.cc has the table.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "cmd/hostile/caller.h"

namespace dqueue::cmd {

// The calls of one attacker. Used by one thread.
class Attack {
 public:
  virtual ~Attack() = default;
  // Called again and again until the run ends. A round lasts at most about a minute. It leaves a
  // bounded number of jobs in the cluster, however often it is called: nothing but its disk and
  // memory limits what a key may store, so a caller that never deletes would only test these.
  virtual void Round(Caller& caller) = 0;
};

struct AttackKind {
  const char* name;  // lower case and '-': part of queue names
  const char* idea;  // one line
  int callers;       // connections
  bool grpc;         // false: HTTP
  // Reads jobs and queues of the whole cluster: half of the callers use a key that may read all
  // queues.
  bool reads;
  std::unique_ptr<Attack> (*make)();
};

// 200 callers over gRPC, and some over HTTP.
std::span<const AttackKind> AllAttacks();
// Null: there is none of this name.
const AttackKind* FindAttack(std::string_view name);

template <class T>
std::unique_ptr<Attack> Make() {
  return std::make_unique<T>();
}

std::unique_ptr<Attack> MakeBigJson();
std::unique_ptr<Attack> MakeCancelledCalls();
std::unique_ptr<Attack> MakeClusterViews();
std::unique_ptr<Attack> MakeDelayedWave();
std::unique_ptr<Attack> MakeEventStreams();
std::unique_ptr<Attack> MakeExpiredDeadlines();
std::unique_ptr<Attack> MakeExpiredLeases();
std::unique_ptr<Attack> MakeFalseLeases();
std::unique_ptr<Attack> MakeFullBatches();
std::unique_ptr<Attack> MakeFullPages();
std::unique_ptr<Attack> MakeGetJobFlood();
std::unique_ptr<Attack> MakeHeaderBatches();
std::unique_ptr<Attack> MakeHttpPages();
std::unique_ptr<Attack> MakeHttpPollers();
std::unique_ptr<Attack> MakeHttpTasks();
std::unique_ptr<Attack> MakeIdempotencyKeys();
std::unique_ptr<Attack> MakeKeyLists();
std::unique_ptr<Attack> MakeLongPolls();
std::unique_ptr<Attack> MakeManyNames();
std::unique_ptr<Attack> MakePauses();
std::unique_ptr<Attack> MakeReconnects();
std::unique_ptr<Attack> MakeScans();
std::unique_ptr<Attack> MakeSlowReaders();
std::unique_ptr<Attack> MakeStatistics();
std::unique_ptr<Attack> MakeSweeps();
std::unique_ptr<Attack> MakeWorkerNames();

}  // namespace dqueue::cmd
