// Runs shell commands, one for each job. A command reads the payload from standard input and writes
// the result to standard output. Safe in a process with threads: the child is made by posix_spawn
// and inherits only its three standard streams. All streams are served at the same time, so a
// command that does not read its input or writes much output cannot deadlock.
//
// Each command is a session of its own (session.h), which is stopped as a whole.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <stop_token>
#include <string>

#include "cmd/flags/flag_values.h"
#include "cmd/worker/child_table.h"
#include "cmd/worker/command_guard.h"

namespace dqueue::cmd {

struct CommandRequest {
  std::string command;  // for sh -c
  std::string input;
  std::map<std::string, std::string> environment;  // added to this process's environment
  size_t output_bytes_max = 1 << 20;               // further output is dropped
  size_t error_tail_bytes = 4096;
  Millis kill_after{10000};  // between SIGTERM and SIGKILL
};

struct CommandOutcome {
  bool started = false;
  std::string start_error;  // if not started
  bool exited = false;      // false: ended by `signal`
  int exit_code = 0;        // if exited
  int signal = 0;           // if not exited
  bool stopped = false;     // SIGTERM was sent because of the stop token
  std::string output;       // the first output_bytes_max bytes
  bool output_truncated = false;
  std::string error_tail;    // the last error_tail_bytes bytes of standard error
  uint64_t error_bytes = 0;  // all that the command wrote to standard error
  // Processes that a stopped command has left: they did not end within 5 s after SIGKILL, because
  // they hang in the kernel or belong to another account.
  size_t left_running = 0;
};

class CommandRunner {
 public:
  // `guard` ends running commands if this process ends first. Null: nothing does. At most one
  // runner in a process (ChildTable).
  explicit CommandRunner(CommandGuard* guard) : guard_(guard) {}

  // Without a stop it returns when the command has ended, and leaves the command's background
  // processes alone. When `stop` is requested the whole session gets SIGTERM and, after kill_after,
  // SIGKILL; Run() then returns when none of its processes is left. May be called from several
  // threads.
  CommandOutcome Run(const CommandRequest& request, std::stop_token stop);

  // True once, if the guard has ended: commands would survive a death of this process.
  bool TakeGuardLoss() { return guard_lost_.exchange(false); }

 private:
  ChildTable children_;
  CommandGuard* const guard_;
  std::atomic<bool> guard_lost_{false};
  std::atomic<bool> guard_loss_seen_{false};
};

}  // namespace dqueue::cmd
