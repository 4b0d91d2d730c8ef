// SIGINT, SIGTERM and SIGQUIT for Worker::RunUntilSignal(). Handlers, not sigwait(): a program may
// have threads already (gRPC's begin with the first client), and a signal that is blocked in some
// threads only ends the process as soon as another thread gets it.
#pragma once

#include <signal.h>

#include <array>
#include <chrono>

namespace dqueue::client {

// At most one at a time in a process.
class StopSignals {
 public:
  // Sets the handlers. The signals are blocked in this thread and in those that it starts from now
  // on, so that no system call of a job handler is interrupted.
  StopSignals();
  // Restores the handlers and this thread's mask.
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // Lets this thread get the signals, also those that came before. The second one ends the process
  // at once with exit status 128 + signal.
  void Accept();
  // Returns whether one came, after at most `limit`.
  bool Wait(std::chrono::milliseconds limit);

 private:
  sigset_t mask_before_{};
  std::array<struct sigaction, 3> actions_before_{};
};

}  // namespace dqueue::client
