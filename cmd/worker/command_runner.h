// Runs a shell command for one job: the payload on its standard input, what it prints is the
// result. Safe in a process with threads: the child is made by posix_spawn and inherits no
// descriptor but its three streams. All streams are served at the same time, so a command that
// reads nothing, or writes much, blocks nobody.
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
  std::map<std::string, std::string> environment;  // added to this process's own
  size_t output_bytes_max = 1 << 20;
  size_t error_tail_bytes = 4096;
  Millis kill_after{10000};  // between SIGTERM and SIGKILL
};

struct CommandOutcome {
  bool started = false;
  std::string start_error;  // if not started
  bool exited = false;      // else it was ended by a signal
  int exit_code = 0;
  int signal = 0;
  bool stopped = false;  // because of the stop token
  std::string output;    // the first output_bytes_max bytes
  bool output_truncated = false;
  std::string error_tail;  // the last error_tail_bytes bytes of standard error
};

// Returns when the command has ended. When `stop` is requested, its process group gets SIGTERM, and
// SIGKILL after kill_after. What it left running in the background is not waited for.
CommandOutcome RunCommand(const CommandRequest& request, std::stop_token stop);

}  // namespace dqueue::cmd
