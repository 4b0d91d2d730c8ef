#include "client/stop_signals.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

namespace dqueue::client {
namespace {

constexpr std::array<int, 3> kSignals = {SIGINT, SIGTERM, SIGQUIT};

std::atomic<int> event_fd{-1};
std::atomic<bool> came{false};

// Calls only async-signal-safe functions. _exit: destructors would wait for job handlers; leases
// expire by themselves.
extern "C" void DqueueOnStopSignal(int number) {
  const int error_before = errno;
  if (came.exchange(true)) _exit(128 + number);
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t ignored = write(event_fd.load(), &one, sizeof one);
  errno = error_before;
}

sigset_t SignalSet() {
  sigset_t set;
  sigemptyset(&set);
  for (const int each : kSignals) sigaddset(&set, each);
  return set;
}

}  // namespace

StopSignals::StopSignals() {
  event_fd.store(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  came.store(false);
  const sigset_t set = SignalSet();
  pthread_sigmask(SIG_BLOCK, &set, &mask_before_);
  struct sigaction action {};
  action.sa_handler = DqueueOnStopSignal;
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &actions_before_[i]);
}

StopSignals::~StopSignals() {
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &actions_before_[i], nullptr);
  pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
  close(event_fd.exchange(-1));
}

void StopSignals::Accept() {
  const sigset_t set = SignalSet();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

bool StopSignals::Wait(std::chrono::milliseconds limit) {
  pollfd waiting{event_fd.load(), POLLIN, 0};
  return poll(&waiting, 1, static_cast<int>(limit.count())) > 0 || came.load();
}

}  // namespace dqueue::client
