// A process that ends the commands of a worker whose own process has ended without doing so: by
// SIGKILL, by a crash, or by a second stop signal.
//
// It is forked before the worker has threads, and holds the read end of a pipe. The worker writes
// which sessions (session.h) it has started and which have ended. When the pipe closes, the guard
// sends SIGKILL to every process of the remaining sessions, and exits.
//
// It cannot help if it is killed as well, and it does not reach processes that left their session
// (setsid) or belong to another account (sudo).
#pragma once

#include <sys/types.h>

#include <memory>

#include "absl/status/statusor.h"

namespace dqueue::cmd {

class CommandGuard {
 public:
  // Forks. Call it while the process has one thread. UNAVAILABLE: errno's text.
  static absl::StatusOr<std::unique_ptr<CommandGuard>> Start();
  // The guard ends as if the process had ended.
  ~CommandGuard();
  CommandGuard(const CommandGuard&) = delete;
  CommandGuard& operator=(const CommandGuard&) = delete;

  pid_t pid() const { return pid_; }
  // Both are thread-safe and never block. False: the guard has ended or does not read.
  bool Started(pid_t session);
  bool Ended(pid_t session);

 private:
  CommandGuard(pid_t pid, int pipe) : pid_(pid), pipe_(pipe) {}
  bool Write(pid_t number);

  const pid_t pid_;
  const int pipe_;
};

}  // namespace dqueue::cmd
