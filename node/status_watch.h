// A node's status, and subscriptions to it.
//
// The loop publishes each change once. A watcher gets the status of the moment at once and every
// later one in order, so it needs no polling and cannot miss a change. Nothing here touches the
// loop's state: subscribing takes no turn of the loop, and a subscription may outlive its node.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "queue/api/key.h"
#include "raft/raft.h"

namespace dqueue::node {

// What changes seldom and decides where calls go and which keys are good.
struct NodeStatus {
  raft::Role role = raft::Role::kFollower;
  raft::Term term;
  std::string leader_name;  // empty: none known
  std::string leader_address;
  // This node leads and has applied every entry of earlier leaders: it answers calls.
  bool serving = false;
  std::shared_ptr<const raft::Configuration> config;  // the newest known; never null
  queue::KeyTablePtr keys;                            // as applied here; never null
};

using StatusWatcher = std::function<void(const NodeStatus&)>;

// A subscription. Movable. An empty one does nothing.
class StatusWatch {
 public:
  StatusWatch() = default;
  StatusWatch(StatusWatch&& other) noexcept = default;
  StatusWatch& operator=(StatusWatch&& other) noexcept;
  ~StatusWatch() { Cancel(); }

  // Afterwards the watcher is not running and is not called again. Waits for a call under way, so
  // the caller must hold no lock that the watcher takes. DQ_CHECK: not inside the watcher.
  void Cancel();

 private:
  friend class StatusBoard;
  struct Watcher;
  struct Watchers;
  StatusWatch(std::shared_ptr<Watchers> watchers, std::shared_ptr<Watcher> watcher);

  std::shared_ptr<Watchers> watchers_;
  std::shared_ptr<Watcher> watcher_;
};

// The publishing side: one for each node.
class StatusBoard {
 public:
  StatusBoard();

  // Tells every watcher, before it returns. One thread at a time.
  void Publish(NodeStatus status);
  // Calls `watcher` on this thread with the last published status, then with each later one on the
  // publishing thread; never two calls at a time. Any thread.
  [[nodiscard]] StatusWatch Watch(StatusWatcher watcher);

 private:
  const std::shared_ptr<StatusWatch::Watchers> watchers_;
};

}  // namespace dqueue::node
