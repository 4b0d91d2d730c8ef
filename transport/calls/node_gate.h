// The way to the node for everything that may outlive it: after Close() nothing passes.
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

  // Calls use(node) unless closed; says whether it did.
  template <class Use>
  bool With(Use&& use) {
    const std::shared_lock lock(mutex_);
    if (node_ == nullptr) return false;
    std::forward<Use>(use)(*node_);
    return true;
  }

  // Returns when no use is under way.
  void Close() {
    const std::unique_lock lock(mutex_);
    node_ = nullptr;
  }

 private:
  std::shared_mutex mutex_;
  node::Node* node_;
};

}  // namespace dqueue::transport
