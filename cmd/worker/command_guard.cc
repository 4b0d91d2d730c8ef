#include "cmd/worker/command_guard.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <set>
#include <string>

#include "cmd/worker/session.h"

namespace dqueue::cmd {
namespace {

constexpr timespec kKillAgainAfter{0, 20'000'000};
// A process that does not end within this time hangs in the kernel.
constexpr int kKillsMax = 250;

void EndSessions(const std::set<pid_t>& sessions) {
  for (int i = 0; i < kKillsMax; ++i) {
    size_t left = 0;
    for (const pid_t session : sessions) left += SignalSession(session, SIGKILL);
    if (left == 0) return;
    nanosleep(&kKillAgainAfter, nullptr);
  }
}

// The guard's process. `pipe` carries the numbers of sessions: positive when one has started,
// negative when it has ended.
[[noreturn]] void Guard(int pipe) {
  // Signals to the worker's process group, for example by Ctrl-C, are not for the guard.
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  setsid();
  prctl(PR_SET_NAME, "dqueue-guard");
  // The guard must not hold the worker's terminal, log or directory.
  const int null = open("/dev/null", O_RDWR);
  for (int fd = 0; null >= 0 && fd <= STDERR_FILENO; ++fd) dup2(null, fd);
  if (pipe > STDERR_FILENO + 1) close_range(STDERR_FILENO + 1, static_cast<unsigned>(pipe) - 1, 0);
  close_range(static_cast<unsigned>(pipe) + 1, ~0U, 0);
  [[maybe_unused]] const int ignored = chdir("/");
  std::set<pid_t> sessions;
  while (true) {
    int32_t number = 0;
    // Writes of this size are atomic, so a read returns all of a number.
    const ssize_t n = read(pipe, &number, sizeof number);
    if (n < 0 && errno == EINTR) continue;
    if (n != sizeof number) break;
    if (number > 0) {
      sessions.insert(number);
    } else {
      sessions.erase(-number);
    }
  }
  EndSessions(sessions);
  _exit(0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<CommandGuard>> CommandGuard::Start() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return absl::UnavailableError(std::string("pipe: ") + std::strerror(errno));
  }
  const pid_t pid = fork();
  if (pid == 0) {
    close(ends[1]);
    Guard(ends[0]);
  }
  const int error = errno;
  close(ends[0]);
  if (pid < 0) {
    close(ends[1]);
    return absl::UnavailableError(std::string("fork: ") + std::strerror(error));
  }
  // A guard that does not read must not block the worker.
  fcntl(ends[1], F_SETFL, O_NONBLOCK);
  return std::unique_ptr<CommandGuard>(new CommandGuard(pid, ends[1]));
}

CommandGuard::~CommandGuard() {
  close(pipe_);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

bool CommandGuard::Started(pid_t session) { return Write(session); }
bool CommandGuard::Ended(pid_t session) { return Write(-session); }

bool CommandGuard::Write(pid_t number) {
  const int32_t message = number;
  ssize_t n = 0;
  do {
    n = write(pipe_, &message, sizeof message);
  } while (n < 0 && errno == EINTR);
  return n == sizeof message;
}

}  // namespace dqueue::cmd
