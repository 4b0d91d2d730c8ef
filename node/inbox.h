// Work that other threads hand to the loop. Any thread adds; Node::Poll() takes all of it at once.
// A crash loses the contents.
#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "queue/broker/broker.h"
#include "raft/message.h"
#include "raft/types.h"

namespace dqueue::node {

struct InboxContents {
  std::vector<queue::AnyCall> calls;
  std::vector<raft::Message> messages;
  raft::Token durable;  // the highest durable token that the log reported; 0: none
  // All other work, in the order in which it was added.
  std::vector<std::function<void(Time)>> tasks;
  bool empty() const {
    return calls.empty() && messages.empty() && durable == raft::Token() && tasks.empty();
  }
};

class Inbox {
 public:
  // Each Add*() returns true if the inbox was empty before. The caller must then wake the loop.

  // Sets `*accepted` to false if `max_calls` calls are waiting. `call` is then unchanged.
  bool AddCall(queue::AnyCall& call, size_t max_calls, bool* accepted) {
    std::lock_guard lock(mutex_);
    *accepted = contents_.calls.size() < max_calls;
    if (!*accepted) return false;
    const bool was_empty = contents_.empty();
    contents_.calls.push_back(std::move(call));
    return was_empty;
  }
  bool AddMessages(std::vector<raft::Message> messages) {
    std::lock_guard lock(mutex_);
    const bool was_empty = contents_.empty();
    if (contents_.messages.empty()) {
      contents_.messages = std::move(messages);
    } else {
      for (raft::Message& message : messages) contents_.messages.push_back(std::move(message));
    }
    return was_empty;
  }
  bool AddDurable(raft::Token token) {
    std::lock_guard lock(mutex_);
    const bool was_empty = contents_.empty();
    if (contents_.durable < token) contents_.durable = token;
    return was_empty;
  }
  bool AddTask(std::function<void(Time)> task) {
    std::lock_guard lock(mutex_);
    const bool was_empty = contents_.empty();
    contents_.tasks.push_back(std::move(task));
    return was_empty;
  }
  InboxContents Take() {
    std::lock_guard lock(mutex_);
    return std::exchange(contents_, InboxContents());
  }

 private:
  std::mutex mutex_;
  InboxContents contents_;
};

}  // namespace dqueue::node
