// Runs a shell command for one job. The command reads the payload from standard input and writes
// the result to standard output. Safe in a process with threads: the child is made by posix_spawn
// and inherits only its three standard streams. All streams are served at the same time, so a
// command that does not read its input or writes much output cannot deadlock.
#pragma once

#include <cstddef>
#include <map>
#include <stop_token>
#include <string>

#include "cmd/flags/flag_values.h"

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
  std::string error_tail;  // the last error_tail_bytes bytes of standard error
};

// Returns when the command has ended; it does not wait for background processes of the command.
// When `stop` is requested the command's process group gets SIGTERM and, after kill_after, SIGKILL.
// May be called from several threads.
CommandOutcome RunCommand(const CommandRequest& request, std::stop_token stop);

}  // namespace dqueue::cmd
