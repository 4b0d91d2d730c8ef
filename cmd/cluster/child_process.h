// Child processes that end when this process ends, even if it crashes.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace dqueue::cmd {

struct ChildProgram {
  std::vector<std::string> arguments{};  // the first is the path of the program
  std::string output{};                  // file that standard output is appended to
  std::string errors{};                  // the same for standard error; may be the same file
  int nice = 0;                          // added to this process's niceness, 0 to 19
};

// Starts the program in a process group of its own, without the variables that begin with DQUEUE_
// and with no signal blocked. The kernel kills it when the thread that called this ends. Returns
// its process id. INTERNAL: a file cannot be opened, or fork() failed. A program that cannot be
// executed ends with status 127.
absl::StatusOr<pid_t> StartChild(const ChildProgram& program);

// "exit status 3", "signal 9": from the status that wait() gave.
std::string HowItEnded(int wait_status);

// The path of `name` in the directory of the running program.
std::string SiblingProgram(const std::string& name);

}  // namespace dqueue::cmd
