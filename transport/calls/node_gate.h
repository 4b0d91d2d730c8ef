// Access to the node for objects that may outlive it. After Close() the node is not used.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "node/node.h"

namespace dqueue::transport {

// Any thread. A use may begin another one on its thread: a call that the node refuses at once is
// submitted again from within Submit().
class NodeGate {
 public:
  // Null: closed until Open().
  explicit NodeGate(node::Node* node) : node_(node) {}

  void Open(node::Node* node) {
    const std::lock_guard lock(mutex_);
    node_ = node;
  }

  // Calls use(node) without a lock and returns true; returns false if closed.
  template <class Use>
  bool With(Use&& use) {
    node::Node* const node = Enter();
    if (node == nullptr) return false;
    const Leaver leaver{*this};
    std::forward<Use>(use)(*node);
    return true;
  }

  // Waits until no use is under way. No use begins later. Must not be called from within a use.
  void Close() {
    std::unique_lock lock(mutex_);
    node_ = nullptr;
    unused_.wait(lock, [this] { return uses_ == 0; });
  }

 private:
  struct Leaver {
    NodeGate& gate;
    ~Leaver() { gate.Leave(); }
  };

  node::Node* Enter() {
    const std::lock_guard lock(mutex_);
    if (node_ != nullptr) ++uses_;
    return node_;
  }
  void Leave() {
    const std::lock_guard lock(mutex_);
    DQ_CHECK(uses_ > 0);
    // Under the lock: Close() may be followed by the destructor.
    if (--uses_ == 0 && node_ == nullptr) unused_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable unused_;
  node::Node* node_;
  size_t uses_ = 0;
};

}  // namespace dqueue::transport
