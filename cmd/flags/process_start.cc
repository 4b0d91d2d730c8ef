#include "cmd/flags/process_start.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "base/check.h"

namespace dqueue::cmd {
namespace {

sigset_t StopSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

// Calls only async-signal-safe functions.
extern "C" void StopAtOnce(int signal_number) {
  constexpr char kLine[] = "second signal: stopping at once\n";
  [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, kLine, sizeof kLine - 1);
  _exit(128 + signal_number);
}

void StopAtOnceOnNextSignal() {
  struct sigaction action = {};
  action.sa_handler = StopAtOnce;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  const sigset_t set = StopSignals();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace

void PrepareProcess() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
    const int opened = open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY);
    // open() returns the lowest free number, which is `fd`.
    DQ_CHECK_MSG(opened == fd, "cannot open /dev/null for a closed standard stream");
  }
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  // Debian's Abseil has it on; in gRPC it costs several percent of CPU time.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

void ForbidCoreDumps() {
  const rlimit none = {0, 0};
  DQ_CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
  DQ_CHECK(prctl(PR_SET_DUMPABLE, 0) == 0);
}

absl::Status RaiseOpenFileLimit(uint64_t needed) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return absl::InternalError(std::string("cannot read the limit of open files: ") +
                               std::strerror(errno));
  }
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
  }
  if (limit.rlim_cur >= needed) return absl::OkStatus();
  return absl::ResourceExhaustedError("at least " + std::to_string(needed) +
                                      " open files are needed, the limit is " +
                                      std::to_string(limit.rlim_cur) +
                                      "; raise it, for example "
                                      "with ulimit -n 65536");
}

void BlockStopSignals() {
  const sigset_t set = StopSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

int WaitForStopSignal() {
  const sigset_t set = StopSignals();
  int number = 0;
  while (sigwait(&set, &number) != 0) {
  }
  StopAtOnceOnNextSignal();
  return number;
}

int WaitForStopSignal(int milliseconds) {
  const sigset_t set = StopSignals();
  const timespec limit = {milliseconds / 1000, (milliseconds % 1000) * 1'000'000L};
  const int number = sigtimedwait(&set, nullptr, &limit);
  if (number <= 0) return 0;
  StopAtOnceOnNextSignal();
  return number;
}

void CleanUpOnStopSignal(std::function<void()> clean_up) {
  // Detached: the thread ends the process.
  std::thread([clean_up = std::move(clean_up)] {
    const int number = WaitForStopSignal();
    clean_up();
    _exit(128 + number);
  }).detach();
}

}  // namespace dqueue::cmd
