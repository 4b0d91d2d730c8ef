// Runs functions after a delay, on one thread that starts with the first function. Thread-safe.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "client/retry.h"

namespace dqueue::client {

class Timer {
 public:
  Timer() = default;
  ~Timer() { Stop(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void After(Duration wait, std::function<void()> run);
  // Runs all waiting functions now and returns when they have ended. A later After() runs its
  // function at once in the calling thread.
  void Stop();

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::multimap<Clock::time_point, std::function<void()>> due_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace dqueue::client
