// Access to the node for objects that may outlive it. After Close() the node is not used.
#pragma once

#include <mutex>
#include <shared_mutex>
#include <utility>

#include "node/node.h"

namespace dqueue::transport {

class NodeGate {
 public:
  // Null: closed until Open().
  explicit NodeGate(node::Node* node) : node_(node) {}

  void Open(node::Node* node) {
    const std::unique_lock lock(mutex_);
    node_ = node;
  }

  // Calls use(node) and returns true; returns false if closed.
  template <class Use>
  bool With(Use&& use) {
    const std::shared_lock lock(mutex_);
    if (node_ == nullptr) return false;
    std::forward<Use>(use)(*node_);
    return true;
  }

  // Waits until no use is under way. No use begins later.
  void Close() {
    const std::unique_lock lock(mutex_);
    node_ = nullptr;
  }

 private:
  std::shared_mutex mutex_;
  node::Node* node_;
};

}  // namespace dqueue::transport
