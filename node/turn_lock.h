// A lock for turns of the loop: one turn is one call of Node::Poll(). The loop's thread runs most
// turns. A thread that adds work (a call, a message, a completed log write) runs the turn itself
// if the lock is free, which saves two thread switches for every job.
//
// TryAcquire() never blocks. If it fails, the holder's next Release() fails too, and the holder
// runs another turn: no work is lost. NodeRunner uses a second lock of this type for log writes.
#pragma once

#include <atomic>

namespace dqueue::node {

class TurnLock {
 public:
  // True: the caller holds the lock. False: another thread holds it, and its next Release() returns
  // false.
  bool TryAcquire() {
    State state = State::kFree;
    while (!state_.compare_exchange_weak(state,
                                         state == State::kFree ? State::kTaken : State::kMore,
                                         std::memory_order_acq_rel, std::memory_order_acquire)) {
    }
    return state == State::kFree;
  }
  // Requires the lock. True: the lock is free. False: TryAcquire() failed on another thread since
  // the last Release(), so work was added; the caller still holds the lock.
  bool Release() {
    State state = State::kTaken;
    if (state_.compare_exchange_strong(state, State::kFree, std::memory_order_acq_rel)) return true;
    state_.store(State::kTaken, std::memory_order_release);
    return false;
  }
  // Requires the lock. Frees it even if work was added. The caller must then wake a thread that
  // acquires it again.
  void Abandon() { state_.store(State::kFree, std::memory_order_release); }

 private:
  // kMore: held, and a TryAcquire() has failed.
  enum class State { kFree, kTaken, kMore };
  std::atomic<State> state_{State::kFree};
};

}  // namespace dqueue::node
