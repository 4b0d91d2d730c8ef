// Who runs the loop's turns. They run one at a time, but not always on the loop's thread: a thread
// that brings work (a call, a message, the end of a log write) takes the turn itself if nobody has
// it, which saves two changes of threads on the way of every job. Whoever has the turn learns
// before giving it up that more work has come.
#pragma once

#include <atomic>

namespace dqueue::node {

class TurnLock {
 public:
  // True: the caller has the turn. False: somebody else has it, and will be told by Release() that
  // there is more.
  bool TryAcquire() {
    State state = State::kFree;
    while (!state_.compare_exchange_weak(state,
                                         state == State::kFree ? State::kTaken : State::kMore,
                                         std::memory_order_acq_rel, std::memory_order_acquire)) {
    }
    return state == State::kFree;
  }
  // Gives the turn up. False: more work has come meanwhile, and the caller still has the turn.
  bool Release() {
    State state = State::kTaken;
    if (state_.compare_exchange_strong(state, State::kFree, std::memory_order_acq_rel)) return true;
    state_.store(State::kTaken, std::memory_order_release);
    return false;
  }
  // Gives the turn up whatever has come; the caller sees to it that somebody takes it again.
  void Abandon() { state_.store(State::kFree, std::memory_order_release); }

 private:
  enum class State { kFree, kTaken, kMore };
  std::atomic<State> state_{State::kFree};
};

}  // namespace dqueue::node
