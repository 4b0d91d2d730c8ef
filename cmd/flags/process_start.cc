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
#include <initializer_list>
#include <string>
#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "base/check.h"

namespace dqueue::cmd {
namespace {

constexpr int kEndAtOnceOnRepeat[] = {SIGINT, SIGTERM, SIGQUIT};

sigset_t SetOf(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int each : signals) sigaddset(&set, each);
  return set;
}

sigset_t StopSignalSet() { return SetOf({SIGINT, SIGTERM, SIGQUIT, SIGHUP}); }

// Calls only async-signal-safe functions.
extern "C" void StopAtOnce(int signal_number) {
  constexpr char kLine[] = "second signal: stopping at once\n";
  [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, kLine, sizeof kLine - 1);
  _exit(128 + signal_number);
}

void StopAtOnceOnNextSignal() {
  struct sigaction action = {};
  action.sa_handler = StopAtOnce;
  for (const int each : kEndAtOnceOnRepeat) sigaction(each, &action, nullptr);
  const sigset_t set = SetOf({SIGINT, SIGTERM, SIGQUIT});
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

bool Ignored(int signal_number) {
  struct sigaction action = {};
  sigaction(signal_number, nullptr, &action);
  return action.sa_handler == SIG_IGN;
}

}  // namespace

void PrepareProcess(StopSignals stop_signals) {
  if (stop_signals == StopSignals::kBlocked) {
    const sigset_t set = StopSignalSet();
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
  }
  for (const int each : {SIGPIPE, SIGXFSZ, SIGUSR1, SIGUSR2}) signal(each, SIG_IGN);
  for (int fd = 0; fd <= 2; ++fd) {
    if (fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
    const int opened = open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY);
    // open() returns the lowest free number, which is `fd`.
    DQ_CHECK_MSG(opened == fd, "cannot open /dev/null for a closed standard stream");
  }
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

int WaitForStopSignal() {
  const sigset_t set = StopSignalSet();
  int number = 0;
  while (sigwait(&set, &number) != 0) {
  }
  if (number != SIGHUP) StopAtOnceOnNextSignal();
  return number;
}

int WaitForStopSignal(int milliseconds) {
  const sigset_t set = StopSignalSet();
  const timespec limit = {milliseconds / 1000, (milliseconds % 1000) * 1'000'000L};
  const int number = sigtimedwait(&set, nullptr, &limit);
  if (number <= 0 || (number == SIGHUP && Ignored(SIGHUP))) return 0;
  StopAtOnceOnNextSignal();
  return number;
}

std::string SignalName(int signal_number) {
  switch (signal_number) {
    case SIGINT:
      return "SIGINT";
    case SIGTERM:
      return "SIGTERM";
    case SIGQUIT:
      return "SIGQUIT";
    case SIGHUP:
      return "SIGHUP";
    default:
      return "signal " + std::to_string(signal_number);
  }
}

void CleanUpOnStopSignal(std::function<void()> clean_up) {
  // Detached: the thread ends the process.
  std::thread([clean_up = std::move(clean_up)] {
    int number = WaitForStopSignal();
    while (number == SIGHUP && Ignored(SIGHUP)) number = WaitForStopSignal();
    clean_up();
    _exit(128 + number);
  }).detach();
}

}  // namespace dqueue::cmd
