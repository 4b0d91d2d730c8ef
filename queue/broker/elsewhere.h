// Runs work that needs neither the state machine nor the loop's thread on another thread: making
// and encoding large answers, telling very many callers that the leadership is over, freeing what
// an ended leadership leaves. Used on the loop's thread.
#pragma once

#include <functional>
#include <memory>
#include <utility>

namespace dqueue::queue {

class Elsewhere {
 public:
  using Work = std::function<void()>;

  // Runs each work given to it once, in order, on a thread of its own. Null, as in most tests: work
  // runs at once, on the calling thread.
  void Set(std::function<void(Work)> runner) { runner_ = std::move(runner); }

  // `work` is a callable, which may be move-only.
  template <class F>
  void Run(F work) {
    if (!runner_) return work();
    runner_([shared = std::make_shared<F>(std::move(work))] { (*shared)(); });
  }
  // Frees the value elsewhere.
  template <class T>
  void Free(T value) {
    if (!runner_) return;
    runner_([shared = std::make_shared<T>(std::move(value))]() mutable { shared.reset(); });
  }

 private:
  std::function<void(Work)> runner_;
};

}  // namespace dqueue::queue
