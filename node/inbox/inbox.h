// Work that other threads hand to the loop. Any thread adds; Node::Poll() takes all messages at
// once, and calls in fair shares (fair_inbox.h). Calls and tasks that do not fit into a turn stay
// with the loop, in the order in which it took them. A crash loses the contents.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <iterator>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "node/inbox/fair_inbox.h"
#include "queue/broker/broker.h"
#include "raft/message.h"
#include "raft/types.h"

namespace dqueue::node {

struct InboxContents {
  std::deque<queue::AnyCall> calls;  // a deque: calls are freed one by one as they are served
  // Calls for which no work is to be done: their deadline has passed, or the caller is gone.
  std::deque<queue::AnyCall> late;
  std::vector<raft::Message> messages;
  raft::Token durable;  // the highest durable token that the log reported; 0: none
  // All other work, in the order in which it was added.
  std::deque<std::function<void(Time)>> tasks;
  bool empty() const {
    return calls.empty() && late.empty() && messages.empty() && durable == raft::Token() &&
           tasks.empty();
  }
};

class Inbox {
 public:
  // Calls for this much of the loop's time are taken in a turn, in microseconds.
  static constexpr int64_t kTurnCost = 2000;

  // Each Add*() returns true if the inbox was empty before. The caller must then wake the loop.

  // Sets *refused if the call is not admitted (fair_inbox.h). `call` is then unchanged.
  bool AddCall(queue::AnyCall& call, const InboxLimits& limits,
               std::optional<queue::Error>* refused) {
    const size_t bytes = MemoryOf(call);
    std::lock_guard lock(mutex_);
    const bool was_empty = contents_.empty() && calls_.empty();
    *refused = calls_.Add(call, bytes, limits);
    return !*refused && was_empty;
  }
  bool AddMessages(std::vector<raft::Message> messages) {
    std::lock_guard lock(mutex_);
    const bool was_empty = contents_.empty() && calls_.empty();
    if (contents_.messages.empty()) {
      contents_.messages = std::move(messages);
    } else {
      for (raft::Message& message : messages) contents_.messages.push_back(std::move(message));
    }
    return was_empty;
  }
  bool AddDurable(raft::Token token) {
    std::lock_guard lock(mutex_);
    const bool was_empty = contents_.empty() && calls_.empty();
    if (contents_.durable < token) contents_.durable = token;
    return was_empty;
  }
  bool AddTask(std::function<void(Time)> task) {
    std::lock_guard lock(mutex_);
    const bool was_empty = contents_.empty() && calls_.empty();
    contents_.tasks.push_back(std::move(task));
    return was_empty;
  }
  // Takes all messages. Takes tasks, and the calls of a turn, only if the loop has none left.
  // `left`: what the loop has, and what it gets. True: something stays here.
  bool Take(Time now, InboxContents* left) {
    std::lock_guard lock(mutex_);
    left->messages = std::exchange(contents_.messages, {});
    left->durable = std::exchange(contents_.durable, raft::Token());
    if (left->tasks.empty()) left->tasks.swap(contents_.tasks);
    if (left->calls.empty() && left->late.empty()) {
      FairInbox::Taken taken = calls_.Take(now, kTurnCost);
      std::move(taken.calls.begin(), taken.calls.end(), std::back_inserter(left->calls));
      std::move(taken.late.begin(), taken.late.end(), std::back_inserter(left->late));
    } else {
      calls_.SetTime(now);
    }
    return !contents_.empty() || !calls_.empty();
  }
  // Memory of the calls that wait, estimated.
  size_t call_bytes() const {
    std::lock_guard lock(mutex_);
    return calls_.bytes();
  }

 private:
  mutable std::mutex mutex_;
  InboxContents contents_;  // without calls
  FairInbox calls_;
};

}  // namespace dqueue::node
