// Work that the loop gives to the answering thread: making, encoding and freeing large answers
// (queue/broker/elsewhere.h), pages for operators. Any thread adds; Node::PollAnswers() runs it.
#pragma once

#include <deque>
#include <functional>
#include <mutex>
#include <utility>

namespace dqueue::node {

class Answers {
 public:
  using Work = std::function<void()>;

  // True if nothing was waiting: the caller must then wake the answering thread.
  bool Add(Work work) {
    std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(work));
    return waiting_.size() == 1;
  }
  // Runs the work that was added first. False: there is none.
  bool RunOne() {
    Work work;
    {
      std::lock_guard lock(mutex_);
      if (waiting_.empty()) return false;
      work = std::move(waiting_.front());
      waiting_.pop_front();
    }
    work();
    return true;
  }

 private:
  std::mutex mutex_;
  std::deque<Work> waiting_;
};

}  // namespace dqueue::node
