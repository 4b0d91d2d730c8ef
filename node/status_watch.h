// A node's status, and subscriptions to it.
//
// The loop publishes each change once. A watcher is called with the current status, and then with
// each later status in order: it needs no polling and misses no change. Subscribing does not wait
// for a turn of the loop. A subscription may outlive its node. Nothing here is stored on disk.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "queue/api/key.h"
#include "raft/raft.h"

namespace dqueue::node {

// The parts of a node's state that change rarely. They determine the routing of calls and the valid
// keys.
struct NodeStatus {
  raft::Role role = raft::Role::kFollower;
  raft::Term term;
  std::string leader_name;  // empty: none known
  std::string leader_address;
  // True: this node leads, has applied all entries of earlier leaders, and answers calls.
  bool serving = false;
  std::shared_ptr<const raft::Configuration> config;  // the one in effect; never null
  queue::KeyTablePtr keys;                            // as applied on this node; never null
  std::string excluded = {};  // why this node is not part of the cluster; empty: nobody says so
};

using StatusWatcher = std::function<void(const NodeStatus&)>;

// A subscription. Movable. A default-constructed subscription has no watcher.
class StatusWatch {
 public:
  StatusWatch() = default;
  StatusWatch(StatusWatch&& other) noexcept = default;
  StatusWatch& operator=(StatusWatch&& other) noexcept;
  ~StatusWatch() { Cancel(); }

  // Ends the subscription. After the return, the watcher is not running and is not called again.
  // Waits for a running call of the watcher: the caller must not hold a lock that the watcher
  // takes. DQ_CHECK: not called by the watcher itself.
  void Cancel();

 private:
  friend class StatusBoard;
  struct Watcher;
  struct Watchers;
  StatusWatch(std::shared_ptr<Watchers> watchers, std::shared_ptr<Watcher> watcher);

  std::shared_ptr<Watchers> watchers_;
  std::shared_ptr<Watcher> watcher_;
};

// Publishes the status of one node.
class StatusBoard {
 public:
  StatusBoard();

  // Calls all watchers before it returns. One thread at a time.
  void Publish(NodeStatus status);
  // Calls `watcher` on this thread with the last published status, then on the publishing thread
  // with each later status. Calls of one watcher never overlap. Any thread.
  [[nodiscard]] StatusWatch Watch(StatusWatcher watcher);

 private:
  const std::shared_ptr<StatusWatch::Watchers> watchers_;
};

}  // namespace dqueue::node
