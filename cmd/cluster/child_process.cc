#include "cmd/cluster/child_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace dqueue::cmd {
namespace {

absl::Status SystemError(const std::string& what) {
  return absl::InternalError(what + ": " + std::strerror(errno));
}

int OpenToAppend(const std::string& path) {
  return open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

}  // namespace

absl::StatusOr<pid_t> StartChild(const ChildProgram& program) {
  std::vector<std::string> texts = program.arguments;
  std::vector<char*> arguments;
  for (std::string& argument : texts) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  // Settings of this program's user are not settings of the child.
  std::vector<char*> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!std::string_view(*entry).starts_with("DQUEUE_")) environment.push_back(*entry);
  }
  environment.push_back(nullptr);
  const int output = OpenToAppend(program.output);
  if (output < 0) return SystemError(program.output);
  const int errors = OpenToAppend(program.errors);
  if (errors < 0) {
    const absl::Status status = SystemError(program.errors);
    close(output);
    return status;
  }
  const pid_t parent = getpid();
  sigset_t none;
  sigemptyset(&none);
  const pid_t pid = fork();
  if (pid == 0) {
    // Only async-signal-safe calls: the parent has threads.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    // A new process group: Ctrl-C must not stop the children before this program.
    setpgid(0, 0);
    if (program.nice > 0) setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + program.nice);
    pthread_sigmask(SIG_SETMASK, &none, nullptr);
    dup2(output, STDOUT_FILENO);
    dup2(errors, STDERR_FILENO);
    execve(arguments[0], arguments.data(), environment.data());
    _exit(127);
  }
  const absl::Status forked = pid < 0 ? SystemError("fork") : absl::OkStatus();
  close(output);
  close(errors);
  if (!forked.ok()) return forked;
  return pid;
}

std::string HowItEnded(int wait_status) {
  if (WIFEXITED(wait_status)) return "exit status " + std::to_string(WEXITSTATUS(wait_status));
  return "signal " + std::to_string(WTERMSIG(wait_status));
}

std::string SiblingProgram(const std::string& name) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (self.parent_path() / name).string();
}

}  // namespace dqueue::cmd
